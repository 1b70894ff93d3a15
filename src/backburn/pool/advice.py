"""What happened and what to do next, in plain words, for each outcome that a person should look at."""

from __future__ import annotations

from . import care
from .engine import Inspection
from .exits import Outcome
from .lease import Lease, Slot

# Outcome -> (what happened, what to do next).
SAID: dict[Outcome, tuple[str, str]] = {
    Outcome.FAILED: (
        "The job ran to its end, and said itself that it failed. The machine did its part.",
        "Read the job's own log at GitHub. Nothing has to be done here.",
    ),
    Outcome.ABANDONED: (
        "GitHub gave the job up: it had lost touch with the runner, or the job's request had expired.",
        "Look at machine.txt for memory or load that starved the runner, and at the network between here and GitHub."
        " Run the job again.",
    ),
    Outcome.ORPHANED: (
        "The runner ended well, and GitHub still has it. A job that was on its way to it may wait there as `queued`.",
        "If a job hangs at GitHub, cancel it and run it again. The registration is being removed from here.",
    ),
    Outcome.MEMORY: (
        "The kernel killed the container: it used more memory than [limits] memory, or the machine had no more.",
        "machine.txt shows what the machine had left. Raise [limits] memory, lower the batch or the number of loader"
        " workers, or give the machine fewer slots.",
    ),
    Outcome.RESTARTED: (
        "The container engine was restarted, and took the container and its job with it.",
        'Put "live-restore": true into /etc/docker/daemon.json: jobs then outlive a restart. Run the job again.',
    ),
    Outcome.WATCHDOG: (
        "The container was killed from here: its job was older than [pool] max-job, or GitHub had long ended it.",
        "lease.json says which, at `forced`. A training that is meant to run so long needs a larger max-job.",
    ),
    Outcome.LATE: (
        "The container ran, and the runner was not online at GitHub within [pool] online-within.",
        "log.txt and diag.txt say what it waited for. Most often: no way to GitHub out of the container (proxy, DNS,"
        " firewall on [docker] network), or an image whose entrypoint is not the runner.",
    ),
    Outcome.UNBOUND: (
        "The container was given another GPU than the one of its slot. It was ended before it had a job.",
        "container.json has the devices. Compare them with `nvidia-smi -L`, renew the CDI specification"
        " (nvidia-ctk cdi generate), or choose another [slots] injection.",
    ),
    Outcome.BLIND: (
        "The container does not see its GPU, so it took no job. That is the container's trouble: the next one is new.",
        "log.txt says what it saw. Where it goes on: is the GPU in `nvidia-smi -L`, the CDI specification as new as the"
        " driver (nvidia-ctk cdi generate)? A `systemctl daemon-reload` takes GPUs from containers unless [slots]"
        " injection is cdi or devices.",
    ),
    Outcome.KILLED: (
        "Something outside of us ended the container by a signal.",
        "Look for `docker kill`, `docker stop`, a clean-up by cron or systemd-oomd at that time:"
        " journalctl -u docker --since, dmesg -T. Run the job again.",
    ),
    Outcome.LOST: (
        "The container is gone, and it was not removed from here.",
        "Look for `docker rm`, `docker system prune` or a second pool with the same name on this machine.",
    ),
    Outcome.CONFLICT: (
        "GitHub said that a session of this runner exists already. Each runner here has a name of its own.",
        "Another machine may use the same [pool] name and host name: give each its own [pool] host.",
    ),
    Outcome.DEPRECATED: (
        "GitHub takes no runner of this version any more.",
        "Build or pull an image with a newer runner, and write it into [pool] image. The slot waits meanwhile.",
    ),
    Outcome.IMAGE: (
        "What the image should start is not there, or cannot be started.",
        "log.txt has the engine's words. Try the image by hand: docker run --rm --entrypoint ls IMAGE -l /home/runner.",
    ),
    Outcome.RETRYABLE: (
        "The runner asked to be started again, which a single-use runner must not be.",
        "A new one is armed by itself, later each time. If it goes on: diag.txt, and the network to GitHub.",
    ),
    Outcome.CRASHED: (
        "The runner ended with an exit code that is no end it should have.",
        "Read the end of log.txt and diag.txt. Without a job before it, the image or the configuration is the cause.",
    ),
}


def readme(slot: Slot, lease: Lease, outcome: Outcome, seen: Inspection | None, silent: str = "") -> str:
    """The first file of a black box to read. `silent`: why the engine did not say how the container is."""
    happened, do = SAID.get(outcome, (f"The lease ended: {outcome}.", "Nothing has to be done."))
    if seen is not None:
        how = f"exit code {seen.code}, state {seen.state}" + (f", {seen.error}" if seen.error else "")
    else:
        how = f"not known: {silent}" if silent else "there is none"
    job = lease.job
    facts = {
        "slot": slot.name + (f" ({slot.device})" if slot.device else ""),
        "runner": lease.runner,
        "container": how,
        "job": f"{job.repository} {job.workflow} {job.job} {job.ref} run {job.run_id}" if job else "none was seen",
        "forced": lease.forced,
        "blame": f"{lease.blame}: {lease.why}" if lease.blame else "",
        "its GPU": "; ".join(care.said(one) for one in lease.symptoms),
    }
    said = "".join(f"{name + ':':11}{value}\n" for name, value in facts.items() if value)
    return f"{outcome}\n\nWhat happened\n  {happened}\n\nWhat to do next\n  {do}\n\n{said}{_FILES}"


_FILES = """
The files here, redacted and cut to size
  lease.json      what the supervisor knew of the lease
  container.json  what the engine said of the container; null: nothing
  notes.txt       the supervisor's own log of the last five minutes, of this slot
  machine.txt     load, memory and disks in the same minutes
  log.txt         the end of what the container printed
  diag.txt        the end of the runner's own log, where it could be found
"""
