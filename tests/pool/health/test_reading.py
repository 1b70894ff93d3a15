import msgspec
import pytest

from backburn.pool.health.reading import NEEDED, Event, Look, Reading, Told, Trouble, unseen
from tests.pool.health.virtual import SOUND
from tests.pool.scene import GPU


def test_what_one_process_says_the_other_reads():
    told = [
        Look((Reading(device=GPU, **SOUND), Reading(device=GPU, error=15))),
        Event(device=GPU, kind="xid", code=79),
        Trouble(kind="driver", code=9, said="Driver Not Loaded"),
    ]
    decode = msgspec.json.Decoder(Told).decode
    assert [decode(msgspec.json.encode(one)) for one in told] == told
    with pytest.raises(msgspec.DecodeError):
        decode(b'{"type":"look","readings":[{}]}')


def test_a_check_without_its_value_is_not_seen():
    assert unseen(Reading(device=GPU, **SOUND)) == ()
    assert unseen(Reading(device=GPU)) == tuple(NEEDED)
    for check, value in NEEDED.items():
        assert unseen(Reading(device=GPU, **(SOUND | {value: None}))) == (check,)


def test_every_value_of_a_sound_card_is_one_of_a_reading():
    assert set(Reading.__struct_fields__) - set(SOUND) == {"device", "error", "at", "passed"}
    assert Reading(device=GPU, compute=(1,)).busy and not Reading(device=GPU, graphics=(1,)).busy
