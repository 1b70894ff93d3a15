"""The file pool.toml, as frozen Structs. It says where secrets are, and holds none."""

from __future__ import annotations

import hashlib
import re
import socket
import tomllib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import msgspec

from ..config import Seconds, nearest
from ..errors import UserError
from .lease import Slot
from . import scope as scopes
from .scope import REPOSITORY, Kind

PLACES = ("pool.toml", "/etc/backburn/pool.toml")  # looked at in this order where --config does not say
CACHES = ("pip", "uv", "hf", "torch", "data")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Bytes(int):
    """A size in bytes; the file may say `1024`, `"64k"`, `"500m"`, `"16g"` or `"1t"`, in powers of 1024."""

    @classmethod
    def parse(cls, value: object) -> Bytes:
        """Raise ValueError for anything that is not a positive size."""
        size = value if isinstance(value, int) and not isinstance(value, bool) else 0
        match = (
            re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", value.lower())
            if isinstance(value, str)
            else None
        )
        if match is not None:
            size = int(float(match[1]) * _UNITS[match[2]])
        if not 0 < size < 1 << 62:
            raise ValueError(f'expected a size such as 1024, "500m" or "16g", got {str(value)[:60]!r}')
        return cls(size)


class Injection(StrEnum):
    """How a container is given its GPU."""

    AUTO = "auto"  # cdi where the engine knows CDI, else nvidia
    CDI = "cdi"
    NVIDIA = "nvidia"
    DEVICES = "devices"  # the device nodes themselves
    NONE = "none"  # CPU slots only


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """What every table of the file is."""


class GitHub(Table, frozen=True, kw_only=True):
    """`[github]`: whose jobs are run, and by what right we ask for them."""

    url: str = ""  # https://github.com/acme, …/acme/repository, …/enterprises/acme; another host: GHES
    api_url: str = ""  # "": https://api.github.com, or <host>/api/v3 for GHES
    app_id: str | int = ""  # an App's id or client id, with private-key; else token
    installation_id: int = 0  # 0: asked for
    private_key: str = ""  # where the secret is: "file:/…", "credential:NAME" (systemd), "env:NAME"
    token: str = ""  # likewise
    runner_group: str = "Default"
    allow_public: bool = False  # public repositories: whoever opens a pull request runs code on this machine
    proxy: str = ""  # "": as HTTPS_PROXY and NO_PROXY say


class Pool(Table, frozen=True, kw_only=True):
    """`[pool]`: what this machine offers."""

    name: str = ""  # of the pool; [a-z0-9-], at most 20: begins every runner's name with the machine's
    image: str = ""
    labels: tuple[str, ...] = ("self-hosted", "linux", "x64", "gpu")
    state: str = "/var/lib/backburn-pool"  # the folder of the database, the black boxes and the reserve
    locks: str = "/run/lock"  # one lock per GPU, so that no second pool of this machine takes it
    max_job: Seconds = Seconds(86400)
    online_within: Seconds = Seconds(90)  # from the container's start
    hang: Seconds = Seconds(300)  # GitHub has ended the job, and the container still runs
    host: str = ""  # "": this machine's name


class Slots(Table, frozen=True, kw_only=True):
    """`[slots]`: the GPUs or MIG instances by UUID, and slots without one."""

    gpus: tuple[str, ...] = ()
    cpu: int = 0
    injection: Injection = Injection.AUTO


class Limits(Table, frozen=True, kw_only=True):
    """`[limits]`: of each slot; what is not given is not limited, but for pids, shm and the log."""

    cpus: float = 0.0
    memory: Bytes | None = None
    pids: int = 4096
    shm: Bytes = Bytes(8 << 30)
    log: Bytes = Bytes(64 << 20)
    disk_min_free: Bytes = Bytes(10 << 30)  # below it no slot is armed
    disk_min_inodes: float = 5.0  # percent


class Docker(Table, frozen=True, kw_only=True):
    """`[docker]`: the engine."""

    host: str = "unix:///var/run/docker.sock"
    data: str = "/var/lib/docker"  # where its layers and logs lie: must have room
    network: str = "bridge"
    user: str = "1001:1001"
    mounts: tuple[str, ...] = ()  # "/host/path:/in/container", read-only
    read_only: bool = False  # the container's root


