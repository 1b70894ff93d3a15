"""A GPU without memory: what would fit, and whose fault it was."""

import msgspec
import pytest

from backburn import pipeline
from backburn.memorization.memory import Exhausted, ran_out
from backburn.report import Verdict
from backburn.stages import memorize
from backburn.training import Ended

from . import evidence

GIB = 2**30
FULL = Exhausted(step=3, samples=64, peak=int(78.2 * GIB), asked=20 * GIB, total=int(79.1 * GIB), held=5 * GIB)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "out of GPU memory at step 3: 78.2 of 79.1 GiB with 64 samples; about 45 would fit"),
        ({"held": int(79.05 * GIB), "peak": int(79.05 * GIB)}, "with 64 samples; not one would fit"),
        ({"samples": 1}, "with 1 sample; not one would fit"),
        ({"peak": 6 * GIB, "asked": GIB}, "6.0 of 79.1 GiB with 64 samples"),
        ({"total": 0, "peak": 0, "held": 0, "asked": 0}, "out of GPU memory at step 3 with 64 samples"),
    ],
)
def test_it_says_how_much_there_was_and_what_would_fit(change, said):
    message = ran_out(msgspec.structs.replace(FULL, **change)).message
    assert message.endswith(said) and ("would fit" in said or "would fit" not in message)


def judged(told, **ended):
    seen = memorize.Evidence(ended=Ended(command=("python",), code=1, seconds=1.0, raised=True, **ended), told=told)
    return pipeline.judge(memorize, "memorize", seen, memorize.Config())[0]


def told(**change):
    exhausted = msgspec.structs.replace(FULL, **change)
    return msgspec.structs.replace(evidence.seen().told, ended="exception", exhausted=exhausted)


def test_it_fails_although_a_machine_that_lacks_something_is_unjudged():
    lacking = {"lacking": "the GPU's memory ran out", "file": "train.py", "line": 7, "tail": "OutOfMemoryError"}
    outcome = judged(told(), **lacking)
    (finding,) = outcome.findings
    assert (outcome.verdict, finding.path, finding.line) == (Verdict.FAIL, "train.py", 7)
    assert finding.message.startswith("out of GPU memory at step 3") and "bf16" in finding.hint


@pytest.mark.parametrize(("others", "verdict"), [(GIB // 2, Verdict.FAIL), (30 * GIB, Verdict.UNJUDGED)])
def test_where_others_held_the_memory_it_is_unjudged(others, verdict):
    outcome = judged(told(others=others), message="OutOfMemoryError")
    assert outcome.verdict is verdict
    assert verdict is Verdict.FAIL or "other processes held 30.0 of its 79.1 GiB" in outcome.unjudged
