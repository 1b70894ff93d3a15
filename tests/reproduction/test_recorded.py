"""Two trainings are found wherever they lie, and what is none is refused with a word on what is there."""

import json

import pytest

from backburn import references
from backburn.errors import UserError
from backburn.reproduction import divergence, recorded
from backburn.reproduction.pair import Kind
from tests.reproduction.evidence import MACHINE, TOLD, folder, reference
from tests.reproduction.symbols import at, trained

SOUND = trained(steps=5, detailed=False)


def test_a_folder_of_evidence_is_read(tmp_path):
    one = recorded.read(folder(tmp_path / "reproduce" / "digits", SOUND))
    assert (one.training, one.commit, one.seed, one.ended) == ("digits", "0123456789abcdef", 42, "fit")
    assert (one.machine, one.steps, one.rooted) == (MACHINE, SOUND, False)
    assert one.figures["final val_loss"] == 0.3 and one.figures["loss@3"] == 1.5 and one.figures["steps"] == 12
    assert one.figures["validation val_loss@8"] == 0.4
    assert not [name for name in one.figures if "time" in name]


def test_its_answer_is_enough_to_name_it(tmp_path):
    path = folder(tmp_path / "digits")
    assert recorded.read(path / "probe.json").figures == recorded.read(path).figures


@pytest.mark.parametrize("depth", ["", "reproduce-train-0", "night/reproduce-train-0"])
def test_an_artifact_holds_it_somewhere(tmp_path, depth):
    place = tmp_path / depth
    folder(place / "digits", SOUND)
    folder(place / "digits" / "seed-1", training="")
    other = place.parent / "memorize" / "digits"
    other.mkdir(parents=True)
    (other / "probe.json").write_text('{"kind": "memorize-probe", "schema": 1}')
    assert recorded.read(tmp_path).steps == SOUND


def test_of_several_one_is_named(tmp_path):
    for name in ("digits", "wine"):
        folder(tmp_path / name, training=name)
    assert recorded.read(tmp_path, "wine").training == "wine"
    with pytest.raises(UserError, match="it holds 2 trainings\n.*--training: .*digits, .*wine"):
        recorded.read(tmp_path)
    with pytest.raises(UserError, match="it holds no training called 'iris'\n  There is .*digits"):
        recorded.read(tmp_path, "iris")
    with pytest.raises(UserError, match="it is a training called 'digits', not 'wine'"):
        recorded.read(tmp_path / "digits", "wine")


def test_a_run_of_another_seed_has_no_name_of_its_own(tmp_path):
    one = recorded.read(folder(tmp_path / "reproduce" / "digits" / "seed-2", training="", shift=2))
    assert (one.training, one.commit, one.seed) == ("", "", 44)
    named = recorded.read(folder(tmp_path / "reproduce" / "wine", training="", seeded=[]))
    assert (named.training, named.seed) == ("wine", None)


def test_one_that_went_on_from_a_checkpoint_is_counted_from_its_start(tmp_path):
    one = recorded.read(folder(tmp_path / "digits", SOUND, start=100))
    assert [step.step for step in one.steps] == [101, 102, 103, 104, 105]


def test_one_that_was_ended_early_has_no_end(tmp_path):
    one = recorded.read(folder(tmp_path / "digits", ended="budget"))
    assert "loss@1" in one.figures and not {"steps", "final val_loss"} & {*one.figures}


def test_a_reference_is_read_as_its_first_run(tmp_path):
    references.write(reference(), tmp_path / "cpu-avx2.json")
    one = recorded.read(tmp_path / "cpu-avx2.json")
    assert (one.training, one.seed, one.figures["final val_loss"], one.steps) == ("digits", 42, 0.3, ())


def hashed(steps):
    """A reference that holds the roots of steps."""
    whole = recorded.rooted(recorded.Recorded(where="a", steps=steps))
    hashes = {}
    for step in whole.steps:
        for part in ("batch", "served", "loss"):
            hashes[f"{part}@{step.step}"] = getattr(step, part)
        for part in ("rng", "parameters", "gradients", "buffers", "optimizer", "settings"):
            (hashes[f"{part}@{step.step}"],) = getattr(step, part).values()
    return recorded.of_reference(reference(hashes=hashes | {"unknown@1": "a"}), "a")


def test_the_roots_in_a_reference_are_held_against_those_of_a_run():
    one = hashed(SOUND)
    assert [step.step for step in one.steps] == [1, 2, 3, 4, 5]
    run = recorded.rooted(recorded.Recorded(where="b", steps=SOUND))
    assert divergence.first(one.steps, run.steps) is None
    other = recorded.Recorded(where="b", steps=trained(at("second", 3), steps=5, detailed=False))
    found = divergence.first(one.steps, recorded.rooted(other).steps)
    assert (found.step, found.kind, found.part) == (3, Kind.FORWARD, "loss")
    for place, part, said in (
        ("scale", "gradients", "all gradients differ"),
        ("lr", "settings", "settings of the optimizer differ"),
        ("clip", "optimizer", "keeps other state: the whole"),
        ("mean", "buffers", "no parameter does: the whole"),
    ):
        other = recorded.Recorded(where="b", steps=trained(at(place, 2, 2.0), steps=5, detailed=False))
        found = divergence.first(one.steps, recorded.rooted(other).steps)
        assert (found.step, found.part, found.name) == (2, part, "") and said in found.said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{", "not readable as JSON"),
        (json.dumps(TOLD | {"schema": 9}), "newer"),
        (json.dumps(TOLD | {"losses": "a"}), "Expected `array`"),
        (json.dumps(TOLD | {"kind": "profile-probe"}), "expected a file of kind 'reproduce-probe'"),
    ],
)
def test_what_is_corrupt_newer_or_foreign_is_refused(tmp_path, written, said):
    (tmp_path / "probe.json").write_text(written)
    with pytest.raises(UserError, match=said):
        recorded.read(tmp_path)


def test_what_holds_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no such file or folder"):
        recorded.read(tmp_path / "none")
    with pytest.raises(UserError, match="it holds no probe.json of a full training"):
        recorded.read(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "probe.json").write_bytes(b"\xff")
    with pytest.raises(UserError, match="it holds no probe.json"):
        recorded.read(tmp_path)
    (tmp_path / "a.json").write_text('{"kind": "report", "schema": 1}')
    with pytest.raises(UserError, match="expected a file of kind 'reference'"):
        recorded.read(tmp_path / "a.json")
    broken = folder(tmp_path / "cut", SOUND)
    (broken / "steps.jsonl").write_text('{"kind": "steps", "schema": 7}\n')
    with pytest.raises(UserError, match="schema 7 is newer"):
        recorded.read(broken)


def test_two_of_different_trainings_are_refused(tmp_path):
    one, other = (recorded.read(folder(tmp_path / name, training=name)) for name in ("digits", "wine"))
    with pytest.raises(UserError, match="digits is of 'digits', .*wine of 'wine'"):
        recorded.expect_same_training(one, other)
    empty = recorded.read(folder(tmp_path / "none", ended="no-gpu", losses=[], means=[], rates=[], validations={}))
    with pytest.raises(UserError, match="it holds no step of a training: it ended with 'no-gpu'"):
        recorded.expect_same_training(one, empty)
    recorded.expect_same_training(one, recorded.read(folder(tmp_path / "unknown", training="")))
