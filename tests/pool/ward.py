"""A health that says what a test gives it."""

from backburn.pool.health.symptom import Blame, Severity, Symptom
from tests.pool import scene


def symptom(severity=Severity.UNFIT, check="ecc", device=scene.GPU, blame=Blame.MACHINE, **more):
    return Symptom(**{"check": check, "device": device, "severity": severity, "blame": blame, "said": "3 new", **more})


class Ward:
    """`now` and `seen` are by device; `asked` is who was asked for, and whether it should be empty."""

    def __init__(self, *now, seen=(), unseen=()):
        self.now, self.seen, self.left_out = list(now), list(seen), tuple(unseen)
        self.asked, self.spans, self.wake, self.closed = [], [], None, False

    def symptoms(self, device, *, empty=True):
        self.asked.append((device, empty))
        return tuple(one for one in self.now if one.device == device)

    def between(self, device, begin, end):
        self.spans.append((begin, end))
        return tuple(one for one in self.seen if one.device == device and begin <= one.at <= end)

    def unseen(self, device):
        return self.left_out

    def watch(self, wake):
        self.wake = wake

    def close(self):
        self.closed = True
