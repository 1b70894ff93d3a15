from backburn import evidence
from backburn.probes import channel
from backburn.probes.grid import Thinned
from backburn.probes.seen import Seen, blank, seen_of
from backburn.stages import reproduce

from . import recorded as r


def test_what_was_seen_is_told_as_the_stage_reads_it(tmp_path):
    asked = r.asking(tmp_path, ulp=3, shift=2)
    one = Seen(asked)
    one.steps, one.losses, one.validations = 5, {2: 0.5, 1: float("nan")}, {"val_loss": Thinned()}
    one.validations["val_loss"].add(4, 0.25)
    one.recorded.budget.spent = 0.5
    channel.answer(asked, one.record(asked))
    told = r.told(tmp_path)
    assert (told.steps, told.ulp, told.shift, told.recording, told.start) == (5, 3, 2, 0.5, 0)
    assert [step for step, _ in told.losses] == [1, 2] and told.validations == {"val_loss": ((4, 0.25),)}


def test_an_answer_that_tells_nothing_is_read_too():
    assert evidence.convert(blank("no-gpu"), reproduce.Told, "").ended == "no-gpu"


def test_all_trainers_of_a_process_are_one_training(tmp_path):
    assert (
        seen_of(r.asking(tmp_path / "a")) is seen_of(r.asking(tmp_path / "a")) is not seen_of(r.asking(tmp_path / "b"))
    )


def test_how_long_it_takes_is_told_without_the_first_step(tmp_path):
    one = Seen(r.asking(tmp_path))
    assert one.expected == 0.0
    one.planned, one.steps, one.seconds, one.first = 100, 1, 5.0, 5.0
    assert one.expected == 500.0
    one.steps, one.seconds = 11, 15.0
    assert one.expected == 100.0
