"""Evidence of a sound training, to change one thing of."""

from backburn import pipeline
from backburn.memorization.seen import Evidence, Told
from backburn.references import Machine, Reference
from backburn.stages import memorize
from backburn.training import Ended


class Stage:
    """A stage of these checks alone."""

    def __init__(self, checks):
        self.CHECKS = checks


def seen(reference=None, **told):
    """Evidence of which these looks and figures were told."""
    about = {"ended": "memorized", "steps": 50, "losses": (1.4, 0.9, 0.2, 0.1), "bound": 0.0, "constant": 1.38}
    about |= {"batch_digest": "ab", "sign": 1, "functions": "cross_entropy", "trainable": 4, "elements": 10_000}
    ended = Ended(command=("python",), code=0, seconds=1.0)
    return Evidence(ended=ended, told=Told(**about | told), reference=reference)


def found(checks, evidence, **config):
    """Check -> its findings, of those that found something."""
    outcomes = pipeline.judge(Stage(checks), "memorize", evidence, memorize.Config(**config))
    return {one.check.partition("/")[2]: one.findings for one in outcomes if one.findings}


def skipped(checks, evidence, **config):
    """Check -> why it was skipped."""
    outcomes = pipeline.judge(Stage(checks), "memorize", evidence, memorize.Config(**config))
    return {one.check.partition("/")[2]: one.skipped for one in outcomes if one.skipped}


def reference(module, evidence):
    """What a reference would note of this evidence, as far as one module of checks goes."""
    figures = getattr(module, "figures", lambda seen: {})(evidence)
    kept = getattr(module, "kept", lambda seen: {})(evidence)
    return Reference(
        stage="memorize",
        training="it",
        machine=Machine(hardware="any"),
        seeds=(0,),
        figures={name: (value,) for name, value in figures.items()},
        settings={"found": " ".join(found(module.CHECKS, evidence))} | kept,
        commit="a1b2c3d",
    )
