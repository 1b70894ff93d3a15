"""What a training runs on and with, word by word: the machine, and the settings of module, data, optimizer, Trainer."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# Each of these changes bits: the determinism of cuBLAS and MKL, TF32, and how many threads a sum is split over.
_ENVIRONMENT = ("CUBLAS_WORKSPACE_CONFIG", "MKL_CBWR", "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS")
_TRAINER = (
    "max_epochs", "max_steps", "precision", "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm",
    "limit_train_batches", "limit_val_batches", "val_check_interval", "check_val_every_n_epoch",
)  # fmt: skip
_LONGEST = 200  # characters of a value
_MANY = 100  # keys of a table that is flattened; a vocabulary is one value
_SECRET = re.compile(r"TOKEN|SECRET|KEY|PASSW|CREDENTIAL", re.IGNORECASE)
# A secret inside of a value: a dataclass' `api_key='…'`, a dict's `'token': …`, a URL's `//name:password@`.
_HOLDS_SECRET = re.compile(rf"(?:{_SECRET.pattern})\w*['\"]?\s*[=:]|//[^/\s@]+:[^/\s@]+@", re.IGNORECASE)

Words = dict[str, str]


def machine(trainer: Any, pl_module: Any) -> dict[str, Any]:
    """`backburn.references.Machine` as plain data, of a Trainer whose module is on its device.

    Bits may be compared where `hard` is the same: measured, 1 or 2 threads, avx2 or avx512 move a loss by 1e-7.
    """
    hard = _software(trainer) | _arithmetic(trainer) | _devices(trainer, pl_module.device)
    hard |= {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    soft = {"kernel": platform.release(), "processor": _processor(), "memory": _memory()} | _distributions(hard)
    return {"hardware": _hardware(trainer, pl_module.device), "hard": hard, "soft": soft}


def device(pl_module: Any) -> str:
    """`cpu`, or `cuda:0 NVIDIA H200`."""
    import torch

    here = pl_module.device
    return f"{here} {torch.cuda.get_device_name(here)}" if here.type == "cuda" else str(here)


def peak_memory(pl_module: Any) -> int:
    """Bytes: what torch had allocated on the GPU at most, elsewhere the process's largest resident size."""
    import torch

    if pl_module.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(pl_module.device))
    return resident_memory()


def resident_memory() -> int:
    """Bytes: the process's largest resident size. getrusage counts in KiB, on macOS in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def lightning(trainer: Any) -> tuple[str, str]:
    """The package that this Trainer is of, and its version: `("lightning", "2.6.6")`."""
    for one in type(trainer).__mro__:
        package = one.__module__.partition(".")[0]
        if package in ("lightning", "pytorch_lightning"):
            return package, str(sys.modules[package].__version__)
    return "", ""


def _hardware(trainer: Any, here: Any) -> str:
    import torch

    if here.type == "cuda":
        several = f"-x{trainer.world_size}" if trainer.world_size > 1 else ""
        return _slug(torch.cuda.get_device_name(here)) + several
    return f"cpu-{_slug(torch.backends.cpu.get_cpu_capability())}" if here.type == "cpu" else _slug(here.type)


def _slug(name: str) -> str:
    """A part of a file's name.

    >>> _slug("NVIDIA A100-SXM4-40GB MIG 1g.5gb")
    'nvidia-a100-sxm4-40gb-mig-1g-5gb'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _software(trainer: Any) -> Words:
    import torch

    package, version = lightning(trainer)
    found = {"torch": str(torch.__version__), "python": ".".join(platform.python_version_tuple()[:2])}
    found |= {package: version} if package else {}
    return found | ({"numpy": str(sys.modules["numpy"].__version__)} if "numpy" in sys.modules else {})


def _arithmetic(trainer: Any) -> Words:
    """How numbers are computed. What this torch lacks, or will not say, is left out."""
    import torch

    backends = torch.backends
    told: dict[str, Callable[[], Any]] = {
        "cpu capability": backends.cpu.get_cpu_capability,
        "threads": torch.get_num_threads,
        "interop threads": torch.get_num_interop_threads,
        "precision": lambda: trainer.precision,
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled,
        "deterministic warn only": torch.is_deterministic_algorithms_warn_only_enabled,
        "matmul precision": torch.get_float32_matmul_precision,
        "cudnn.deterministic": lambda: backends.cudnn.deterministic,
        "cudnn.benchmark": lambda: backends.cudnn.benchmark,
        "TF32 matmul": lambda: backends.cuda.matmul.allow_tf32,
        "TF32 cudnn": lambda: backends.cudnn.allow_tf32,
        "world size": lambda: trainer.world_size,
    }
    found = {}
    for name, read in told.items():
        # The old and the new way to set TF32 in one program: torch raises when the old one is read.
        with contextlib.suppress(RuntimeError, AttributeError):
            found[name] = str(read())
    return found


