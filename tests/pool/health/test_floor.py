import os

import pytest

from backburn.pool.health.floor import FILE, Floors, bound, dirty
from backburn.pool.health.reading import Reading
from tests.pool.scene import GPU

MIB, GIB = 1 << 20, 1 << 30


def look(used=4 * MIB, total=80 * GIB, **more):
    return Reading(device=GPU, memory_used=used, memory_total=total, **more)


def test_learned_when_first_seen_empty_and_kept(tmp_path):
    floors = Floors(tmp_path)
    assert floors.of(GPU) is None
    floors.learn(look(600 * MIB))
    floors.save()
    assert Floors(tmp_path).of(GPU) == 600 * MIB and os.listdir(tmp_path) == [FILE]
    floors.learn(look(700 * MIB))
    assert floors.of(GPU) == 600 * MIB
    floors.learn(look(500 * MIB))  # the first time was not as empty
    assert floors.of(GPU) == 500 * MIB


@pytest.mark.parametrize("reading", [look(None), look(compute=(7,)), look(error=999), look(2 * GIB), look(40 * GIB, 0)])
def test_nothing_is_learned_of_what_is_not_empty(tmp_path, reading):
    floors = Floors(tmp_path)
    floors.learn(reading)
    assert floors.of(GPU) is None


def test_none_is_learned_above_a_gibibyte_or_a_fiftieth():
    assert bound(look(total=None)) == bound(look(total=8 * GIB)) == GIB
    assert bound(look(total=192 * GIB)) == int(0.02 * 192 * GIB)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"kind": "x"}', b'{"kind": "pool-gpu-memory", "schema": 99}', None]
)
def test_a_file_that_cannot_be_read_is_learned_again(tmp_path, content):
    if content is None:
        (tmp_path / FILE).mkdir()
    else:
        (tmp_path / FILE).write_bytes(content)
    floors = Floors(tmp_path)
    assert floors.of(GPU) is None
    floors.learn(look())
    assert floors.of(GPU) == 4 * MIB
    if content is not None:
        floors.save()
        assert Floors(tmp_path).of(GPU) == 4 * MIB


def test_what_cannot_be_written_is_tried_again(tmp_path):
    floors = Floors(tmp_path / "state")
    (tmp_path / "state").write_text("a file")
    floors.learn(look())
    for _ in range(2):
        with pytest.raises(OSError):
            floors.save()
    (tmp_path / "state").unlink()
    floors.save()
    assert Floors(tmp_path / "state").of(GPU) == 4 * MIB


def test_dirty_is_a_process_or_more_than_the_driver_may_move_about():
    assert [dirty(look(used, total=8 * GIB), None) for used in (4 * MIB, GIB, GIB + 1)] == [False, False, True]
    assert not dirty(look(60 * MIB), 4 * MIB) and dirty(look(80 * MIB), 4 * MIB)
    assert dirty(look(compute=(7,)), 4 * MIB) and not dirty(look(graphics=(7,)), 4 * MIB)
    assert not dirty(look(None), 4 * MIB)
