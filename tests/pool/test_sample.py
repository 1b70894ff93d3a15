"""One look at this machine."""

import time
from pathlib import Path

from backburn.pool.sample import take


def test_it_is_this_machine(tmp_path):
    seen = take(5.0, (tmp_path, Path("/no/such/place")))
    assert seen.at == 5.0 and seen.load >= 0 and 1 << 20 < seen.memory and seen.swap >= 0
    assert seen.disks[0][1] > 0 and seen.disks[1] == ("/no/such/place", -1)
    assert "? free at /no/such/place" in str(seen)


def test_it_is_cheap(tmp_path):
    began = time.process_time()
    for _ in range(100):
        take(0.0, (tmp_path,))
    assert time.process_time() - began < 1.0


def test_a_kernel_that_tells_nothing_is_no_error(monkeypatch, tmp_path):
    def fails(*_, **__):
        raise OSError

    monkeypatch.setattr("os.getloadavg", fails)
    monkeypatch.setattr(Path, "read_text", fails)
    seen = take(0.0, ())
    assert (seen.load, seen.memory, seen.swap) == (-1.0, -1, -1) and "memory ?" in str(seen)
