"""Which GPUs there are, by a program that may lie, hang or be missing."""

import sys
import time

import pytest

from backburn.pool.doctor.driver import look

LISTED = """GPU 0: NVIDIA A100 (UUID: GPU-11111111-0000-4000-8000-000000000001)
  MIG 1g.10gb     Device  0: (UUID: MIG-22222222-0000-4000-8000-000000000001)
  MIG 1g.10gb     Device  1: (UUID: MIG-22222222-0000-4000-8000-000000000002)
GPU 1: NVIDIA A100 (UUID: GPU-11111111-0000-4000-8000-000000000002)
"""
INFORMATION = "Model: NVIDIA A100\nGPU UUID:\t GPU-33333333-0000-4000-8000-000000000001\nDevice Minor: 0\n"


@pytest.fixture
def smi(tmp_path):
    """`smi(text, code)`: a command that says so."""

    def made(text, code=0, wait=0.0):
        return [sys.executable, "-c", f"import time; time.sleep({wait}); print({text!r}); raise SystemExit({code})"]

    return made


def test_a_gpu_that_is_cut_is_its_instances(smi, tmp_path):
    found = look(smi(LISTED), tmp_path)
    assert found.error == "" and [uuid[:12] for uuid in found.gpus] == ["MIG-22222222", "MIG-22222222", "GPU-11111111"]


def test_without_the_program_the_module_is_asked(tmp_path):
    assert look(["/no/such/nvidia-smi"], tmp_path).error.startswith("nvidia-smi is not installed")
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text(INFORMATION)
    found = look(["/no/such/nvidia-smi"], tmp_path)
    assert found.gpus == ("GPU-33333333-0000-4000-8000-000000000001",) and found.error == ""


def test_a_driver_that_fails_says_so_and_one_that_hangs_is_left(smi, tmp_path):
    said = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    assert look(smi(said, 9), tmp_path).error == said
    assert "names no GPU" in look(smi(""), tmp_path).error
    assert look(smi("GPU 0: x (UUID: GPU-11111111-0)\x1b[2J", 1), tmp_path).error.isprintable()
    begun = time.monotonic()
    assert "hangs" in look(smi(LISTED, wait=30), tmp_path, limit=0.3).error
    assert time.monotonic() - begun < 5


def test_one_that_cannot_be_executed(tmp_path):
    (tmp_path / "smi").write_text("")
    assert "Permission denied" in look([str(tmp_path / "smi")], tmp_path).error
