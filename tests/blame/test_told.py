"""What is read of a finding: every part of it, and no order from a commit's subject."""

import msgspec

from backburn.blame import told
from backburn.reproduction.culprit import Blame, Conclusion, Culprit

WHO = Culprit(commit="a" * 40, author="Ada", committer="GitHub", date="2026-11-20", subject="Scale it", pull_request=12)
FOUND = Blame(
    training="digits", hardware="cpu-avx2", good="1" * 40, bad="2" * 40, conclusion=Conclusion.FOUND, culprit=WHO,
    said="the output of encoder.2 is the first that differs", step=20, cause="forward", module="encoder.2",
    op="aten.mul.Tensor", file="src/net.py", hunk="-a\n+b", proof="222 without aaa is 111 again", proven=True,
    certainty=1.0, cost=0.31, steps=186, reruns=9, commits=64, inherited=40, notes=("what is not committed",),
)  # fmt: skip


def test_a_finding_in_full():
    assert told.terminal(FOUND) == """\
digits on cpu-avx2: aaaaaaaaaaaa changed it: the output of encoder.2 is the first that differs
  aaaaaaaaaaaa Scale it (#12), by Ada, committed by GitHub on 2026-11-20
  first at step 20: forward, in encoder.2, op aten.mul.Tensor
  src/net.py
    -a
    +b
  proof: 222 without aaa is 111 again
  note: what is not committed
  0.31 of one full training (186 steps in 9 trainings); 64 commits, 40 of them change nothing that it reaches
"""


def test_a_range_a_weighed_one_and_none():
    several = msgspec.structs.replace(
        FOUND, conclusion=Conclusion.RANGE, culprit=None, candidates=(WHO,) * 12, skipped=("b", "c"), proven=False
    )
    text = told.terminal(several)
    assert "one of 12 commits changed it" in text and "… 2 more" in text and "2 cannot be trained" in text
    assert "no proof: " in text
    weighed = msgspec.structs.replace(FOUND, statistical=True, certainty=0.973)
    assert "with 97.3% certainty: " in told.terminal(weighed)
    none = Blame(training="digits", said="both come to the same", steps=10, reruns=2, commits=1)
    assert told.terminal(none) == (
        "digits: no commit was found: both come to the same\n"
        "  10 steps in 2 trainings; 1 commit, 0 of them change nothing that it reaches\n"
    )


def test_what_a_commit_says_is_text():
    evil = msgspec.structs.replace(WHO, subject="</pre>\x1b[31m<img src=x> ::error::x")
    text = told.markdown(msgspec.structs.replace(FOUND, culprit=evil))
    assert "<img" not in text and "\x1b" not in text and text.count("</pre>") == 1
    assert text.startswith("### 🔎 blame\n\n<code>digits on cpu-avx2: aaaaaaaaaaaa changed it")
