"""Setup and uninstall from end to end, on a machine of its own: what they change, and what is left."""

import json
import signal
import sys
import time

import pytest

from backburn.pool.setup import installation, poolfile
from backburn.pool.setup.installation import Reader, located
from backburn.pool.setup.request import Places, Request
from backburn.pool.setup.user import Failed

# What `useradd` and `userdel` leave of the files that they change: copies, ending in -, of how these were before.
BACKUPS = {"/etc/group-", "/etc/gshadow-", "/etc/passwd-", "/etc/shadow-", "/etc/subgid-", "/etc/subuid-"}
BACKUPS |= {"/etc/.pwd.lock"}
GPU = "GPU-6f1a0b2c-0000-4000-8000-000000000001"
DATABASES = {"/etc/group", "/etc/gshadow", "/etc/passwd", "/etc/shadow"}
MADE = {
    "/etc/backburn": "d0750",
    "/etc/backburn/installed.json": "-0600",
    "/etc/backburn/pool.toml": "-0640",
    "/etc/backburn/token": "-0600",
    "/var/lib/backburn-pool": "d0700",
}


def tree(ground):
    """{path: mode} of what was changed, but for the users."""
    return {path: seen[0] for path, seen in ground.changed().items() if path not in BACKUPS | DATABASES}


def images(ground):
    return set((ground.daemon.ask("images", "--all", "--quiet", "--no-trunc") or "").split()) - {"ok"}


@pytest.mark.slow
def test_a_machine_is_set_up_again_and_taken_back(ground):
    """Only what was said; then nothing; then as before."""
    before = images(ground)
    code, said = ground.setup("--dry-run")
    assert code == 0 and "Nothing was changed" in said and ground.changed() == {} and images(ground) == before
    announced = said.partition("This will change:")[2]

    begun = time.monotonic()
    code, said = ground.setup()
    assert code == 0, said
    assert tree(ground) == MADE and all(path in announced for path in MADE)
    assert set(ground.changed()) - set(MADE) - BACKUPS <= DATABASES and "/etc/passwd" in announced
    made = json.loads(ground.upper("/etc/backburn/installed.json").read_text())
    assert [one["kind"] for one in made["made"]] == [
        "folder",
        "user",
        "member",
        "folder",
        "file",
        "base",
        "image",
        "file",
    ]
    text = ground.upper("/etc/backburn/pool.toml").read_text()
    assert 'image = "sha256:' in text and 'token = "file:/etc/backburn/token"' in text

    seconds = time.monotonic() - begun
    again = ground.changed()
    code, said = ground.setup()
    assert code == 0 and "Nothing to change." in said and ground.changed() == again

    # This engine has no bridge. An operator's own change is kept from now on.
    path = ground.upper("/etc/backburn/pool.toml")
    text = poolfile.put(path.read_text(), "docker", "network", "host")
    ground.run("sh", "-c", f"cat > /etc/backburn/pool.toml <<'E'\n{text}E")
    begun = time.monotonic()
    supervisor = ground.start(sys.executable, "-m", "backburn", "pool", "run")
    while not [one for one in list(ground.hub.live.values()) if one.session]:
        assert supervisor.poll() is None and time.monotonic() < begun + 60, supervisor.communicate()
        time.sleep(0.05)
    seconds += time.monotonic() - begun
    print(f"\nfirst idle runner after {seconds:.1f} s")
    assert seconds < 120
    code, said = ground.pool("doctor")
    assert code == 0 and "Nothing is wrong" in said, said

    code, said = ground.pool("uninstall")
    assert code == 3 and "a supervisor still runs" in said and not ground.hub.live, said
    supervisor.terminate()
    supervisor.communicate(timeout=20)
    code, said = ground.pool("uninstall")
    assert code == 0 and "kept /etc/backburn/pool.toml: changed since" in said and "ledger" in said, said
    left = tree(ground)
    assert {"/etc/backburn", "/etc/backburn/pool.toml"} < set(left) and "/var/lib/backburn-pool/reserve" not in left
    # The locks of /run are the supervisor's own, and gone with the next boot.
    assert all(one.startswith(("/etc/backburn", "/var/lib/backburn-pool", "/run/lock/backburn-")) for one in left)
    assert all(seen[1:3] == (0, 0) for path, seen in ground.changed().items() if path.startswith("/var/lib/backburn"))
    assert images(ground) == before
    assert ground.pool("uninstall") == (0, "Setup has made nothing here.\n")


