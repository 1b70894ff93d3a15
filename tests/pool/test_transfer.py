"""Tars and logs of hostile containers, byte by byte; tests/pool/test_docker.py has the same on a real engine."""

import io
import tarfile
import tracemalloc

import pytest

from backburn.pool.transfer import owner, pack, spoken, tail, unpack


def tar(*entries):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for entry, content in entries:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def entry(name="job.json", kind=tarfile.REGTYPE, **more):
    made = tarfile.TarInfo(name)
    made.type = kind
    for key, value in more.items():
        setattr(made, key, value)
    return made


def test_a_plain_file_comes_back():
    packed = tar((entry(), b"{}"))
    assert unpack([packed], 10) == b"{}"
    assert unpack([packed[place : place + 7] for place in range(0, len(packed), 7)], 10) == b"{}", "in any pieces"
    assert unpack([tar((entry(pax_headers={"SCHILY.xattr.user.x": "y"}), b"{}"))], 10) == b"{}"


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [b""],
        [b"no tar"],
        [bytes(1024)],
        [tar((entry(), b"x" * 11))],
        [tar((entry(), b"x" * 10))[:515]],
        [tar((entry(kind=tarfile.SYMTYPE, linkname="/etc/passwd"), b""))],
        [tar((entry(kind=tarfile.LNKTYPE, linkname="/etc/passwd"), b""))],
        [tar((entry(kind=tarfile.DIRTYPE), b""), (entry("job.json/x"), b"x"))],
        [tar((entry(kind=tarfile.FIFOTYPE), b""))],
        [tar((entry(kind=tarfile.CHRTYPE, devmajor=1, devminor=5), b""))],
        [tar((entry(kind=tarfile.GNUTYPE_SPARSE), b""))],
    ],
)
def test_anything_else_is_none(chunks):
    assert unpack(chunks, 10) is None


def test_an_endless_answer_is_let_go_of():
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield bytes(1 << 16)

    assert unpack(endless(), 1 << 16) is None and len(taken) <= 3


def test_what_is_packed_is_of_its_user_alone():
    for below, folder in (("/", "run/backburn"), ("/run", "backburn")):
        with tarfile.open(fileobj=io.BytesIO(pack("sécret", "1001:1002", below=below))) as packed:
            found = [(one.name, one.mode, one.uid, one.gid, one.type) for one in packed]
            assert packed.extractfile(f"{folder}/jit").read().decode() == "sécret"
        assert found == [
            (folder, 0o700, 1001, 1002, tarfile.DIRTYPE),
            (f"{folder}/jit", 0o400, 1001, 1002, tarfile.REGTYPE),
        ]


def test_users_are_numbers():
    assert owner("1001:1002") == (1001, 1002) and owner("1001") == (1001, 1001)
    for wrong in ("runner", "1001:docker", ""):
        with pytest.raises(ValueError):
            owner(wrong)


def frame(stream, content):
    return bytes([stream, 0, 0, 0]) + len(content).to_bytes(4, "big") + content


def test_a_log_is_what_was_said_by_both_streams():
    said = frame(1, b"one\n") + frame(2, b"") + frame(2, b"two\n") + frame(1, b"x" * 100)
    for width in (1, 3, 8, 9, 1000):
        pieces = [said[place : place + width] for place in range(0, len(said), width)]
        assert b"".join(spoken(pieces)) == b"one\ntwo\n" + b"x" * 100
    assert b"".join(spoken([said[:-90]])) == b"one\ntwo\n" + b"x" * 10, "cut short, as far as it goes"
    assert b"".join(spoken([frame(1, b"one"), b"\1\0\0"])) == b"one"


def test_the_tail_is_bounded_while_it_is_gathered():
    tracemalloc.start()
    assert len(tail((bytes(1 << 16) for _ in range(1000)), 1 << 16)) == 1 << 16
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 20
    assert tail([b"abc", b"def"], 4) == b"cdef"
    assert tail([b"abc"], 4) == b"abc"
    assert tail([b"abc"], 0) == b""
    assert tail([], 4) == b""
    assert tail((b"%09d" % number for number in range(10000)), 18) == b"000009998000009999"
