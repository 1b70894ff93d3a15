"""The evidence of memorize, on disk and back."""

import math

import msgspec
import pytest

from backburn import evidence
from backburn.errors import Skip, Unjudged, UserError
from backburn.memorization.afterwards import After
from backburn.memorization.seen import Evidence, Told
from backburn.probes.memorize import looks

from .evidence import seen


def test_it_is_the_same_from_a_file(tmp_path):
    one = seen(losses=(1.0, math.nan, -0.0, 0.1 + 0.2), constant=math.inf)
    evidence.save(one, tmp_path / "evidence.json")
    again = evidence.load(tmp_path / "evidence.json", Evidence)
    assert evidence.dumps(again) == evidence.dumps(one)
    assert math.isnan(again.probe.losses[1]) and again.probe.constant == math.inf


def test_every_look_has_a_field_of_its_name():
    told = {one.name for one in msgspec.structs.fields(Told)}
    assert set(looks.FIRST | looks.MOVED | looks.LAST) | {"origin", "optimizing"} <= told


def test_a_look_that_told_nothing_is_a_skip_with_its_reason():
    assert seen(after=After()).look("after", After) == After()
    with pytest.raises(Skip, match="it was slow"):
        seen(untold={"after": "it was slow"}).look("after", After)
    with pytest.raises(Skip, match="the fit ended before it could be seen"):
        seen().look("after", After)


def test_what_was_never_reached_is_unjudged():
    with pytest.raises(Unjudged, match="no Trainer.fit was seen"):
        msgspec.structs.replace(seen(), told=None).probe


@pytest.mark.parametrize(("schema", "fields"), [(3, {}), (1, {"batches": ["a", "b"], "differs": ""})])
def test_evidence_of_another_schema_is_refused(schema, fields):
    about = {"kind": "memorize-probe", "schema": schema, "ended": "memorized"}
    with pytest.raises(UserError):
        evidence.convert(about | fields, Told, "the probe's answer")
