"""What the probe tells of a sound loss, to change one thing of."""

import msgspec

from backburn.errors import Skip
from backburn.memorization import lossoutputs, losstargets, lossterms
from backburn.memorization.losscalls import Call, LossCalls, Term
from backburn.memorization.seen import Evidence, Told
from backburn.references import Machine, Reference
from backburn.report import name_of
from backburn.training import Ended

CE = Call(
    name="cross_entropy",
    where=("lit.py", 41),
    value=1.4,
    weight=1.0,
    sign=1,
    made_by="Addmm",
    trains=True,
    reduction="mean",
    input=(32, 4),
    target=(32,),
    taken="batch[1]",
    low=-1.0,
    high=1.0,
    chance=1.386,
    whole=True,
    targets=32,
    highest=3.0,
    different=4,
    classes=4,
    normalised=False,
    counted=32,
)
MSE = msgspec.structs.replace(
    CE,
    name="mse_loss",
    input=(32, 1),
    target=(32, 1),
    whole=False,
    floating=True,
    classes=0,
    counted=None,
    different=32,
)
NLL = msgspec.structs.replace(CE, name="nll_loss", made_by="LogSoftmax", normalised=True, chance=None)
TERM = Term(kind="classes", factor=1.0, size=1, sign=1)
SOUND = LossCalls(calls=(CE,), terms=(TERM,), sign=1, functions="cross_entropy", value=1.4, size=32)


def evidence(told, reference=None):
    ended = Ended(command=("train",), code=0, seconds=1.0)
    return Evidence(ended=ended, told=Told(ended="memorized", loss_calls=told), reference=reference)


def with_call(call=CE, /, **changed):
    return msgspec.structs.replace(SOUND, calls=(msgspec.structs.replace(call, **changed),))


def with_term(**changed):
    return msgspec.structs.replace(SOUND, sign=0, terms=(msgspec.structs.replace(TERM, **changed),))


def found(told, reviewed=None):
    names = {}
    for check in (*lossoutputs.CHECKS, *losstargets.CHECKS, *lossterms.CHECKS):
        try:
            for finding in check(evidence(told, reviewed), None):
                names.setdefault(name_of(check), []).append(finding)
        except Skip:
            continue
    return names


def reference(told=SOUND, **settings):
    seen = evidence(told)
    return Reference(
        stage="memorize",
        training="net",
        machine=Machine(hardware="any"),
        seeds=(0,),
        figures={name: (value,) for name, value in lossterms.figures(seen).items()},
        settings=lossterms.kept(seen) | {"found": ""} | settings,
    )


def changes(check, told, reviewed=SOUND):
    return [one.message for one in check(evidence(told, reference(reviewed)), None)]


def with_terms(*kinds, calls=(CE,)):
    terms = tuple(Term(kind=kind, factor=1.0, size=1, sign=1) for kind in kinds)
    return msgspec.structs.replace(SOUND, terms=terms, calls=calls)
