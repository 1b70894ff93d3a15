import json
import math
import os
import random

import msgspec
import pytest

from backburn import references
from backburn.errors import Unjudged, UserError
from backburn.references import Found, Machine, Reference

CPU = Machine(hardware="cpu-avx2", hard={"torch": "2.12.0", "threads": "2"}, soft={"kernel": "6.1"})
SOUND = Reference(
    stage="reproduce",
    training="digits",
    machine=CPU,
    seeds=(42, 43),
    figures={"loss@13": (0.1 + 0.2, -0.0), "loss@8": (1e-300, 5e-324), "steps": (100, 2**63)},
    settings={"hparams.lr": "0.1"},
    data={"train batches": "sha256:aé"},
    commit="0" * 40,
    date="2026-11-21",
    reason="the first",
)


def other(**about):
    return msgspec.structs.replace(SOUND, **about)


def lay(root, one=SOUND):
    path = references.path_of(one, root)
    references.write(one, path)
    return path


def changed(path, **fields):
    """The file with other fields, as a hand or a newer version would leave it."""
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


def test_what_is_written_is_read_back_exactly(tmp_path):
    back = references.load(lay(tmp_path))
    assert back == SOUND
    values = [value for name in SOUND.figures for value in back.figures[name]]
    assert [repr(value) for value in values] == ["0.30000000000000004", "-0.0", "1e-300", "5e-324", "100", str(2**63)]
    assert [type(value) for value in back.figures["steps"]] == [int, int]


def test_any_float_and_what_is_not_finite_comes_back(tmp_path):
    draw = random.Random(0)
    values = tuple(draw.uniform(-1, 1) * 10.0 ** draw.randint(-300, 300) for _ in range(2000))
    odd = (float("nan"), float("inf"), float("-inf"))
    one = other(seeds=(1,) * 2003, figures={"loss": (*values, *odd), "nan": (1.0,) * 2003})
    back = references.load(lay(tmp_path, one))
    assert [value.hex() for value in back.runs("loss")] == [value.hex() for value in (*values, *odd)]
    assert back.not_finite == ("loss",)
    assert back.runs("gone") == ()


def test_the_file_is_sorted_as_people_count_with_a_figure_per_line(tmp_path):
    lines = lay(tmp_path).read_text().splitlines()
    assert [line for line in lines if "@" in line or "steps" in line] == [
        '  "loss@8": [1e-300, 5e-324],',
        '  "loss@13": [0.30000000000000004, -0.0],',
        f'  "steps": [100, {2**63}]',
    ]
    assert '  "train batches": "sha256:aé"' in lines
    backwards = other(figures=dict(reversed(SOUND.figures.items())))
    assert references.dumps(backwards) == references.dumps(SOUND)


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["b10", "b9", "a"], ["a", "b9", "b10"]),
        (["loss@1", "loss", "10", "loss@1.5"], ["10", "loss", "loss@1", "loss@1.5"]),
        (["a1b2", "a1b10", "a01b1"], ["a01b1", "a1b2", "a1b10"]),
    ],
)
def test_names_are_sorted_as_people_count(names, ordered):
    assert sorted(names, key=references.natural) == ordered


