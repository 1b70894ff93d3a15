"""pool.toml as values of the chart gha-runner-scale-set. A scale set is a pod template: what all slots have alike."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ...errors import UserError
from ..cache.fitting import ENVIRONMENT, MOUNTS
from ..config import Config
from ..container import HOOKS

SINCE = "0.14.0"  # the first chart that knows scaleSetLabels: actions-runner-controller#4408
WHOLE = "nvidia.com/gpu"  # what NVIDIA's device plugin calls a GPU, and what nodes with GPUs are tainted with
_RUN = "/home/runner/run.sh"  # the controller hands it the runner's configuration by ACTIONS_RUNNER_INPUT_JITCONFIG
_UNITS = (("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10))
_FLAGS = {"ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE": "1"}  # run.sh then ends with 7: the set is `Outdated`


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What the scale set offers: an image that nodes can pull, and the device that each runner gets."""

    image: str
    resource: str  # "": none
    runners: int  # at most, at a time


def offer(config: Config, image: str = "", resource: str = "") -> Offer:
    """That of the file, or as said. Raises UserError for an image or a device that a cluster could not provide."""
    gpus = config.slots.gpus
    return Offer(
        image=_pullable(image or config.pool.image, "--image" if image else "[pool] image"),
        resource=_resource(gpus, resource),
        runners=len(gpus) or config.slots.cpu,
    )


def _pullable(image: str, where: str) -> str:
    if re.fullmatch(r"(sha256:)?[0-9a-f]{12,64}", image):
        said = "the id of an image on this machine, which no node can pull"
        hint = (
            "Push it to a registry that the nodes reach (docker tag, docker push, which prints the digest), then say "
            "--image REGISTRY/NAME@sha256:DIGEST."
        )
        raise UserError(said, where=f"{where}: {image}", hint=hint)
    return image


def _resource(gpus: tuple[str, ...], resource: str) -> str:
    """The device plugin's name for what a slot has; a MIG instance's is its profile's, which no UUID tells."""
    parts = [uuid for uuid in gpus if uuid.startswith("MIG-")]
    if resource and not re.fullmatch(r"[a-z0-9.-]+\.[a-z]+/[A-Za-z0-9][A-Za-z0-9._-]{0,62}", resource):
        raise UserError("no resource of a node", where=f"--resource {resource!r}", hint=f"As {WHOLE}.")
    if resource and not gpus:
        raise UserError("the pool has no GPU", where="--resource", hint="Leave it out, or name GPUs in [slots] gpus.")
    if parts and len(parts) < len(gpus):
        hint = "A scale set has one kind. Export each from a copy of the file that has no other."
        raise UserError("whole GPUs beside MIG instances", where="[slots] gpus", hint=hint)
    if parts and not resource:
        said = "MIG instances, which a cluster hands out by their profile"
        hint = "Say which: --resource nvidia.com/mig-1g.10gb, say; `kubectl describe nodes` lists what there is."
        raise UserError(said, where="[slots] gpus", hint=hint)
    return resource or (WHOLE if gpus else "")


def values(config: Config, what: Offer) -> dict[str, Any]:
    """The values, in the order of the chart's own file."""
    github, named = config.github, config.pool.name
    group = {"runnerGroup": github.runner_group} if github.runner_group != "Default" else {}
    return {
        "githubConfigUrl": github.url,
        "scaleSetLabels": list(config.pool.labels),
        "githubConfigSecret": secret(config),
        **({"proxy": _proxied(config)} if github.proxy else {}),
        "maxRunners": what.runners,
        "minRunners": 0,
        **group,
        "runnerScaleSetName": named,
        "template": {"spec": _pod(config, what)},
    }


def secret(config: Config) -> str:
    """The name of the Secret with the App's key or the token."""
    return f"{config.pool.name}-github"


def proxy_secret(config: Config) -> str:
    """The name of the Secret with the proxy's user and password; "" where it asks for none."""
    return f"{config.pool.name}-proxy" if urlsplit(config.github.proxy).username else ""


def _proxied(config: Config) -> dict[str, Any]:
    parts = urlsplit(config.github.proxy)
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    known = {"credentialSecretRef": proxy_secret(config)} if proxy_secret(config) else {}
    return {"http": {"url": url} | known, "https": {"url": url} | known}


