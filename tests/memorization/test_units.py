"""The checks of units, on evidence: sound, and with one thing broken."""

import pytest

from backburn.memorization import units
from backburn.memorization.units import Activation, Units

from .evidence import found, reference, seen


def of(**given):
    about = {"name": "net.1", "kind": "relu", "units": 32, "where": ("/x/train.py", 12)}
    return Units(seen=(Activation(**about | given),))


SOUND = of(dead=0.4)
DEAD, FULL = of(dead=1.0), of(kind="tanh", saturated=1.0)


def levels(first, moved, **more):
    return {
        name: [one.level.value for one in findings]
        for name, findings in found(units.CHECKS, seen(units=first, units_moved=moved, **more)).items()
    }


@pytest.mark.parametrize(
    "first, moved, said",
    [
        (SOUND, SOUND, {}),
        (DEAD, DEAD, {"units-are-alive": ["error"]}),
        (of(dead=0.4), DEAD, {"units-are-alive": ["warning"]}),  # a learning rate that killed them
        (DEAD, of(dead=0.5), {}),  # a layer that began at zero, and woke up
        (of(dead=0.9), of(dead=0.9), {}),
        (FULL, FULL, {"units-are-not-saturated": ["error"]}),
        (of(kind="tanh", saturated=0.2), FULL, {"units-are-not-saturated": ["warning"]}),
        (of(kind="tanh", saturated=0.9), of(kind="tanh", saturated=0.9), {"units-are-not-saturated": ["warning"]}),
        (of(kind="sigmoid", saturated=0.7), of(kind="sigmoid", saturated=0.7), {}),
        (DEAD, None, {"units-are-alive": ["error"]}),  # the fit ended before the second look
    ],
)
def test_what_is_dead_or_saturated_from_the_start_fails(first, moved, said):
    assert levels(first, moved) == said


def test_the_finding_names_the_layer_and_the_line():
    (finding,) = found(units.CHECKS, seen(units=DEAD, units_moved=DEAD))["units-are-alive"]
    assert finding.message == "100% of the 32 units of relu in net.1 (train.py:12) are off for every sample"
    assert (finding.file, finding.line) == ("/x/train.py", 12) and finding.hint


def test_what_died_since_the_review_fails():
    healthy = reference(units, seen(units=SOUND, units_moved=SOUND))
    assert levels(SOUND, DEAD, reference=healthy) == {"units-are-alive": ["error"]}