REFUSED = {
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:100]), "not readable as JSON"),
    "empty": (lambda path: path.write_bytes(b""), "not readable as JSON"),
    "no UTF-8": (lambda path: path.write_bytes(b"\xff\xfe{}"), "not readable as JSON"),
    "a tower of brackets": (lambda path: path.write_bytes(b"[" * 10**6), "not readable as JSON"),
    "a merge conflict": (lambda path: path.write_text("<<<<<<< HEAD\n" + path.read_text()), "not readable as JSON"),
    "a report": (lambda path: changed(path, kind="report"), "expected a file of kind 'reference', got 'report'"),
    "a list": (lambda path: path.write_text("[]"), "got 'list'"),
    "a newer schema": (lambda path: changed(path, schema=3), "schema 3 is newer than the 2 this backburn reads"),
    "an unknown field": (lambda path: changed(path, tolerance=3), "unknown field `tolerance`"),
    "no machine": (lambda path: changed(path, machine=None), "Expected `object`"),
    "words for figures": (
        lambda path: changed(path, figures={"loss": ["low", "lower"]}),
        "Expected `int | float`, got `str`",
    ),
    "a value too few": (lambda path: changed(path, figures={"loss@8": [1.0]}), "'loss@8' has not one value for each"),
    "another training's": (lambda path: changed(path, training="letters"), "reference of reproduce/letters/cpu-avx2"),
    "another stage's": (lambda path: changed(path, stage="profile"), "it is the reference of profile/digits/cpu-avx2"),
    "moved by hand": (lambda path: path.rename(path.with_name("mps.json")), "it is the reference of reproduce/digits"),
    "not finite": (lambda path: changed(path, figures={"a": ["nan", 1]}), "not finite: a"),
    "an integer beyond all floats": (lambda path: changed(path, figures={"a": [10**400, 1]}), "not finite: a"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "not readable"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_cannot_be_used_is_refused_and_named(tmp_path, what):
    path = lay(tmp_path)
    assert references.known(tmp_path, "reproduce", "digits") == {"cpu-avx2": SOUND}
    spoil, said = REFUSED[what]
    spoil(path)
    with pytest.raises(UserError) as caught:
        references.known(tmp_path, "reproduce", "digits")
    assert said in str(caught.value)
    assert "references/reproduce/digits/" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "..", ".hidden", "a/b", "", "a\n", "a\0", "é", "x" * 101])
@pytest.mark.parametrize("field", ["stage", "training", "hardware"])
def test_no_name_leads_out_of_its_folder(tmp_path, field, name):
    machine = {"machine": msgspec.structs.replace(CPU, hardware=name)}
    references.write(other(**(machine if field == "hardware" else {field: name})), tmp_path / "candidate.json")
    with pytest.raises(UserError, match="cannot be part of a reference's path"):
        references.load(tmp_path / "candidate.json")


def test_a_missing_file_is_named_and_a_missing_folder_holds_nothing(tmp_path):
    with pytest.raises(UserError, match="candidate.json: no such file"):
        references.load(tmp_path / "candidate.json")
    assert references.known(tmp_path, "reproduce", "digits") == {}


def test_the_reference_of_this_hardware_is_found_and_the_others_named(tmp_path):
    gpu = other(machine=Machine(hardware="nvidia-h200"))
    for one in (SOUND, gpu):
        lay(tmp_path, one)
    known = references.known(tmp_path, "reproduce", "digits")
    assert references.find(known, "nvidia-h200") == Found(reference=gpu, others=("cpu-avx2",))
    assert references.find(known, "mps") == Found(others=("cpu-avx2", "nvidia-h200"))
    assert references.find({}, "mps") == Found()


def test_the_same_environment_is_comparable_whatever_is_soft():
    now = msgspec.structs.replace(CPU, soft={"kernel": "6.2"})
    assert references.comparable(Found(reference=SOUND), now, "reproduce") is SOUND


@pytest.mark.parametrize(
    ("found", "machine", "said", "detail"),
    [
        (Found(), CPU, "no reference for cpu-avx2", ""),
        (
            Found(others=("mps", "nvidia-h200")),
            CPU,
            "no reference for cpu-avx2; there is one for mps, nvidia-h200",
            "",
        ),
        (
            Found(reference=SOUND),
            msgspec.structs.replace(CPU, hard={"torch": "2.13.0", "cuda": "13"}),
            "another environment than the reference's: cuda: - → 13; threads: 2 → -; torch: 2.12.0 → 2.13.0",
            "",  # the sentence has them all
        ),
        (
            Found(reference=SOUND),
            msgspec.structs.replace(CPU, hard={**CPU.hard, "a": "1", "b": "1", "c": "1", "d": "1"}),
            "another environment than the reference's: a: - → 1; b: - → 1; c: - → 1 …",
            "a: - → 1\nb: - → 1\nc: - → 1\nd: - → 1",
        ),
    ],
)
def test_what_cannot_be_compared_is_unjudged_with_the_difference_printed(found, machine, said, detail):
    with pytest.raises(Unjudged) as caught:
        references.comparable(found, machine, "reproduce")
    assert (str(caught.value), caught.value.detail) == (said, detail)
    assert "backburn bless reproduce" in caught.value.hint