@pytest.mark.slow
def test_whoever_is_killed_goes_on_by_the_same_command(ground):
    """Ended as soon as the next thing is written down, thing by thing; then to the end, and so all the way back."""
    before, uninstall = images(ground), ("uninstall", "--purge")
    for count in range(1, 9):
        killed(ground, NUMBERS[count % 2], lambda made: made >= count, "setup", *ground.wanted)  # noqa: B023
    code, said = ground.setup()
    assert code == 0 and tree(ground) == MADE, said
    assert "Nothing to change." in ground.setup()[1]
    for count in range(7, 0, -1):
        killed(ground, NUMBERS[count % 2], lambda made: made <= count, *uninstall)  # noqa: B023
    code, said = ground.pool(*uninstall)
    assert code == 0 and "kept" not in said and tree(ground) == {} and images(ground) == before
    assert set(ground.changed()) <= BACKUPS


NUMBERS = (signal.SIGINT, signal.SIGKILL)


def killed(ground, number, when, *words):
    """As soon as so many things are written down; or it ended before anybody saw that."""
    journal = ground.upper("/etc/backburn/installed.json")
    process = ground.start(sys.executable, "-m", "backburn", "pool", *words)
    while process.poll() is None and not when(_written(journal)):
        time.sleep(0.001)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode in (0, -number, 130), said


def _written(journal):
    try:
        return len(json.loads(journal.read_text())["made"])
    except (OSError, ValueError):
        return 0


def bad(ground, code, said, *words):
    """It ends with the code, says this, and has changed nothing."""
    given = ground.pool("setup", "--no-service", *words)
    assert given[0] == code and all(one in given[1] for one in said), given
    assert ground.changed() == {}


@pytest.mark.slow
def test_bad_input_changes_nothing(ground):
    url, slot = ("--url", ground.url), ("--gpus", "none", "--cpu", "1")
    right = ("--token-file", ground.token)
    bad(
        ground, 2, ["not a PEM private key", "GitHub's App settings"], *url, *slot, "--app-id", 1, "--key", ground.token
    )
    other = ground.secret("other", "ghp_other")
    bad(ground, 2, ["401", "wrong, revoked or expired"], *url, *slot, "--token-file", other)
    bad(ground, 2, ["no runner group is called 'none'", "gpu-trusted"], *url, *slot, *right, "--group", "none")
    bad(ground, 3, ["no GPU to be found", "--cpu 1"], *url, *right)
    bad(ground, 3, ["nvidia-smi", "Install NVIDIA's driver"], *url, *right, "--gpus", GPU)
    bad(ground, 3, ["no-such-base"], *url, *slot, *right, "--base", f"{ground.base.partition('/')[0]}/no-such-base:1")


def test_a_full_disk_leaves_nothing_half(ground):
    """The folder of the configuration, which an operator made, has room for the journal alone."""
    ground.run("sh", "-c", "mkdir /etc/backburn && mount -t tmpfs -o size=16k tmpfs /etc/backburn")
    ground.run("sh", "-c", "head -c 8192 /dev/zero >/etc/backburn/filler")
    ground.token.write_text("ghp_" + "x" * 20)
    ground.hub.replace_token("ghp_" + "x" * 20)
    code, said = ground.setup()
    listed = ground.run("ls", "-A", "/etc/backburn")[1].split()
    assert code == 3 and "the disk is full" in said and set(listed) <= {"filler", "installed.json", "token"}, (
        said,
        listed,
    )
    ground.run("umount", "/etc/backburn")


@pytest.mark.slow
def test_a_pool_toml_that_is_there_is_kept_but_for_its_image(ground):
    assert ground.setup()[0] == 0
    mine = f'# mine\n[github]\nurl = "{ground.url}"\ntoken = "file:/etc/backburn/token"\n'
    mine += '[pool]\nname = "mine"\nimage = "x" # old\n[slots]\ncpu = 1\n'
    ground.run("sh", "-c", f"cat > /etc/backburn/pool.toml <<'E'\n{mine}E")
    code, said = ground.pool("setup", "--no-service", "--base", ground.base)
    now = ground.upper("/etc/backburn/pool.toml").read_text()
    assert code == 0 and '-image = "x" # old' in said and '+image = "sha256:' in said, said
    assert now.splitlines()[0] == "# mine" and now.count("\n") == mine.count("\n") and "# old" in now
    code, said = ground.pool("setup", "--no-service", "--url", "https://github.com/other")
    assert code == 2 and "the file says" in said
    ground.run("sh", "-c", "echo 'unknwon = 1' >> /etc/backburn/pool.toml")
    code, said = ground.pool("setup", "--no-service")
    assert code == 2 and "unknown key" in said


