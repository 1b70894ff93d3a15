"""The work, by the real ctypes calls on a libcuda that does the kernels on the CPU. No GPU has seen it."""

import os
import subprocess
import sys
from array import array
from pathlib import Path

import msgspec
import pytest

from backburn.pool.health import cuda_work, kernels
from backburn.pool.health.cuda import Worked
from tests.pool.health import fake

SMALL = """
import sys, msgspec
from backburn.pool.health import cuda_work as work
work.CHUNK, work.WORK, work._STEPS = 1 << 20, 0.0, 64
sys.stdout.buffer.write(msgspec.json.encode(work.main()))
"""
SOURCE = Path(__file__).with_name("fake_cuda.c")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if reason := fake.missing():
        pytest.skip(f"NO FAKE DRIVER: {reason}")
    return fake.build(tmp_path_factory.mktemp("cuda"), SOURCE, "libcuda.so.1").parent


def worked(library, state=""):
    (library / "state").write_text(state)
    env = {**os.environ, "LD_LIBRARY_PATH": str(library)}
    done = subprocess.run([sys.executable, "-c", SMALL], env=env, capture_output=True, timeout=60, check=True)
    return msgspec.json.decode(done.stdout, type=Worked)


def test_a_card_that_does_all_of_it_passes(library):
    done = worked(library)
    assert not done.failed and not done.absent and done.memory == 8 << 20  # 80 % of 10 MiB that are free


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("init=100", "cuInit: CUDA_ERROR_NO_DEVICE (100)"),
        ("free=1", "only 1 MiB of 64 MiB are free"),
        ("wrong=memory", "8 words of memory were not what had been written"),
        ("wrong=copy", "words of memory were not what had been written"),
        ("wrong=work", "arithmetic came to a wrong result"),
    ],
)
def test_what_goes_wrong_is_said(library, state, said):
    assert said in worked(library, state).failed


def test_where_there_is_no_libcuda_there_is_none_to_ask(tmp_path):
    assert "libcuda.so.1" in worked(tmp_path).absent


def test_the_expected_words_by_another_way():
    x = 4711
    for _ in range(100):
        x = (5 * x + 3) % (1 << 20)
    assert cuda_work.iterated(4711, 100) == x ^ (x << 12 & 0xFFFFFFFF)
    assert len({cuda_work.word(place, 0) for place in range(4096)}) == 4096
    assert cuda_work.word(1, 0) == cuda_work.word(0, 1) != cuda_work.word(0, 0)


class Bus:
    """Answers cuDeviceGetPCIBusId."""

    def __call__(self, name, text, length, device):
        text.value = b"0000:3B:00.0"


@pytest.mark.parametrize(
    ("now", "most", "above", "said"),
    [
        ("16", "16", "16", ""),
        ("8", "16", "16", "8 of 16 lanes"),
        ("8", "16", "8", ""),  # a slot that has no more
        ("4", "16", "8", "4 of 8 lanes"),
        ("8", "16", None, "8 of 16 lanes"),
        ("63", "255", None, ""),  # "unknown", in a virtual machine
        (None, None, None, ""),
    ],
)
def test_fewer_lanes_than_the_card_and_its_slot_have(tmp_path, now, most, above, said):
    place = tmp_path / "devices" / "0000:00:01.0" / "0000:3b:00.0"
    place.mkdir(parents=True)
    for path, value in ((place / "current", now), (place / "max", most), (place.parent / "max", above)):
        if value is not None:
            path.with_name(f"{path.name}_link_width").write_text(f"{value}\n")
    (tmp_path / "0000:3b:00.0").symlink_to(place)
    found = cuda_work.narrow(Bus(), None, tmp_path)
    assert (said in found) if said else found == ""


def test_the_kernels_that_are_launched_are_there():
    assert [f".entry {name}(" in kernels.PTX for name in ("fill", "check", "work")] == [True] * 3
    assert array("I").itemsize == 4
