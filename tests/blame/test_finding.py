"""What is written down: every field from the search that it is of."""

import msgspec
import pytest

from backburn.blame import finding
from backburn.blame.chances import Weighed
from backburn.blame.exact import Guilt, Search
from backburn.blame.search import Narrowed
from backburn.blame.world import Ledger
from backburn.reproduction.culprit import Conclusion
from backburn.reproduction.operations import Operation
from backburn.reproduction.rerun import Apart, Ran
from backburn.reproduction.steps import Step

from ..repositories import begin, commit
from .worlds import Edit, Memory


def case(folder, world=Memory, **edits):
    """A repository and a world in memory with the same commits."""
    begin(folder, {"net.py": "0\n"})
    made = [commit(folder, f"c{n} (#{n})", {"net.py": f"{n}\n"}) for n in range(1, 7)]
    one = world({hashed: edits.get(f"c{n}", Edit(quiet=True)) for n, hashed in enumerate(made, 1)})
    return made, Ledger(world=one), one.history, finding.About(training="it", top=folder, notes=("n",))


class OpByOp(Memory):
    """One that records a module's output and the operations."""

    def step(self, number, held, noise, validates):
        one = super().step(number, held, noise, validates)
        return msgspec.structs.replace(one, forward=(("encoder.1", one.loss), ("", one.loss)), batch="b")

    def train(self, ask):
        ran = super().train(ask)
        moved = str(any(one.since for one in self.held(ask.commit, ask.without).values()))
        made = Operation(index=0, name="aten.mul.Tensor", module="encoder.1", inputs=("x",), outputs=(moved,))
        return msgspec.structs.replace(ran, operations=(made,) if ask.operations else ())


def test_of_bits(tmp_path):
    made, ledger, history, about = case(tmp_path, c4=Edit(since=2), world=OpByOp)
    one = finding.exact(Search(ledger=ledger, history=history).run(), ledger, history, about)
    assert one.conclusion is Conclusion.FOUND and one.culprit.commit == made[3] and one.culprit.pull_request == 4
    assert (one.step, one.cause, one.module, one.op) == (2, "forward", "encoder.1", "aten.mul.Tensor")
    assert (one.file, one.hunk, one.proven, one.certainty) == ("net.py", "-3\n+4", True, 1.0)
    assert one.steps == ledger.steps and one.reruns == len(ledger.done) and one.notes == ("n",) and one.commits == 6


def test_several_and_a_range(tmp_path):
    made, ledger, history, about = case(tmp_path, c2=Edit(since=2), c5=Edit(since=9))
    one = finding.exact(Search(ledger=ledger, history=history).run(), ledger, history, about)
    assert one.culprit.commit == made[1] and [other.commit for other in one.others] == [made[4]]
    made, ledger, history, about = case(tmp_path / "b", c2=Edit(broken=True), c3=Edit(since=2), c4=Edit(mended=True))
    one = finding.exact(Search(ledger=ledger, history=history).run(), ledger, history, about)
    assert one.conclusion is Conclusion.RANGE and one.culprit is None and not one.hunk
    assert [other.commit for other in one.candidates] == made[1:4] and set(one.skipped) <= {*made[1:3]}


def test_of_runs_and_none(tmp_path):
    made, ledger, history, about = case(tmp_path)
    weighed = Weighed(candidates=(made[2],), certainty=0.97, metric="loss", said="loss is 2", proof="p", proven=True)
    one = finding.weighed(weighed, ledger, history, about)
    assert (one.culprit.commit, one.certainty, one.statistical, one.hunk) == (made[2], 0.97, True, "-2\n+3")
    several = Weighed(candidates=(made[2], made[3]), certainty=0.6, metric="loss", said="loss is 2")
    assert finding.weighed(several, ledger, history, about).conclusion is Conclusion.RANGE
    none = finding.none("why", "Do this.", ledger, history, about)
    assert (none.conclusion, none.said, none.inherited) == (Conclusion.UNJUDGED, "why. Do this.", 0)


@pytest.mark.parametrize(("after", "expected"), [(1.0 + 5e-7, True), (1.01, False), (1.0, False), (None, False)])
def test_a_change_by_rounding_is_called_so(after, expected):
    before, now = (Ran(steps=(Step(step=2, loss="" if one is None else one.hex()),)) for one in (1.0, after))
    guilt = Guilt(narrowed=Narrowed(candidates=("c1",)), at=Apart(last=1, step=2), before=before, after=now)
    assert finding._is_rounding(guilt) is expected
