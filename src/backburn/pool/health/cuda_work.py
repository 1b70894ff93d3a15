"""The work itself, by CUDA's driver API: `CUDA_VISIBLE_DEVICES=UUID python -m backburn.pool.health.cuda_work`

Needs libcuda.so.1 and nothing else. 80 % of the free memory is filled with words that depend on their place, half of it
by a copy of the other half, and all of it compared; a part is read back and compared here. Then integer and FMA units
iterate x -> 5x + 3, exactly, and every thread's result is compared. The PCIe link must be as wide as its slot while it
is busy.
"""

from __future__ import annotations

import ctypes
import re
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

import msgspec

from .cuda import Worked
from .kernels import PTX

SHARE = 0.8  # of the memory that is free
CHUNK = 256 << 20  # bytes of one allocation: what is free need not be in one piece
ENOUGH = 10.0  # seconds after which no more memory is taken: a slow card has had its share
WORK = 3.0  # seconds of arithmetic
_READ = 1 << 16  # words read back and compared here
_BLOCK, _GRID = 256, 1024
_STEPS = 4096  # of the arithmetic, in one launch
_MASK = (1 << 20) - 1  # the iteration is modulo 2^20: 5x + 3 is then exact in a float of 24 bits
_PCI = Path("/sys/bus/pci/devices")


class Failed(Exception):
    """The GPU did not do it."""


class Cuda:
    """The driver's API, each call checked. Raises OSError where there is no libcuda."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")

    def __call__(self, name: str, *given: object) -> None:
        """Raises Failed with the call and CUDA's own word for the error."""
        code = getattr(self._library, name)(*given)
        if code:
            word = c_char_p()
            self._library.cuGetErrorName(c_int(code), byref(word))
            raise Failed(f"{name}: {(word.value or b'error').decode(errors='replace')} ({code})")


