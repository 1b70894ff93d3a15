"""torch.OutOfMemoryError, raised by hand as this machine may have no GPU: a finding, and no crash of ours."""

import pytest
import torch

import backburn
from backburn.probes.memorize import memory
from backburn.report import Verdict

from .. import trainings as t

SAID = "CUDA out of memory. Tried to allocate 20.50 GiB. GPU 0 has a total capacity of 79.10 GiB."


class Full(t.Net):
    """Runs out of memory in its third step. What looks at it before does not."""

    def training_step(self, batch, batch_idx):
        if self.global_step == 2:
            raise torch.OutOfMemoryError(SAID)
        return super().training_step(batch, batch_idx)


class AtOnce(t.Net):
    def training_step(self, batch, batch_idx):
        raise torch.OutOfMemoryError(SAID)


@pytest.mark.parametrize(("module", "step"), [(Full, 3), (AtOnce, 1)])
def test_it_is_a_finding_with_the_step_and_the_samples(module, step):
    report = backburn.memorize(module(), t.loader())
    assert (report.verdict, report.cause) == (Verdict.FAIL, "memorize/training-ran")
    finding = report.outcomes[0].findings[0]
    assert finding.message == f"out of GPU memory at step {step} with 16 samples"
    assert finding.path.endswith("test_memory.py") and "OutOfMemoryError" in finding.detail


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError(SAID), True),
        (torch.cuda.OutOfMemoryError("x"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (MemoryError(), False),
    ],
)
def test_it_is_told_from_other_errors(error, expected):
    assert memory.is_exhausted(error) is expected


def test_what_was_asked_for_is_read_from_the_error():
    told = memory.exhausted({}, torch.OutOfMemoryError(SAID), t.Net(), 3, 64)
    assert told == {"step": 3, "samples": 64, "asked": int(20.5 * 2**30)}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="takes a GPU")
def test_on_a_gpu_it_says_how_many_would_fit():
    class Hungry(t.Net):
        def training_step(self, batch, batch_idx):
            kept = [torch.empty(len(batch[0]), 2**30, device=self.device, dtype=torch.uint8) for _ in range(64)]
            return super().training_step(batch, batch_idx) + 0 * sum(one[0, 0] for one in kept)

    finding = backburn.memorize(Hungry(), t.loader()).outcomes[0].findings[0]
    assert "GiB with 16 samples; " in finding.message and "would fit" in finding.message