def test_secrets_lie_where_root_finds_them(monkeypatch, tmp_path):
    places = Places(etc=tmp_path)
    assert located("credential:token", places) == tmp_path / "token" and located("env:X", places) is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    assert located("credential:token", places) is None
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    new = tmp_path / "new"
    new.touch(mode=0o600)
    new.write_text("secret")
    assert Reader(places, tmp_path / "token", new)("credential:token") == "secret"


def test_gpus_are_the_drivers_or_those_that_were_named(monkeypatch):
    monkeypatch.setattr(installation.driver, "look", lambda: installation.driver.Driver(gpus=("GPU-1",)))
    assert installation.wanted_gpus(Request()) == ("GPU-1",)
    assert installation.wanted_gpus(Request(gpus=("GPU-2",))) == ("GPU-2",)
    assert installation.wanted_gpus(Request(gpus=("none",), cpu=1)) == ()
    monkeypatch.setattr(installation.driver, "look", lambda: installation.driver.Driver(error="no driver"))
    assert installation.wanted_gpus(Request(cpu=1)) == ()
    with pytest.raises(Failed, match="no driver"):
        installation.wanted_gpus(Request())


SYSTEMCTL = """#!/bin/sh
# What setup asks of systemd, and no more: the unit's ExecStart, with its credentials.
echo "$*" >>/run/asked
stop() {
  [ -f /run/pid ] || return 0
  kill "$(cat /run/pid)" && while kill -0 "$(cat /run/pid)"; do sleep 0.1; done
  rm /run/pid
} 2>/dev/null
case $1 in
  is-active) [ -f /run/pid ] && kill -0 "$(cat /run/pid)" 2>/dev/null && echo active ;;
  restart)
    stop
    grep -q "^ExecStart=.*/bin/backburn pool run" /etc/systemd/system/backburn-pool.service || exit 1
    mkdir -p /run/credentials && cp /etc/backburn/token /run/credentials/
    export CREDENTIALS_DIRECTORY=/run/credentials
    setsid PYTHON -m backburn pool run >/run/supervisor.log 2>&1 </dev/null &
    echo $! >/run/pid ;;
  disable) stop ;;
esac
"""
MINE = """[github]
url = "{url}"
token = "credential:token"
[pool]
name = "lab1"
image = "x"
[slots]
cpu = 1
[docker]
network = "host" # this engine has no bridge
[metrics]
listen = ""
"""


@pytest.mark.slow
def test_with_a_service_it_waits_until_the_slots_are_online(ground, tmp_path):
    """A stand-in for systemd does with the unit what this takes."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "systemctl").write_text(SYSTEMCTL.replace("PYTHON", sys.executable))
    (tmp_path / "bin" / "systemctl").chmod(0o755)
    ground.path = f"{tmp_path}/bin:{ground.path}"
    words = ("setup", "--token-file", ground.token, "--base", ground.base)
    code, said = ground.pool(*words, "--url", ground.url, "--gpus", "none", "--cpu", "1")
    assert code == 3 and "systemd does not run here" in said and ground.changed() == {}
    ground.run("mkdir", "-p", "/run/systemd/system", "/etc/systemd/system", "/etc/backburn")
    ground.run("sh", "-c", f"cat > /etc/backburn/pool.toml <<'E'\n{MINE.format(url=ground.url)}E")

    code, said = ground.pool(*words)
    assert code == 0 and "/etc/systemd/system/backburn-pool.service: the unit" in said, said
    assert "lab1" in said and "online" in said.rpartition("cpu0")[2] and len(ground.hub.live) == 1
    assert ground.run("cat", "/run/asked")[1].splitlines()[-3:-1] == ["daemon-reload", "enable backburn-pool.service"]
    code, said = ground.pool(*words)
    assert code == 0 and "Nothing to change." in said, said

    text = ground.upper("/etc/backburn/pool.toml").read_text() + "[limits]\npids = 1000\n"
    ground.run("sh", "-c", f"cat > /etc/backburn/pool.toml <<'E'\n{text}E")
    code, said = ground.pool(*words)
    assert code == 0 and "enabled, and started with the above" in said and "built on it" not in said, said
    code, said = ground.pool("uninstall", "--timeout", "1m", "--purge")
    assert code == 0 and "kept" not in said and not ground.hub.live, said
    assert [path for path in tree(ground) if not path.startswith("/run/")] == [
        "/etc/backburn",
        "/etc/backburn/pool.toml",
    ]