class Metrics(Table, frozen=True, kw_only=True):
    """`[metrics]`: Prometheus and /health; "" turns it off. Only a loopback address is taken."""

    listen: str = "127.0.0.1:9477"


class BlackBox(Table, frozen=True, kw_only=True):
    """`[black-box]`: what is kept of a job that failed."""

    keep: Seconds = Seconds(7 * 86400)
    most: Bytes = Bytes(1 << 30)  # of all of them together


class Cache(Table, frozen=True, kw_only=True):
    """`[cache]`: what jobs find at /cache, and what is kept of what they write there."""

    root: str = ""  # "": none
    names: tuple[str, ...] = CACHES
    most: Bytes = Bytes(200 << 30)  # of all of them together
    promote: bool = True  # what jobs of protected branches add is kept for all


class Costs(Table, frozen=True, kw_only=True):
    """`[costs]`: what an hour of a slot costs, for `backburn pool costs`."""

    per_hour: float = 0.0
    currency: str = ""
    keep: Seconds = Seconds(400 * 86400)  # of the ledger


class Probe(StrEnum):
    """What a GPU does to prove itself, beside what its driver says of it."""

    NONE = "none"
    CUDA = "cuda"  # real work, about 20 seconds of it


class Health(Table, frozen=True, kw_only=True):
    """`[health]`: how a GPU is watched."""

    interval: Seconds = Seconds(10)  # between two looks
    throttle_grace: Seconds = Seconds(120)  # slowed down for so long counts
    probe: Probe = Probe.NONE  # before a slot leaves quarantine
    probe_each_lease: bool = False  # and before each lease


class Queue(Table, frozen=True, kw_only=True):
    """`[queue]`: where jobs are looked for that this pool should take and does not, and whom that is told."""

    repositories: tuple[str, ...] = ()  # owner/name; (): that of [github] url, or none
    longer_than: Seconds = Seconds(900)
    webhook: str = ""  # where its URL is, which is a secret: "file:/…", "credential:NAME", "env:NAME"
    issue: str = ""  # owner/name of the repository that gets one


class Config(Table, frozen=True, kw_only=True):
    """All of pool.toml."""

    github: GitHub = GitHub()
    pool: Pool = Pool()
    slots: Slots = Slots()
    limits: Limits = Limits()
    docker: Docker = Docker()
    metrics: Metrics = Metrics()
    black_box: BlackBox = BlackBox()
    cache: Cache = Cache()
    costs: Costs = Costs()
    health: Health = Health()
    queue: Queue = Queue()

    @property
    def all_slots(self) -> tuple[Slot, ...]:
        """One for each GPU, in the order of the file, then the CPU slots cpu0, cpu1, …"""
        gpus = [Slot(name=_named(uuid), device=uuid) for uuid in self.slots.gpus]
        return (*gpus, *(Slot(name=f"cpu{place}") for place in range(self.slots.cpu)))

    @property
    def prefix(self) -> str:
        """What the name of each of our runners begins with; nothing else of GitHub's is ever touched."""
        return f"{self.pool.name}-{_host(self.pool)}-"

    @property
    def state(self) -> Path:
        """The folder that outlives us."""
        return Path(self.pool.state)

    @property
    def disks(self) -> tuple[Path, ...]:
        """Folders on each disk that jobs fill, or we."""
        return (Path(self.docker.data), self.state, *([Path(self.cache.root)] if self.cache.root else []))


def _host(pool: Pool) -> str:
    """At most 20 of a-z, 0-9 and -. A long name ends in its hash: nodes 1 and 2 of a cluster begin alike, and each
    takes away what begins like its own.
    """
    whole = re.sub(r"[^a-z0-9]+", "-", (pool.host or socket.gethostname()).lower()).strip("-")
    return whole if len(whole) <= 20 else f"{whole[:11]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def _named(uuid: str) -> str:
    """A slot's name is its GPU's own: with another order in the file, a running job stays where it is."""
    kind, _, rest = uuid.lower().partition("-")
    start = rest[:8] if re.match(r"[0-9a-f]{8}-", rest) else hashlib.sha256(uuid.encode()).hexdigest()[:8]
    return kind + start


