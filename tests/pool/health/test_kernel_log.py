import threading

import pytest

from backburn.pool.health.kernel_log import found, xids

DEVICES = {(0, 0x10, 0x1C): ("GPU-a",), (0, 0x3B, 0): ("MIG-b", "MIG-c")}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("4,1,2,-;NVRM: Xid (PCI:0000:10:1c): 63, pid=1896, Row Remapper: New row marked", [("GPU-a", 63)]),
        ("[ 9.1] NVRM: Xid (0000:10:1c): 31, Ch 0000000b", [("GPU-a", 31)]),
        ("NVRM: Xid (PCI:0000:3b:00 GPU-I:05): 94, pid=7", [("MIG-b", 94), ("MIG-c", 94)]),
        ("NVRM: Xid (PCI:00000000:3b:00): 79, GPU has fallen off the bus.", [("MIG-b", 79), ("MIG-c", 79)]),
        ("NVRM: Xid (PCI:0000:11:1c): 63", []),
        ("NVRM: GPU at PCI:0000:10:1c: GPU-a", []),
        ("NVRM: Xid (PCI:0000:10:1c): 999999", []),
        ("", []),
    ],
)
def test_a_line(line, told):
    assert [(one.device, one.code) for one in found(line, DEVICES)] == told
    assert all(one.kind == "xid" for one in found(line, DEVICES))


def test_what_comes_from_now_on(tmp_path):
    path, told, ended, heard = tmp_path / "kmsg", [], threading.Event(), threading.Event()
    path.write_text("NVRM: Xid (PCI:0000:10:1c): 13, before\n")

    def tell(event):
        told.append(event.code)
        heard.set()

    assert xids(DEVICES, tell, str(path), ended) == {"GPU-a", "MIG-b", "MIG-c"}
    with path.open("a") as stream:
        stream.write("\xff NVRM: Xid (PCI:0000:10:1c): 79, now\n")
    assert heard.wait(5) and told == [79]
    ended.set()


def test_where_it_may_not_be_read_nobody_is_heard_of(tmp_path):
    assert xids(DEVICES, None, str(tmp_path / "none"), threading.Event()) == frozenset()
    assert xids({}, None, str(tmp_path), threading.Event()) == frozenset()
