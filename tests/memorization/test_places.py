"""Whether targets lie in their place, each on evidence: as reviewed, and less clearly."""

import msgspec
import pytest

from backburn.memorization import places
from backburn.memorization.places import Places

from .batches import SOUND
from .evidence import found, reference, seen, skipped

CORNERS, SIZES = "batch[0] ~ batch[1]['boxes'] as xyxy", "batch[0] ~ batch[1]['boxes'] as xywh"


def lying(corners, sizes=0.8, samples=96):
    told = Places(ranks={CORNERS: corners, SIZES: sizes}, samples=samples)
    return seen(batch=msgspec.structs.replace(SOUND, places=told))


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (lying(0.99), lying(0.75), "better than those of 75% of the other samples (by chance 50%, 99% when reviewed)"),
        (lying(0.99), lying(0.7, 0.96), "as xyxy lies no longer"),  # it is what it was reviewed as
        (lying(0.99), lying(0.91), ""),
        (lying(0.94), lying(0.86), ""),  # a part of each picture erased
        (lying(0.99), lying(0.75, samples=20), ""),  # too few to tell
        (lying(0.85), lying(0.5), ""),  # never clear: a blur may take it away
    ],
)
def test_targets_that_lie_elsewhere_than_reviewed(before, now, words):
    held = msgspec.structs.replace(now, reference=reference(places, before))
    findings = found(places.CHECKS, held).get("targets-are-in-place", ())
    assert [words in one.message and one.level.value == "error" for one in findings] == ([True] if words else [])


def test_what_was_not_reviewed_is_a_skip():
    assert list(reference(places, lying(0.99, 0.95)).figures) == [f"place: {CORNERS}"]
    assert "was reviewed" in skipped(places.CHECKS, lying(0.6))["targets-are-in-place"]
    gone = msgspec.structs.replace(seen(batch=SOUND), reference=reference(places, lying(0.99)))
    assert "was reviewed" in skipped(places.CHECKS, gone)["targets-are-in-place"]