def find(given: Path | None) -> Path:
    """The configuration file: the one given, else ./pool.toml, else that of the machine. Raises UserError without."""
    for place in [given] if given else map(Path, PLACES):
        if place.is_file():
            return place
    where = str(given) if given else " or ".join(PLACES)
    hint = (
        "--config FILE says where it is. There is none yet? `sudo runner/setup.sh --url …` makes it with all the rest,"
    )
    hint += " `backburn pool doctor --url …` only looks whether this machine is fit; docs/pool.md has each key."
    raise UserError("no such file", where=where, hint=hint)


def load(path: Path) -> Config:
    """Read and check the file. Raises UserError: all unknown keys at once, then the first value that cannot be."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(str(error), where=str(path), hint="Mend the file; nothing was started.") from error
    return parse(text, path)


def parse(text: str, path: Path) -> Config:
    """What the file at `path` says, or would say. Raises UserError as `load` does."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(str(error), where=str(path), hint="Mend the file; nothing was started.") from error
    if problems := list(_unknown(table, path)):
        raise UserError("\n".join(problems), hint="Remove or correct the keys above.")
    config = _convert(table, path)
    for problem, where in _wrong(config):
        raise UserError(problem, where=f"{path}: {where}")
    return config


def _unknown(table: Mapping[str, Any], path: Path) -> Iterator[str]:
    known = {field.encode_name: field.type for field in msgspec.structs.fields(Config)}
    for key, value in table.items():
        if key not in known:
            yield f"{path}: [{key}]: unknown key. {nearest(key, known)}"
        elif not isinstance(value, dict):
            yield f"{path}: {key}: expected a table, [{key}]"
        else:
            names = {field.encode_name for field in msgspec.structs.fields(known[key])}
            yield from (
                f"{path}: [{key}] {one}: unknown key. {nearest(one, names)}" for one in value if one not in names
            )


def _convert(table: Mapping[str, Any], path: Path) -> Config:
    try:
        return msgspec.convert(table, Config, dec_hook=_decode)
    except (msgspec.ValidationError, ValueError) as error:
        said = str(error)
        place = re.search(r"`\$\.([\w-]+)\.?([\w-]*)", said)
        where = f"{path}: [{place[1]}] {place[2]}" if place else str(path)
        kind = Probe if place and place[2] == "probe" else Injection
        hint = f"One of: {', '.join(kind)}." if "Invalid enum value" in said else ""
        raise UserError(said.split(" - at")[0], where=where.strip(), hint=hint) from error


def _decode(kind: type, value: object) -> object:
    for each in (Seconds, Bytes):
        if kind is each or each in get_args(kind):
            return each.parse(value)
    raise NotImplementedError(kind)


