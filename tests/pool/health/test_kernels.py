"""The PTX, by ptxas where there is one. By hand: 12.9 for sm_50 to sm_120, 13.0 from sm_75."""

import re
import shutil
import subprocess

import pytest

from backburn.pool.health.kernels import PTX


def test_every_register_is_declared_and_every_label_is_in_its_own_kernel():
    for body in PTX.split(".visible")[1:]:
        counts = {kind: int(most) for kind, most in re.findall(r"\.reg \.\w+ %(\w+)<(\d+)>", body)}
        used = {(kind, int(number)) for kind, number in re.findall(r"%(rd|r|f|p)(\d+)\b", body)}
        assert used and all(number < counts[kind] for kind, number in used)
        assert set(re.findall(r"bra (\w+);", body)) == set(re.findall(r"^(\w+):", body, re.MULTILINE))


def test_the_constants_are_what_the_comment_says():
    import struct

    spelled = {struct.unpack(">f", bytes.fromhex(one))[0] for one in re.findall(r"0f([0-9A-F]{8})", PTX)}
    assert spelled == {5.0, 3.0, 2.0**-20, -(2.0**20)}


@pytest.mark.skipif(shutil.which("ptxas") is None, reason="NO PTXAS")
def test_it_assembles(tmp_path):
    path = tmp_path / "kernels.ptx"
    path.write_text(PTX)
    for card in ("sm_75", "sm_80", "sm_90"):
        subprocess.run(["ptxas", f"-arch={card}", path, "-o", tmp_path / card], check=True, timeout=60)