def _devices(trainer: Any, here: Any) -> Words:
    """Of CUDA's devices only. A slice by MIG has fewer multiprocessors than the whole."""
    import torch

    if here.type != "cuda":
        return {}
    about = torch.cuda.get_device_properties(here)
    found = {"gpus": str(trainer.num_devices), "gpu": str(about.name), "driver": _driver()}
    found |= {"compute capability": f"{about.major}.{about.minor}", "multiprocessors": str(about.multi_processor_count)}
    found["cuda"] = str(torch.version.cuda or torch.version.hip)
    found["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
    with contextlib.suppress(AttributeError, RuntimeError, ImportError):  # a build without NCCL
        found["nccl"] = ".".join(map(str, torch.cuda.nccl.version()))  # type: ignore[no-untyped-call]
    return found


def _driver() -> str:
    """The kernel module's version, as nvidia-smi shows it; where that is hidden, the CUDA version it supports."""
    import torch

    with contextlib.suppress(OSError), open("/proc/driver/nvidia/version", encoding="utf-8") as stream:
        version = re.search(r"\s(\d+\.\d+(\.\d+)*)\s", stream.read())
        if version:
            return version[1]
    return f"CUDA {torch._C._cuda_getDriverVersion()}"  # type: ignore[attr-defined]


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as stream:
        model = re.search(r"^model name\s*: (.*)", stream.read(), re.MULTILINE)
        if model:
            return f"{os.cpu_count()} x {model[1].strip()}"
    return f"{os.cpu_count()} x {platform.processor() or platform.machine()}"


def _memory() -> str:
    with contextlib.suppress(OSError, ValueError):
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    return ""


def _distributions(hard: Words) -> Words:
    """Every installed distribution's version; not ours, nor what is `hard`."""
    from importlib.metadata import distributions

    found = {str(one.metadata["Name"]).lower().replace("-", "_"): str(one.version) for one in distributions()}
    return {name: found[name] for name in sorted(found) if name not in hard and not name.startswith("backburn")}


def settings(trainer: Any, pl_module: Any) -> Words:
    """What is trained and how: hyperparameters, Trainer, optimizers and schedules as they stand at the fit's start.

    Values are their `repr`, cut, without addresses. Keys that look like a secret's are left out, and so are values
    that hold one: a reference is committed.
    """
    data = getattr(trainer, "datamodule", None)
    table: dict[str, Any] = {"module": type(pl_module), "hparams": pl_module.hparams}
    if data is not None:
        table |= {"datamodule": type(data), "data": data.hparams}
    table["parameters"] = sum(one.numel() for one in pl_module.parameters() if not _is_lazy(one))
    table["trainer"] = {name: getattr(trainer, name) for name in _TRAINER if hasattr(trainer, name)}
    table["start"] = {"epoch": trainer.current_epoch, "step": trainer.global_step}  # a checkpoint's, where it resumes
    table["optimizer"] = {str(index): _optimizer(one) for index, one in enumerate(trainer.optimizers)}
    table["scheduler"] = {
        str(index): {"class": type(one.scheduler), "interval": one.interval, "frequency": one.frequency}
        for index, one in enumerate(trainer.lr_scheduler_configs)
    }
    return dict(_flat(table))


def _is_lazy(parameter: Any) -> bool:
    from torch.nn.parameter import is_lazy

    return bool(is_lazy(parameter))


def _optimizer(one: Any) -> dict[str, Any]:
    """Its defaults, and of each group what differs from them."""
    groups = {
        str(index): {
            key: value
            for key, value in group.items()
            if key != "params" and spelled(one.defaults.get(key)) != spelled(value)
        }
        for index, group in enumerate(one.param_groups)
    }
    return {"class": type(one), "groups": len(one.param_groups), **one.defaults, "group": groups}


def _flat(table: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        name = f"{before}{key}"
        if _SECRET.search(str(key)):
            continue
        if isinstance(value, Mapping) and len(value) <= _MANY:
            yield from _flat(value, f"{name}.")
        elif not _HOLDS_SECRET.search(repr(value)):
            yield name, spelled(value)


def spelled(value: Any) -> str:
    """One value in one line, the same in each process.

    >>> spelled(0.1 + 0.2), spelled({"b", "a"}), spelled(dict), spelled(object())
    ('0.30000000000000004', "{'a', 'b'}", 'builtins.dict', '<object object>')
    """
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, (set, frozenset)):  # of strings, in another order in each process
        value_text = "{" + ", ".join(sorted(map(repr, value))) + "}"
    else:
        value_text = repr(value)
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", value_text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 2]} …"
