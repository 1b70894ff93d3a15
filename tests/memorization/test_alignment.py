"""Whether labels belong to their inputs, each on evidence: by chance, and less clearly than when reviewed."""

import msgspec
import pytest

from backburn.memorization.batch import Alignment
from backburn.memorization.dependence import Dependence, Leak as Leaked
from backburn.report import Level

from .batches import PAGES, SOUND
from .evidence import found, reference, seen

BY_CHANCE = msgspec.structs.replace(SOUND, alignment=Alignment(samples=128, p=0.6, clear=-0.2))


def test_labels_by_chance_are_found_by_one_check():
    (named, (finding,)), *more = found(PAGES.CHECKS, seen(batch=BY_CHANCE, losses=(float("nan"),))).items()
    assert (named, finding.level.value, more) == ("labels-match-inputs", "notice", [])
    assert "p = 0.60" in finding.message and finding.hint


@pytest.mark.parametrize("far", [0.0, 0.5])
def test_what_the_model_makes_of_samples_is_asked_only_where_it_keeps_them_apart(far):
    healthy = msgspec.structs.replace(SOUND, alignment=Alignment(samples=128, p=0.0025, clear=12.0, by_model=True))
    held = reference(PAGES, seen(batch=healthy))
    by_chance = msgspec.structs.replace(SOUND, alignment=Alignment(samples=128, p=0.6, clear=0.1, by_model=True))
    leak = Dependence(leak=Leaked(output="net", far=far))
    assert ("labels-match-inputs" in found(PAGES.CHECKS, seen(held, batch=by_chance, dependence=leak))) is (far == 0)


def test_labels_by_chance_that_are_new_against_the_reference_fail():
    healthy = reference(PAGES, seen(batch=SOUND))
    (finding,) = found(PAGES.CHECKS, seen(batch=BY_CHANCE, reference=healthy))["labels-match-inputs"]
    assert finding.level is Level.ERROR and "12.0 when reviewed" in finding.message


def paired(far):
    return msgspec.structs.replace(
        SOUND, alignment=None, pairs={"batch[0] ~ batch[2]": far, "batch[0] ~ batch[3]": 3.1}
    )


@pytest.mark.parametrize(("before", "now", "level"), [(16.0, 0.4, Level.ERROR), (75.0, 4.0, Level.ERROR)])
def test_pairs_that_belong_together_no_more_are_new(before, now, level):
    healthy = reference(PAGES, seen(batch=paired(before)))
    (finding,) = found(PAGES.CHECKS, seen(batch=paired(now), reference=healthy))["labels-match-inputs"]
    assert finding.level is level and f"{before:.1f} when reviewed" in finding.message


@pytest.mark.parametrize(("before", "now"), [(16.0, 5.0), (9.5, 0.0), (10.0, 2.6)])
def test_pairs_that_were_never_clear_are_silent(before, now):
    healthy = reference(PAGES, seen(batch=paired(before)))
    assert found(PAGES.CHECKS, seen(batch=paired(now), reference=healthy)) == {}
