"""Start one training with a probe in it, and read from its output how it ended."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from . import config, environment, evidence, git, process, reach
from .errors import Skip, Unjudged, UserError
from .report import Finding, Level

ONPATH = Path(__file__).parent / "probes" / "onpath"
_FRAME = re.compile(r'^\s*File "([^"]+)", line (\d+)', re.MULTILINE)
_FATAL = re.compile(r"^Fatal Python error: .+", re.MULTILINE)  # PYTHONFAULTHANDLER's, of a signal such as SIGSEGV
_RAISED = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|Warning|Failure|Timeout|[a-z])(:.*)?$")
_NOT_THE_PROJECT = ("site-packages", "dist-packages", ".venv", "backburn_probes")

# The last line of a traceback -> what the machine lacks, and what to do. Anything else is the project's own fault.
_MACHINE = {
    r"CUDA out of memory|OutOfMemoryError|CUDNN_STATUS_ALLOC_FAILED|CUBLAS_STATUS_ALLOC_FAILED": (
        "the GPU's memory ran out",
        "Give this training a smaller batch for the stage, in `args`.",
    ),
    r"^MemoryError|can't allocate memory|Cannot allocate memory": ("the machine's memory ran out", ""),
    r"No space left on device|Disk quota exceeded": ("the disk is full", ""),
    # What torch.save says of a write that found no room; it hides the cause.
    r"inline_container\.cc.* unexpected pos|PytorchStreamWriter failed writing|basic_ios::clear: iostream error": (
        "a checkpoint could not be written to its end, most likely because the disk is full",
        "",
    ),
    r"No CUDA GPUs are available|CUDA driver|no NVIDIA driver|CUDA-capable device|libcuda\.so": (
        "the GPU could not be used",
        "Try `nvidia-smi` on this machine.",
    ),
    r"ConnectionError|ConnectTimeout|ReadTimeout|URLError|NewConnectionError|Max retries exceeded|"
    r"Name or service not known|Temporary failure in name resolution|Connection (refused|reset)|HTTPError.* 5\d\d|"
    r"LocalEntryNotFoundError|OfflineModeIsEnabled|[Cc]ouldn't connect to": (
        "a server could not be reached",
        "",
    ),
    r"NoCredentials|Unauthorized|GatedRepo|\b40[13]\b.*(Client Error|Forbidden)|api[_ ]key not configured": (
        "credentials are missing or refused",
        "Pass them to this job as secrets, or give the stage data that needs none.",
    ),
}


class Elsewhere(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What trained where an optimizer stepped and no Lightning Trainer was made; empty where one was."""

    by: str
    kind: str = "elsewhere"
    schema: int = 1


