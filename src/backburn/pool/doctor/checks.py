"""What a machine needs to be a pool: each check a pure function, all of them in one table."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import msgspec

from ..config import Injection
from ..gate import SKEWED
from ..injection import HINTS
from .seen import Seen

GIB = 1 << 30
OLDEST, CDI = (20, 10), (25, 0)  # of Docker Engine; CDI came with 25
DRIFT = 300.0  # seconds: a warning; from SKEWED on no slot is armed
OUTDATED = 30 * 86400.0  # seconds after a newer release in which GitHub still gives jobs to a runner


class Verdict(StrEnum):
    """Of one check."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    NOT_ASKED = "not asked"


class Answer(msgspec.Struct, frozen=True):
    """What was seen; `fix` is what to do."""

    verdict: Verdict
    said: str
    fix: str = ""


def ok(said: str) -> Answer:
    """As it should be."""
    return Answer(Verdict.OK, said)


def warning(said: str, fix: str) -> Answer:
    """Jobs run, and something is lost some day."""
    return Answer(Verdict.WARNING, said, fix)


def wrong(said: str, fix: str) -> Answer:
    """No job can run so."""
    return Answer(Verdict.WRONG, said, fix)


def not_asked(said: str) -> Answer:
    """It does not apply, or what it follows from is wrong already."""
    return Answer(Verdict.NOT_ASKED, said)


# The machine


def driver(seen: Seen) -> Answer:
    """The driver of NVIDIA answers, and has every GPU that a slot names."""
    wanted = seen.config.slots.gpus
    if not wanted:
        return not_asked("no slot has a GPU") if seen.installed else _without_gpus(seen)
    if seen.driver.error:
        return wrong(seen.driver.error, "Install NVIDIA's driver, reboot, and see that `nvidia-smi -L` answers.")
    if missing := [one for one in wanted if one not in seen.driver.gpus]:
        return wrong(
            f"no such GPU here: {', '.join(missing)}",
            f"[slots] gpus: `nvidia-smi -L` has {', '.join(seen.driver.gpus) or 'none'}.",
        )
    return ok(f"{len(wanted)} of {len(seen.driver.gpus)} GPUs are slots")


def _without_gpus(seen: Seen) -> Answer:
    """Of a pool that is still to come."""
    if seen.driver.gpus:
        return not_asked("no slot is to have a GPU")
    found = f"no GPU was found ({seen.driver.error or 'the driver names none'})"
    if seen.config.slots.cpu:
        return not_asked(f"{found}: the pool has slots without one alone")
    return wrong(
        f"{found}, and so no slot", "Install NVIDIA's driver and reboot, or say --cpu 1 for one without a GPU."
    )


def engine(seen: Seen) -> Answer:
    """Docker answers, and is 20.10 or later; 25 or later where GPUs come by CDI."""
    docker, slots = seen.docker, seen.config.slots
    if docker.error:
        return wrong(docker.error, "Install Docker Engine and start it: `systemctl enable --now docker`.")
    if _version(docker.version) < OLDEST:
        return wrong(f"Docker Engine {docker.version}", "20.10 is the oldest that works: upgrade it.")
    if slots.gpus and slots.injection is Injection.CDI and _version(docker.version) < CDI:
        return wrong(f"Docker Engine {docker.version} has no CDI", 'Upgrade to 25, or [slots] injection = "nvidia".')
    return ok(f"Docker Engine {docker.version}")