class Kernels:
    """The three, loaded. What they are is in kernels.py."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda, module = cuda, c_void_p()
        cuda("cuModuleLoadData", byref(module), c_char_p(PTX.encode()))
        self._functions = {}
        for name in ("fill", "check", "work"):
            function = c_void_p()
            cuda("cuModuleGetFunction", byref(function), module, c_char_p(name.encode()))
            self._functions[name] = function

    def launch(self, name: str, *given: ctypes._SimpleCData[int]) -> None:
        """On the whole grid, to its end."""
        pointers = (c_void_p * len(given))(*(ctypes.addressof(one) for one in given))
        shape = (c_uint32(_GRID), c_uint32(1), c_uint32(1), c_uint32(_BLOCK), c_uint32(1), c_uint32(1))
        self._cuda("cuLaunchKernel", self._functions[name], *shape, c_uint32(0), None, pointers, None)
        self._cuda("cuCtxSynchronize")


@contextmanager
def context(cuda: Cuda) -> Iterator[c_int]:
    """The first visible device, with a context."""
    device, made = c_int(), c_void_p()
    cuda("cuInit", c_uint32(0))
    cuda("cuDeviceGet", byref(device), c_int(0))
    cuda("cuCtxCreate_v2", byref(made), c_uint32(0), device)
    yield device
    cuda("cuCtxDestroy_v2", made)


def taken(cuda: Cuda, until: float) -> list[c_uint64]:
    """Chunks of memory: an even number, at least two."""
    free, total = c_size_t(), c_size_t()
    cuda("cuMemGetInfo_v2", byref(free), byref(total))
    chunks: list[c_uint64] = []
    while (len(chunks) + 2) * CHUNK <= SHARE * free.value and time.monotonic() < until:
        for _ in range(2):
            chunks.append(c_uint64())
            cuda("cuMemAlloc_v2", byref(chunks[-1]), c_size_t(CHUNK))
    if not chunks:
        raise Failed(f"only {free.value >> 20} MiB of {total.value >> 20} MiB are free")
    return chunks


def remembered(cuda: Cuda, kernels: Kernels, chunks: list[c_uint64]) -> None:
    """What is written is what is read, by every word."""
    words = c_uint64(CHUNK // 4)
    pairs = list(zip(chunks[::2], chunks[1::2], strict=True))
    for number, (first, second) in enumerate(pairs):
        kernels.launch("fill", first, words, c_uint32(number))
        cuda("cuMemcpyDtoD_v2", second, first, c_size_t(CHUNK))
    bad = zeroed(cuda)
    for number, pair in enumerate(pairs):
        for chunk in pair:
            kernels.launch("check", chunk, words, c_uint32(number), bad)
    if wrong := read(cuda, bad, 1)[0]:
        raise Failed(f"{wrong} words of memory were not what had been written")
    last = len(pairs) - 1
    here = read(cuda, pairs[-1][1], _READ)
    if any(here[place] != word(place, last) for place in range(_READ)):
        raise Failed("memory that was copied here is not what had been written")


def computed(cuda: Cuda, kernels: Kernels, chunk: c_uint64, seconds: float) -> None:
    """Every thread comes to what it must."""
    begun, threads = time.monotonic(), _GRID * _BLOCK
    expected = array("I", (iterated(thread, _STEPS) for thread in range(threads)))
    while True:
        kernels.launch("work", chunk, c_uint32(_STEPS))
        if read(cuda, chunk, threads) != expected:
            raise Failed("arithmetic came to a wrong result")
        if time.monotonic() - begun > seconds:
            return


def word(place: int, seed: int) -> int:
    """What `fill` writes at a place."""
    mixed = (place + seed) * 0x9E3779B1 & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    return mixed ^ mixed >> 13


def iterated(thread: int, steps: int) -> int:
    """5^n x + 3 (5^n - 1) / 4: x -> 5x + 3 modulo 2^20, so many times. The integer's is shifted, the float's is not."""
    power = pow(5, steps, 4 * (_MASK + 1))
    x = (power * (thread & _MASK) + 3 * ((power - 1) // 4)) & _MASK
    return x ^ (x << 12 & 0xFFFFFFFF)


def read(cuda: Cuda, source: c_uint64, count: int) -> array[int]:
    """Words, over the bus."""
    here = array("I", bytes(4 * count))
    cuda("cuMemcpyDtoH_v2", c_void_p(here.buffer_info()[0]), source, c_size_t(4 * count))
    return here


def zeroed(cuda: Cuda) -> c_uint64:
    """One word of memory, 0."""
    place = c_uint64()
    cuda("cuMemAlloc_v2", byref(place), c_size_t(4))
    cuda("cuMemsetD32_v2", place, c_uint32(0), c_size_t(1))
    return place


def narrow(cuda: Cuda, device: c_int, folder: Path = _PCI) -> str:
    """Whether fewer lanes are in use than the card and the port above it have; asked while the bus is busy."""
    name = ctypes.create_string_buffer(32)
    cuda("cuDeviceGetPCIBusId", name, c_int(32), device)
    place = folder / name.value.decode().lower()
    now, most = _lanes(place, "current"), _lanes(place, "max")
    above = _lanes(place.resolve().parent, "max")
    best = min(most, above) if above else most
    return f"the PCIe link has {now} of {best} lanes" if 0 < now < best else ""


def _lanes(place: Path, which: str) -> int:
    try:
        said = (place / f"{which}_link_width").read_text()
    except OSError:  # a virtual machine, a container
        return 0
    match = re.match(r"\d+", said)
    return int(match[0]) if match and int(match[0]) <= 32 else 0


def main() -> Worked:
    """All of it, on the first device that is visible."""
    begun = time.monotonic()
    try:
        cuda = Cuda()
    except OSError as error:
        return Worked(absent=str(error))
    try:
        with context(cuda) as device:
            kernels = Kernels(cuda)
            chunks = taken(cuda, begun + ENOUGH)
            remembered(cuda, kernels, chunks)
            computed(cuda, kernels, chunks[0], WORK)
            said = narrow(cuda, device)
        return Worked(failed=said, memory=len(chunks) * CHUNK, seconds=round(time.monotonic() - begun, 1))
    except Failed as error:
        return Worked(failed=str(error))


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(main()) + b"\n")
