"""Each check: a machine on which it holds, and one on which it does not."""

import re

import msgspec
import pytest

from backburn.pool.config import Config, GitHub as Given, Injection, Pool, Slots
from backburn.pool.doctor import seen
from backburn.pool.doctor.checks import TABLE, Verdict
from tests.conftest import REPOSITORY

GPU = "GPU-6f1a0b2c-0000-4000-8000-000000000001"
DAY = 86400.0
JUDGES = {check.id: check.judge for check in TABLE}
SOUND = seen.Seen(
    config=Config(
        github=Given(url="https://github.com/acme", token="env:X"),
        pool=Pool(name="lab1", image="sha256:1"),
        slots=Slots(gpus=(GPU,)),
    ),
    installed=True,
    driver=seen.Driver(gpus=(GPU, "GPU-2")),
    docker=seen.Docker(
        version="28.2.2", live_restore=True, cgroup_driver="systemd", cdi=(GPU,), nvidia=True, data="/var/lib/docker"
    ),
    image=seen.Image(present=True, made=100 * DAY, base="runner@sha256:2"),
    disks=(seen.Disk(place="/var/lib/docker", free=50 << 30, inodes=50.0),),
    github=seen.GitHub(answered=True),
    account=seen.Account(name="backburn-pool", engine=True, state=True, locks=True),
    now=110 * DAY,
)


def but(**changes):
    """The sound machine with parts of it changed: `docker={"version": "19"}`, `slots=…`."""
    whole = SOUND
    for name, change in changes.items():
        if name in ("github_given", "slots", "pool"):
            part = getattr(whole.config, name.removesuffix("_given"))
            config = msgspec.structs.replace(
                whole.config, **{name.removesuffix("_given"): msgspec.structs.replace(part, **change)}
            )
            whole = msgspec.structs.replace(whole, config=config)
        elif isinstance(change, dict):
            part = msgspec.structs.replace(getattr(whole, name), **change)
            whole = msgspec.structs.replace(whole, **{name: part})
        else:
            whole = msgspec.structs.replace(whole, **{name: change})
    return whole


def disk(**given):
    return (msgspec.structs.replace(SOUND.disks[0], **given),)