def test_differences_name_what_came_went_and_changed():
    assert references.differences({"a": "1", "b2": "1", "same": "x"}, {"b2": "2", "b10": "1", "same": "x"}) == (
        "a: 1 → -",
        "b2: 1 → 2",
        "b10: - → 1",
    )
    assert references.differences({}, {}) == ()


def test_a_reference_to_look_up_has_each_figure_beside_what_it_is_now():
    one = Reference(
        stage="profile",
        training="digits",
        machine=Machine(hardware="cpu-avx2"),
        seeds=(1, 2),
        figures={"loss@13": (0.1 + 0.2, 0.25), "loss@8": (1.0, 1.0), "gone": (1280, 1280)},
        commit="0123456",
        reason="wider",
    )
    assert references.beside(one, {"loss@8": math.nan, "loss@13": 0.3, "new": 7}) == (
        ("file", "references/profile/digits/cpu-avx2.json"), ("commit", "0123456"), ("date", "-"), ("reason", "wider"),
        ("gone", "1,280 → -"), ("loss@8", "1 → nan"), ("loss@13", "0.25 to 0.3 → 0.3"), ("new", "- → 7"),
    )  # fmt: skip


def test_all_of_a_machine_is_told_the_hardware_first():
    machine = Machine(hardware="cpu-avx2", hard={"torch": "2.13.0"}, soft={"kernel": "6"})
    assert machine.words == (("hardware", "cpu-avx2"), ("torch", "2.13.0"), ("kernel", "6"))


def test_a_write_that_fails_leaves_the_reference_as_it_was(tmp_path, monkeypatch):
    path = lay(tmp_path)

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        references.write(other(reason="the second"), path)
    assert caught.value.filename == str(path)
    assert references.load(path) == SOUND
    assert os.listdir(path.parent) == [path.name]


def test_what_only_some_stages_have_is_in_a_file_only_where_it_is(tmp_path):
    path = lay(tmp_path)
    assert not {"hashes", "envelope", "repeated", "apart", "origin", "epochs"} & {*json.loads(path.read_text())}
    epoch = references.Epoch(commit="a", date="b", before={"torch": "1"}, after={}, moved={"final acc": (0.1, 0.2)})
    one = other(
        hashes={"loss@1": "00"}, envelope={"loss@1": 1e-7}, repeated=20, apart="x", origin={"a": 0.1}, epochs=(epoch,)
    )
    assert references.load(lay(tmp_path, one)) == one


def test_an_older_reference_is_read(tmp_path):
    path = lay(tmp_path)
    changed(path, schema=1)
    assert references.load(path).hashes == {}


def test_a_large_reference_stays_under_200_kb(tmp_path):
    """Two metrics and 4 curves of 5 seeds over a million steps, and as many roots as it may hold."""
    parts = [
        f"{name}@{step}" for step in range(1, 445) for name in ("loss", "gradients", "parameters", "buffers", "x") * 2
    ]
    figures = {
        f"{name}@{step}": (1 / 3 + step,) * 2 for name in ("loss", "norm", "rate", "mean loss") for step in range(53)
    }
    one = other(hashes=dict.fromkeys(parts[:4000], "0" * 16), figures=figures)
    assert lay(tmp_path, one).stat().st_size < 200_000


def test_an_envelope_that_is_no_number_is_refused(tmp_path):
    assert other(envelope={"loss@1": float("inf")}).not_finite == ("envelope of loss@1",)