def _pod(config: Config, what: Offer) -> dict[str, Any]:
    """The runner's pod. Its deadline counts from its own start: with minRunners 0 that is the job's."""
    tolerated = {"key": WHOLE, "operator": "Exists", "effect": "NoSchedule"}
    return {
        "activeDeadlineSeconds": int(config.pool.max_job),
        "automountServiceAccountToken": False,
        "securityContext": _user(config),
        **({"tolerations": [tolerated]} if what.resource else {}),
        "containers": [_container(config, what)],
        "volumes": [volume for volume, _ in _volumes(config)],
    }


def _container(config: Config, what: Offer) -> dict[str, Any]:
    return {
        "name": "runner",
        "image": what.image,
        "command": [_RUN],
        "env": [{"name": name, "value": value} for name, value in _environment(config).items()],
        "resources": _resources(config, what),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [mount for _, mount in _volumes(config)],
    }


def _environment(config: Config) -> dict[str, str]:
    """As in a container of the pool's, but for the flag whose exit codes run.sh would hide."""
    forks = {"BACKBURN_ALLOW_FORKS": "1"} if config.github.allow_public else {}
    caches = {name: place for cache in cached(config) for name, place in ENVIRONMENT[cache].items()}
    return _FLAGS | HOOKS | forks | caches


def _user(config: Config) -> dict[str, Any]:
    user, _, group = config.docker.user.partition(":")
    if not (user.isdecimal() and (group or user).isdecimal()):
        raise UserError(f"no number: {config.docker.user!r}", where="[docker] user", hint='As "1001:1001".')
    number, team = int(user), int(group or user)
    return {
        "runAsUser": number,
        "runAsGroup": team,
        "fsGroup": team,
        **({"runAsNonRoot": True} if number else {}),
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _resources(config: Config, what: Offer) -> dict[str, Any]:
    """Limits that are asked for in full: no slot of a pool shares its GPU, cores or memory with another either."""
    limits = config.limits
    asked: dict[str, Any] = {what.resource: 1} if what.resource else {}
    if limits.cpus:
        asked["cpu"] = f"{limits.cpus:g}" if limits.cpus == int(limits.cpus) else f"{round(limits.cpus * 1000)}m"
    if limits.memory:
        asked["memory"] = quantity(limits.memory)
    return {"limits": asked, "requests": dict(asked)} if asked else {}


def quantity(size: int) -> str:
    """Bytes as Kubernetes writes them.

    >>> quantity(16 << 30), quantity(1536 << 20), quantity(1000)
    ('16Gi', '1536Mi', '1000')
    """
    return next((f"{size // unit}{name}" for name, unit in _UNITS if size % unit == 0), str(size))


def _volumes(config: Config) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each with where it is mounted: /dev/shm, which a pod has 64 MB of, and the folders of the host."""
    shm = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": quantity(config.limits.shm)}}
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [(shm, {"name": "shm", "mountPath": "/dev/shm"})]
    for place, mount in enumerate(config.docker.mounts):
        source, _, target = mount.partition(":")
        if not (source.startswith("/") and target.startswith("/")):
            hint = '"/host/path:/in/container", read-only.'
            raise UserError(f"no mount: {mount!r}", where="[docker] mounts", hint=hint)
        folder = {"name": f"mount-{place}", "hostPath": {"path": source, "type": "Directory"}}
        there = {"name": f"mount-{place}", "mountPath": target.removesuffix(":ro"), "readOnly": True}
        pairs.append((folder, there))
    return [*pairs, *(_cache(config, name) for name in cached(config))]


def cached(config: Config) -> tuple[str, ...]:
    """The names of the pool's caches."""
    return config.cache.names if config.cache.root else ()


def claim(config: Config) -> str:
    """The claim on the volume with the data sets; "" where no cache has any."""
    return f"{config.pool.name}-data" if "data" in cached(config) else ""


def _cache(config: Config, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Data is read and no more. Wheels and models begin empty in each runner: tools fail where they cannot write, and
    what all may write to, each could poison for all.
    """
    there = {"name": f"cache-{name}", "mountPath": f"{MOUNTS}/{name}"}
    if name != "data":
        return {"name": f"cache-{name}", "emptyDir": {}}, there
    volume = {"claimName": claim(config), "readOnly": True}
    return {"name": f"cache-{name}", "persistentVolumeClaim": volume}, there | {"readOnly": True}