W, X, N = Verdict.WARNING, Verdict.WRONG, Verdict.NOT_ASKED
NONE = {"gpus": (), "error": "no driver"}
BROKEN = [
    ("driver", but(driver={"error": "the driver hangs"}), X, "hangs"),
    ("driver", but(driver={"gpus": ("GPU-2",)}), X, GPU),
    ("driver", but(slots={"gpus": (), "cpu": 1}, driver={"error": "none"}), N, "no slot"),
    (
        "driver",
        but(slots={"gpus": ()}, driver=NONE, installed=False),
        X,
        "no GPU was found (no driver), and so no slot",
    ),
    ("driver", but(slots={"gpus": ()}, driver={"gpus": ()}, installed=False), X, "the driver names none"),
    ("driver", but(slots={"gpus": (), "cpu": 1}, driver=NONE, installed=False), N, "no GPU was found (no driver)"),
    ("driver", but(slots={"gpus": (), "cpu": 1}, installed=False), N, "no slot is to have"),
    ("engine", but(docker={"error": "no socket"}), X, "no socket"),
    ("engine", but(docker={"version": "19.03.15"}), X, "19.03"),
    ("engine", but(docker={"version": "20.9"}), X, "20.9"),
    ("engine", but(docker={"version": "?"}), X, "?"),
    ("engine", but(docker={"version": "24.0.9"}, slots={"injection": Injection.CDI}), X, "no CDI"),
    ("live-restore", but(docker={"live_restore": False}), W, "ends every job"),
    ("live-restore", but(docker={"error": "no"}), N, "engine"),
    ("injection", but(docker={"cdi": (), "nvidia": False}), X, "neither"),
    ("injection", but(docker={"cdi": ()}, slots={"injection": Injection.CDI}), X, GPU),
    ("injection", but(docker={"nvidia": False}, slots={"injection": Injection.NVIDIA}), X, "toolkit"),
    ("injection", but(slots={"gpus": (), "cpu": 1}), N, "no slot"),
    ("device-links", but(docker={"cdi": ()}, unlinked=("/dev/nvidia0",)), W, "/dev/nvidia0"),
    ("device-links", but(slots={"injection": Injection.NVIDIA}, unlinked=("/dev/nvidia0",)), W, "/dev/nvidia0"),
    ("device-links", but(slots={"gpus": (), "cpu": 1}), N, "no slot"),
    ("disk", but(disks=disk(free=9 << 30)), X, "9.0 GiB"),
    ("disk", but(disks=disk(free=float("nan"))), X, "nan"),
    ("disk", but(disks=disk(inodes=1.0)), X, "inodes"),
    ("disk", but(disks=disk(error="stale")), X, "stale"),
    ("data", but(docker={"data": "/data"}), W, "/data"),
    ("data", but(docker={"data": ""}), N, "does not say"),
    ("account", but(account={"engine": False}), X, "backburn-pool"),
    ("account", but(account={"engine": False}, installed=False), N, "setup"),
    ("account", but(account={"exists": False}, installed=False), N, "setup"),
    ("folders", but(account={"state": False}), X, "/var/lib/backburn-pool"),
    ("folders", but(account={"locks": False}), X, "/run/lock"),
    ("folders", but(account={"file": False}), X, "pool.toml"),
    ("folders", but(account={"caches": False}), X, "no caches"),
    ("folders", but(installed=False), N, "setup"),
    ("uid", but(namesake="alice"), W, "alice has the uid 1001"),
    ("github", but(github={"error": "no route", "answered": False}), X, "no route"),
    ("github", but(github={"secret": "not PEM"}), N, "no credential"),
    ("credential", but(github={"secret": "token: not PEM\n  take another"}), X, "token: not PEM"),
    ("credential", but(github={"refused": "403 for DELETE", "hint": "admin:org"}), X, "403"),
    ("credential", but(github={"error": "no route"}), N, "not answered"),
    ("group", but(github={"group": "no such group", "hint": "one of"}), X, "no such group"),
    ("group", but(github_given={"allow_public": True}), W, "public"),
    ("group", but(github={"refused": "403"}), N, "above"),
    ("clock", but(github={"skew": 400.0}), W, "400 s behind"),
    ("clock", but(github={"skew": -700.0}), X, "700 s ahead"),
    ("clock", but(github={"answered": False}), N, "not answered"),
    ("image", but(image={"present": False}), X, "sha256:1"),
    ("image", but(image={"error": "no"}), N, "engine"),
    ("image", but(installed=False), N, "setup"),
    ("runner", but(now=131 * DAY), W, "31 days"),
    ("runner", but(image={"made": 0.0}), N, "does not say"),
    ("runner", but(image={"present": False}), N, "no image"),
]


@pytest.mark.parametrize("check", TABLE, ids=lambda check: check.id)
def test_it_holds_on_a_sound_machine(check):
    answer = check.judge(SOUND)
    assert (answer.verdict, answer.fix) == (Verdict.OK, "") and answer.said


@pytest.mark.parametrize(("check", "machine", "verdict", "said"), BROKEN)
def test_it_does_not_hold_on_a_broken_one(check, machine, verdict, said):
    answer = JUDGES[check](machine)
    assert answer.verdict is verdict and said in answer.said
    assert bool(answer.fix) is (verdict in (Verdict.WRONG, Verdict.WARNING))


@pytest.mark.parametrize(
    ("check", "machine"),
    [
        ("engine", but(docker={"version": "20.10.24+dfsg1"})),
        ("injection", but(docker={"cdi": ()})),
        ("injection", but(docker={"cdi": (), "nvidia": False}, slots={"injection": Injection.DEVICES})),
        ("device-links", but(docker={"cgroup_driver": "cgroupfs", "cdi": ()}, unlinked=("/dev/nvidia0",))),
        ("device-links", but(docker={"cdi": ()})),
        ("clock", but(github={"skew": 200.0})),
    ],
)
def test_other_ways_to_be_sound(check, machine):
    assert JUDGES[check](machine).verdict is Verdict.OK


def test_every_check_has_a_broken_row():
    assert {row[0] for row in BROKEN if row[2] in (W, X)} == set(JUDGES)


def test_what_was_asked_and_what_the_machine_lacks_are_two_codes():
    assert {check.id for check in TABLE if check.code == 2} == {"credential", "group"}
    assert {check.code for check in TABLE} == {2, 3}


def test_the_page_has_them_all():
    table = (REPOSITORY / "docs/pool.md").read_text().partition("\n| check | what holds when it is ok |\n")[2]
    rows = re.findall(r"^\| `([\w-]+)` \|", table.partition("\n\n")[0], re.MULTILINE)
    assert rows == [check.id for check in TABLE]