def _wrong(config: Config) -> Iterator[tuple[str, str]]:
    """What is well-formed, and cannot hold."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", config.pool.name):
        yield 'a name of at most 20 of a-z, 0-9 and -, for example "lab1"', "[pool] name"
    if not config.pool.image:
        yield "no image", "[pool] image"
    if not re.fullmatch(r"https?://[^/\s]+(/[^/\s]+){1,2}/?", config.github.url):
        said = 'expected the URL of an organisation, a repository or an enterprise, as "https://github.com/acme"'
        yield said, "[github] url"
    if not config.all_slots:
        yield "no slot: name GPUs (nvidia-smi -L shows their UUIDs), or cpu = 1", "[slots]"
    if len({slot.name for slot in config.all_slots}) < len(config.all_slots):
        yield "a GPU is named twice: two jobs would share it", "[slots] gpus"
    for uuid in config.slots.gpus:
        if not re.fullmatch(r"(GPU|MIG)-[0-9A-Za-z/-]{4,80}", uuid):
            yield f"not the UUID of a GPU or MIG instance: {uuid!r} (an index changes when one fails)", "[slots] gpus"
    if config.slots.gpus and config.slots.injection is Injection.NONE:
        yield 'the slots have GPUs, and "none" would not hand them out', "[slots] injection"
    if not 1 <= len(config.pool.labels) <= 100 or not all(label.strip() for label in config.pool.labels):
        yield "1 to 100 labels, none of them empty", "[pool] labels"
    if not _host(config.pool):
        yield "a name with at least one of a-z and 0-9, this machine's own", "[pool] host"
    yield from _wrong_rights(config)
    yield from _wrong_queue(config)
    yield from _wrong_cache(config.cache)
    yield from _wrong_numbers(config)
    if config.health.probe_each_lease and config.health.probe is Probe.NONE:
        yield 'there is no probe: say also probe = "cuda"', "[health] probe-each-lease"
    listen = re.fullmatch(r"(127(\.\d{1,3}){3}|localhost):(\d{1,5})", config.metrics.listen)
    if config.metrics.listen and not (listen and int(listen[3]) <= 65535):
        said = 'only a loopback address, as "127.0.0.1:9477", or "" for none: the metrics name repositories'
        yield said, "[metrics] listen"


def _wrong_numbers(config: Config) -> Iterator[tuple[str, str]]:
    """Written so that NaN, which TOML has, is wrong too."""
    limits = config.limits
    for value, low, high, where in (
        (config.slots.cpu, 0, 1024, "[slots] cpu"),
        (limits.cpus, 0.0, 4096.0, "[limits] cpus"),
        (limits.pids, 1, 4194304, "[limits] pids"),
        (limits.disk_min_inodes, 0.0, 100.0, "[limits] disk-min-inodes"),
        (config.costs.per_hour, 0.0, 1e9, "[costs] per-hour"),
        (config.health.interval, 1.0, 60.0, "[health] interval"),
        (config.health.throttle_grace, 1.0, 3600.0, "[health] throttle-grace"),
    ):
        if not low <= value <= high:
            yield f"expected a number from {low:g} to {high:g}, got {value:g}", where


def _wrong_queue(config: Config) -> Iterator[tuple[str, str]]:
    queue, scope = config.queue, scopes.parse(config.github.url)
    for key, names in (("repositories", queue.repositories), ("issue", tuple(filter(None, (queue.issue,))))):
        for name in names:
            if not REPOSITORY.fullmatch(name):
                yield f'expected owner/name, as "acme/digits", got {name[:60]!r}', f"[queue] {key}"
    for name in queue.repositories:
        if scope.kind is not Kind.ENTERPRISE and not scope.has(name):
            yield f"{name} is not of {config.github.url}", "[queue] repositories"
    if (queue.webhook or queue.issue) and not queue.repositories and scope.kind is not Kind.REPOSITORY:
        yield 'nothing would ever be told: name the repositories to look at, as ["acme/digits"]', "[queue] repositories"


def _wrong_cache(cache: Cache) -> Iterator[tuple[str, str]]:
    plain = re.fullmatch(r"/[A-Za-z0-9/._-]{1,99}", cache.root)  # it stands in the options of a mount
    if cache.root and (plain is None or ".." in cache.root.split("/")):
        yield "expected a whole path of at most 100 letters, digits and . _ - /", "[cache] root"
    if not cache.names or len(set(cache.names)) < len(cache.names) or set(cache.names) - set(CACHES):
        yield f"expected some of {', '.join(CACHES)}, each once", "[cache] names"


def _wrong_rights(config: Config) -> Iterator[tuple[str, str]]:
    github = config.github
    if bool(github.token) == bool(github.private_key):
        yield "give token, or app-id and private-key", "[github]"
    if bool(github.app_id) != bool(github.private_key):
        yield "app-id and private-key belong together", "[github]"
    for value, where in (
        (github.token, "[github] token"),
        (github.private_key, "[github] private-key"),
        (config.queue.webhook, "[queue] webhook"),
    ):
        if value and not re.match(r"(file|credential|env):.", value):
            said = 'a secret is never written here: say where it is, "file:/…", "credential:NAME" or "env:NAME"'
            yield said, where