class Ended(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a command ended. `file` is relative to the project's root; `lacking` is set where the machine is at fault.

    `message` is the exception where one was `raised`, else the last line of output; `limit` says whose time limit was
    over; `prepare`: it was that command.
    """

    command: tuple[str, ...]
    code: int
    seconds: float
    timed_out: bool = False
    prepare: bool = False
    limit: str = ""
    raised: bool = False
    message: str = ""
    file: str = ""
    line: int = 0
    lacking: str = ""
    advice: str = ""
    tail: str = ""


def start(
    one: config.Training,
    stage: str,
    settings: Mapping[str, Any],
    *,
    args: str | tuple[str, ...],
    python: environment.Environment,
    root: Path,
    out: Path,
    timeout: float,
    prepared: bool = False,
    recorded: bool = False,
    label: str = "",
) -> Ended:
    """Run the training's `prepare` and then its command with `args` behind it, the probe of `stage` inside.

    Both together get `timeout` seconds, or the training's own if these are fewer; `prepared` leaves `prepare` out, for
    a second run, and `label` is what a waiting person reads of it. The probe gets `settings` (plain data) and answers,
    if it is reached, in `out/probe.json`; the output goes to `out/output.txt` and, where it is `recorded`, what was
    reached to `out/reached.txt`. Raises UserError for a command that cannot be meant (an unbalanced quote, no such
    program), a `cwd` that is not there or a training without a Lightning Trainer, Interrupted as `process.run` does.
    """
    where = f"[tool.backburn.trainings.{one.name}]"
    commands = (config.words(one.prepare), (*one.words, *config.words(args)))
    _expect_folder(root / one.cwd, one.cwd, where)
    scratch = out / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    asked = {"stage": stage, "settings": {**settings, "scratch": str(scratch)}, "evidence": str(out / "probe.json")}
    recorders = _recorders(commands[prepared:], root, root / one.cwd, out, python) if recorded else {}
    env = python.variables(_quiet(scratch) | one.env)
    limit, whose = min((one.timeout, where), (timeout, f"[tool.backburn.{stage}]"))
    left = limit
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ONPATH), env.get("PYTHONPATH", "")]))
    for log, command in zip(("prepare.txt", "output.txt"), commands):
        if log == "output.txt":
            env["BACKBURN_PROBE"] = json.dumps(asked)
        elif prepared or not command:
            continue
        env |= recorders.get(log, {})
        _expect_program(command[0], env, root / one.cwd, where)
        done = process.run(command, cwd=root / one.cwd, log=out / log, env=env, timeout=left, label=label or one.name)
        left = max(0.0, left - done.seconds)
        if done.code or done.timed_out:
            break
    ended = _read(done, root, root / one.cwd, prepare=log == "prepare.txt")
    _expect_lightning(ended, out, where)
    return msgspec.structs.replace(ended, limit=f"timeout of {limit:g} s in {whose}") if ended.timed_out else ended


def _recorders(
    commands: tuple[tuple[str, ...], ...], root: Path, cwd: Path, out: Path, python: environment.Environment
) -> dict[str, dict[str, str]]:
    """The variable that tells the recorder of each of the two commands, by its log, of the file that both write to."""
    reach.begin(out / reach.FILE, commands, cwd)
    without = [root / "build" / "backburn", environment.cache(), ONPATH.parents[1]]
    told = {"file": str(out / reach.FILE), "root": str(root), "without": [*map(str, without)]}
    told["python"] = os.path.realpath(python.prefix or python.python)
    parts = {"prepare.txt": "prepare", "output.txt": "command"}
    return {log: {"BACKBURN_REACH": json.dumps(told | {"part": part})} for log, part in parts.items()}


def _expect_folder(folder: Path, cwd: str, where: str) -> None:
    if not folder.is_dir():
        hint = "It is taken from the project's folder."
        raise UserError(f"cwd {cwd!r} does not exist", where=f"{config.FILE}: {where}", hint=hint)


def _expect_program(program: str, env: Mapping[str, str], cwd: Path, where: str) -> None:
    found = (cwd / program).exists() if os.sep in program else shutil.which(program, path=env.get("PATH"))
    if not found:
        hint = "Is it installed in the project's environment, or is it misspelt?"
        raise UserError(f"there is no program {program!r}", where=f"{config.FILE}: {where}", hint=hint)


def _expect_lightning(ended: Ended, out: Path, where: str) -> None:
    """Raise UserError where the probe saw an optimizer step and no Trainer, in a training that did not crash."""
    elsewhere = out / "elsewhere.json"
    crashed = ended.code and not ended.timed_out
    by = evidence.load(elsewhere, Elsewhere).by if elsewhere.exists() and not crashed else ""
    if by:
        said = f"this trains with {by}: an optimizer stepped, and no Trainer of lightning or pytorch_lightning was made"
        raise UserError(said, where=f"{config.FILE}: {where}", hint=_LIGHTNING)


_LIGHTNING = (
    "memorize, reproduce and profile watch a Lightning Trainer. Name a command that makes one, or take this training"
    " out of pyproject.toml: hygiene and unit need none."
)


def fault(ended: Ended, *, reached: bool, whole: bool) -> Finding | None:
    """What the end of a training says of it; None for a good end. `reached`: the probe told something, `whole`: all.

    Raises Unjudged where the machine is at fault, and where no fit was seen.
    """
    part = "prepare " if ended.prepare else ""
    if ended.timed_out:
        return _at(ended, f"{part}still running after {ended.seconds:.0f} s ({ended.limit or 'timeout'})")
    if whole:
        late = f"after everything was measured: {_said(ended)}"
        return Finding(message=late, level=Level.WARNING, detail=ended.tail) if ended.code else None
    if ended.lacking:
        raise Unjudged(f"{part and 'prepare: '}{ended.lacking}", hint=ended.advice, detail=ended.tail)
    if ended.code:
        return _at(ended, _said(ended))
    if not reached:
        raise Unjudged("no Trainer.fit was seen", hint=_UNSEEN, detail=ended.tail)
    return None


def expect_gpu(ended: str, device: str, *, required: bool, rehearsed: bool) -> None:
    """Return where a training that must run on a GPU did. Raises Skip where none is required, Unjudged elsewhere.

    `ended` and `device` are the probe's words; `rehearsed`: on the CPU, as a rehearsal may.
    """
    if not required:
        raise Skip("no GPU is required")
    if ended == "no-gpu":
        raise Unjudged("a GPU is required, and this process saw none", hint="Is this the runner you meant?")
    if rehearsed:
        raise Skip("rehearsed on the CPU")
    if device.startswith("cpu"):
        raise Unjudged('a GPU is required and there is one, but the Trainer asks for accelerator="cpu"')


_NO_MODULE = (
    'Is it misspelt, or missing from the project\'s requirements? With install = "none" an earlier step has to install'
    " it, for the python on PATH."
)
_UNSEEN = (
    "The probe travels by PYTHONPATH: `python -I` or `-E`, sudo and a container drop it. Does the command call"
    " Trainer.fit of lightning or pytorch_lightning (2.4 or later), in this environment?"
)


def _said(ended: Ended) -> str:
    """The exception, or how it ended and the last that it printed."""
    if ended.raised and not ended.prepare:
        return ended.message
    how = f"{'prepare' if ended.prepare else ended.command[0]} ended with exit code {ended.code}"
    return f"{how}: {ended.message}" if ended.message else how


def _at(ended: Ended, message: str) -> Finding:
    hint = _NO_MODULE if "No module named" in ended.message else ""
    return Finding(message=message, file=ended.file, line=ended.line, hint=hint, detail=ended.tail)


def _quiet(scratch: Path) -> dict[str, str]:
    """Trackers off or offline, whole tracebacks, stacks of what hangs."""
    return {
        "PYTHONFAULTHANDLER": "1",
        "PYTHONUNBUFFERED": "1",
        "HYDRA_FULL_ERROR": "1",
        "WANDB_MODE": "disabled",
        "MLFLOW_TRACKING_URI": (scratch / "mlruns").as_uri(),
        "COMET_OFFLINE_DIRECTORY": str(scratch),
        "COMET_START_ONLINE": "0",
        "NEPTUNE_MODE": "debug",
        "CLEARML_OFFLINE_MODE": "1",
        "SWANLAB_MODE": "disabled",
    }


def _read(done: process.Finished, root: Path, cwd: Path, *, prepare: bool) -> Ended:
    text = process.tail(done.log, 2000)
    about: dict[str, Any] = {"command": done.command, "code": done.code, "seconds": done.seconds}
    about |= {"timed_out": done.timed_out, "tail": done.tail(40), "prepare": prepare}
    if not done.code and not done.timed_out:
        return Ended(**about)
    fatal = _FATAL.findall(text)[-1:] if done.code < 0 else []
    message = fatal[0] if fatal else _message(text)
    file, line = _place(text, root, innermost_first=done.timed_out or bool(fatal))
    lacking, advice = ("", "") if done.timed_out else _lacking(done, message, root, cwd)
    about |= {"raised": bool(message), "message": message or done.tail(1)}
    return Ended(**about, file=file, line=line, lacking=lacking, advice=advice)


def _message(text: str) -> str:
    """The last traceback's last line: the exception and what it says."""
    _, mark, after = text.rpartition("Traceback (most recent call last)")
    lines = [line for line in after.splitlines() if _RAISED.match(line)] if mark else []
    return lines[0] if lines else ""


def _place(text: str, root: Path, *, innermost_first: bool) -> tuple[str, int]:
    """File and line of the project's own code nearest to where it stopped."""
    start = text.rfind("(most recent call first)") if innermost_first else text.rfind("(most recent call last)")
    frames = _FRAME.findall(text[max(0, start) :]) if start >= 0 else []
    for name, line in frames if innermost_first else reversed(frames):
        path = Path(name)
        if path.is_relative_to(root) and not any(part in path.parts for part in _NOT_THE_PROJECT):
            return path.relative_to(root).as_posix(), int(line)
    return "", 0


def _lacking(done: process.Finished, message: str, root: Path, cwd: Path) -> tuple[str, str]:
    """What the machine lacks, and what to do about it; empty strings where the code is at fault."""
    if done.code == -9:
        return "it was killed (SIGKILL), most likely because memory ran out", ""
    for signature, answer in _MACHINE.items():
        if re.search(signature, message):
            return answer
    missing = re.search(r"FileNotFoundError: .*No such file or directory: '([^']+)'", message)
    if missing and not _is_promised(cwd / missing[1], root):
        return f"data is missing: {missing[1]}", "Fetch it in an earlier step, or in this training's `prepare`."
    return "", ""


def _is_promised(path: Path, root: Path) -> bool:
    """Whether the project itself should hold the file: inside its root, and not left out by .gitignore."""
    return path.is_relative_to(root) and not git.is_ignored(path, root)
