"""What the pool does and a scale set does not: said, each with what to do about it, and never left out in silence."""

from __future__ import annotations

from collections.abc import Iterator

from ..config import Config
from .values import Offer, cached, claim, quantity

ALWAYS = (
    "[pool] max-job: a pod's deadline counts from its own start. So minRunners is 0: a runner is made for a job, and "
    "none waits for one. With more, a job that begins late in its runner's life is cut short.",
    "drain, resume: `kubectl drain` ends the jobs on a node, and no budget holds it back "
    "(actions-runner-controller#4618). `kubectl cordon` it, wait until its runners are gone, then drain.",
    "hang watchdog: a runner that hangs after its job (actions/runner#4569) keeps its place until "
    "activeDeadlineSeconds, which is [pool] max-job.",
    "outcomes, black boxes, blame: a pod's logs go with it, and whose fault a red job is, nobody says. Ship the logs.",
    "costs: no ledger. The listener's metrics count jobs and seconds by repository (listenerMetrics).",
    "[limits] pids, log, disk-min-free: a node's, by its kubelet's podPidsLimit, containerLogMaxSize and evictions.",
    "[docker] network: a NetworkPolicy, where your cluster enforces those.",
    "[github] allow-public: nobody looks whether the runner group is open to public repositories. Look yourself.",
)
GPUS = (
    "GPU health gate, quarantine, parole: no GPU is looked at before a job. NVIDIA's device plugin takes one away at "
    "most Xid errors, until the plugin is restarted, and looks at no ECC counts, row remapping, heat or memory.",
    "one lock for each GPU: the device plugin hands a GPU to one pod, and does not see what else uses it on the node.",
    "GPUs by UUID: which GPU of which node a job gets is the scheduler's to say.",
)


def losses(config: Config, what: Offer) -> Iterator[str]:
    """One line each, those of this file first."""
    if "@sha256:" not in what.image:
        yield f"image: {what.image} is no digest, and may be another one tomorrow. Push it, and give its @sha256:…"
    if config.slots.gpus and config.slots.cpu:
        yield (
            f"[slots] cpu = {config.slots.cpu}: a scale set has one kind of runner. Export those from a copy of the "
            "file with another [pool] name and gpus = []."
        )
    if config.docker.mounts:
        yield "[docker] mounts: hostPath volumes, which must be on every node; a PersistentVolumeClaim need not."
    if claim(config):
        yield f"[cache] data: the PersistentVolumeClaim {claim(config)}, to be made and filled by you first."
    if set(cached(config)) - {"data"}:
        yield (
            "[cache]: wheels and models begin empty in each runner, and go with it. A volume in place of an emptyDir "
            "keeps them, and lets any job change what the next one runs."
        )
    if config.docker.read_only:
        yield "[docker] read-only: left out. The runner writes beside itself, and a pod's volume begins empty."
    if config.limits.memory and config.limits.shm > config.limits.memory:
        yield f"[limits] shm: {quantity(config.limits.shm)} in memory, more than the pod may have."
    if config.github.api_url:
        yield "[github] api-url: the controller takes it from githubConfigUrl."
    yield from GPUS if config.slots.gpus else ()
    yield from ALWAYS