def _version(said: str) -> tuple[int, int]:
    found = re.match(r"(\d{1,4})\.(\d{1,4})", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def live_restore(seen: Seen) -> Answer:
    """A restart of Docker ends no job."""
    if seen.docker.error:
        return not_asked("the engine does not answer")
    if seen.docker.live_restore:
        return ok("a restart of Docker ends no job")
    fix = 'Put "live-restore": true into /etc/docker/daemon.json, then `systemctl reload docker`.'
    return warning("a restart of Docker ends every job", fix)


def injection(seen: Seen) -> Answer:
    """Docker can hand out each GPU: by CDI, or by NVIDIA's container toolkit."""
    slots, docker = seen.config.slots, seen.docker
    if not slots.gpus or docker.error:
        return not_asked("no slot has a GPU" if not slots.gpus else "the engine does not answer")
    if slots.injection is Injection.DEVICES:
        return ok("the device nodes are handed out as they are")
    unknown = [one for one in slots.gpus if one not in docker.cdi]
    if not unknown and slots.injection is not Injection.NVIDIA:
        return ok("CDI knows them all")
    if slots.injection is Injection.CDI:
        return wrong(f"CDI does not know {', '.join(unknown)}", HINTS[Injection.CDI])
    if not docker.nvidia:
        return wrong("neither CDI nor NVIDIA's container toolkit hands them out", HINTS[Injection.NVIDIA])
    return ok("NVIDIA's container toolkit")


def device_links(seen: Seen) -> Answer:
    """A `systemctl daemon-reload` takes no GPU from a container that runs (nvidia-container-toolkit#48)."""
    slots, docker = seen.config.slots, seen.docker
    way = slots.injection
    if not slots.gpus or docker.error:
        return not_asked("no slot has a GPU" if not slots.gpus else "the engine does not answer")
    if docker.cgroup_driver != "systemd" or way in (Injection.CDI, Injection.DEVICES):
        return ok(f"control groups by {docker.cgroup_driver or 'cgroupfs'}")
    if way is Injection.AUTO and set(slots.gpus) <= set(docker.cdi):
        return ok("CDI names the devices")
    if not seen.unlinked:
        return ok("/dev/char has a link to each device")
    fix = "`nvidia-ctk system create-dev-char-symlinks --create-all`, at each boot by a udev rule; or use CDI."
    return warning(f"`systemctl daemon-reload` would take away {', '.join(seen.unlinked)}", fix)


def clock(seen: Seen) -> Answer:
    """The clock is GitHub's within five minutes; from ten on no slot is armed."""
    if not seen.github.answered:
        return not_asked("GitHub has not answered")
    skew = abs(seen.github.skew)
    said = f"{skew:.0f} s {'behind' if seen.github.skew > 0 else 'ahead of'} GitHub's"
    if skew <= DRIFT:
        return ok(said if skew >= 1 else "as GitHub's")
    fix = "`timedatectl set-ntp true`, or whatever else sets the clock here."
    return wrong(said, fix) if skew > SKEWED else warning(said, fix)


def disk(seen: Seen) -> Answer:
    """Every disk that a job fills has the room that [limits] asks for."""
    limits = seen.config.limits
    for one in seen.disks:
        if one.error:
            return wrong(f"{one.place}: {one.error}", "[docker] data and [pool] state say where it is.")
        if not one.free >= limits.disk_min_free:
            said = f"{one.free / GIB:.1f} GiB free at {one.place}, fewer than {limits.disk_min_free / GIB:.1f}"
            return wrong(said, "Make room (`docker system df`), or lower [limits] disk-min-free.")
        if not one.inodes >= limits.disk_min_inodes:
            said = f"{one.inodes:.1f} % of the inodes free at {one.place}, fewer than {limits.disk_min_inodes:g}"
            return wrong(said, "Remove small files, or lower [limits] disk-min-inodes.")
    return ok(f"{min(one.free for one in seen.disks) / GIB:.0f} GiB free")


def data(seen: Seen) -> Answer:
    """Where the engine's layers lie is what [docker] data says, so that the right disk is looked at."""
    said, real = seen.config.docker.data, seen.docker.data
    if seen.docker.error or not real:
        return not_asked("the engine does not say")
    if said == real:
        return ok(real)
    return warning(f"the engine has its layers at {real}, not at {said}", f'[docker] data = "{real}"')


# Who supervises


def account(seen: Seen) -> Answer:
    """The supervisor's user may use the engine's socket."""
    who = seen.account
    if not who.exists:
        return _to_come()
    if not who.engine:
        fix = f"`usermod -aG docker {who.name}`, which is as good as making it root; then start the supervisor anew."
        return wrong(f"{who.name} may not use {seen.config.docker.host}", fix) if seen.installed else _to_come()
    return ok(f"{who.name} may use Docker, which is as good as root")


def folders(seen: Seen) -> Answer:
    """It may read pool.toml, and write its state, its locks and its caches."""
    who, pool, caches = seen.account, seen.config.pool, seen.config.cache.root
    if not who.exists or not seen.installed:
        return _to_come()
    if not who.file:
        return wrong(f"{who.name} may not read pool.toml", f"`chgrp {who.name}` it and its folder; modes 640 and 750.")
    for may, place, key in ((who.state, pool.state, "state"), (who.locks, pool.locks, "locks")):
        if not may:
            return wrong(f"{who.name} may not write {place}", f"`chown {who.name} {place}`, or another [pool] {key}.")
    if not who.caches:
        fix = f"`install -d -o {who.name} -m 0700 {caches}`, then setup again, whose unit lets the service write there."
        return wrong(f"{who.name} may not write {caches}, and jobs get no caches", fix)
    return ok(f"{pool.state} and {pool.locks}" + (f", {caches}" if caches else ""))


def _to_come() -> Answer:
    return not_asked("setup sees to it")


def uid(seen: Seen) -> Answer:
    """No account of this machine has the number of the jobs' user: to the kernel they would be one."""
    number = seen.config.docker.user.partition(":")[0]
    if not seen.namesake:
        return ok(f"{number} is nobody's here but the jobs'")
    said = f"{seen.namesake} has the uid {number}, as jobs do: to the kernel they are one user, and it may end them"
    return warning(said, f"`usermod --uid` for {seen.namesake}; or another [docker] user, and an image with that one.")


# GitHub


def github(seen: Seen) -> Answer:
    """An answer comes from GitHub."""
    if seen.github.secret:
        return not_asked("there is no credential to ask with")
    if seen.github.error:
        fix = "Is the network up, and [github] proxy right? `backburn pool doctor` asks again."
        return wrong(seen.github.error, fix)
    return ok("it answers")


def credential(seen: Seen) -> Answer:
    """The App's key or the token can be read, GitHub knows it, and it may register runners there."""
    found = seen.github
    if found.secret:
        said, _, hint = found.secret.partition("\n")
        return wrong(said, hint.strip() or "[github] says where it is.")
    if found.error:
        return not_asked("GitHub has not answered")
    return wrong(found.refused, found.hint) if found.refused else ok(f"may register runners for {_url(seen)}")


def _url(seen: Seen) -> str:
    return seen.config.github.url


def group(seen: Seen) -> Answer:
    """The runner group exists, and no public repository reaches this machine by it."""
    found = seen.github
    if found.secret or found.refused or found.error:
        return not_asked("follows from what is wrong above")
    if found.group:
        return wrong(found.group, found.hint)
    if seen.config.github.allow_public:
        return warning("public repositories are allowed", "Who opens a pull request there runs code on this machine.")
    return ok(f"{seen.config.github.runner_group}, closed to public repositories")


# The image


def image(seen: Seen) -> Answer:
    """What a job runs in is there."""
    wanted = seen.config.pool.image
    if seen.image.error or not seen.installed:
        return not_asked("the engine does not answer") if seen.image.error else _to_come()
    if not seen.image.present:
        return wrong(f"no image {wanted}", f"`backburn pool setup` builds one; or `docker pull {wanted}`.")
    return ok(seen.image.base or wanted)


def runner(seen: Seen) -> Answer:
    """The runner is not older than GitHub takes: 30 days after a newer release it gets no more jobs."""
    if not seen.image.present or not seen.image.made:
        return not_asked("no image yet" if not seen.image.present else "its image does not say when it was made")
    age = seen.now - seen.image.made
    said = f"{max(0.0, age) / 86400:.0f} days old"
    if age <= OUTDATED:
        return ok(said)
    fix = "If a newer one is out, GitHub stops giving it jobs: `backburn pool setup --base IMAGE:TAG` with its tag."
    return warning(said, fix)


class Check(NamedTuple):
    """`code`: the exit code where it is wrong: 2, what was asked; 3, the machine."""

    id: str
    judge: Callable[[Seen], Answer]
    code: int


TABLE = (
    Check("driver", driver, 3),
    Check("engine", engine, 3),
    Check("live-restore", live_restore, 3),
    Check("injection", injection, 3),
    Check("device-links", device_links, 3),
    Check("disk", disk, 3),
    Check("data", data, 3),
    Check("account", account, 3),
    Check("folders", folders, 3),
    Check("uid", uid, 3),
    Check("github", github, 3),
    Check("credential", credential, 2),
    Check("group", group, 2),
    Check("clock", clock, 3),
    Check("image", image, 3),
    Check("runner", runner, 3),
)
