"""One GPU in virtual time: looks at an interval, what it says changed by hand, and the pool's questions."""

from backburn.pool.health.floor import Floors
from backburn.pool.health.judging import judge
from backburn.pool.health.reading import Event, Reading, Trouble
from backburn.pool.health.record import Record
from tests.pool.scene import GPU, NOW

SOUND = {
    "recovery": 0,
    "remap_pending": 0,
    "remap_failed": 0,
    "pages_pending": 0,
    "ecc_uncorrected": 0,
    "ecc_corrected": 0,
    "throttle": 1,
    "link_gen": 4,
    "link_gen_max": 4,
    "link_width": 16,
    "link_width_max": 16,
    "replays": 0,
    "load": 0,
    "memory_used": 4 << 20,
    "memory_total": 80 << 30,
    "compute": (),
    "graphics": (),
    "inforom": 0,
    "xids": 1,
}


class Card:
    """What it says is `values`; `look` looks at once, `go` at every interval of so many seconds."""

    def __init__(self, folder, interval=10.0, grace=120.0, device=GPU):
        self.device, self.interval, self.passed = device, interval, 1000.0
        self.values, self.troubles = dict(SOUND), []
        self.record = Record(device, Floors(folder), grace)

    def set(self, **values):
        """As a sound card's, but for these."""
        self.values = SOUND | values

    def look(self, **values):
        """One look; `values` are of this one alone."""
        at = NOW + self.passed
        self.record.add(Reading(device=self.device, **(self.values | values), at=at, passed=self.passed))

    def go(self, seconds, step=lambda passed: None):
        """Time passes; `step(passed)` before each look."""
        end = self.passed + seconds
        while self.passed + self.interval <= end:
            self.passed += self.interval
            step(self.passed)
            self.look()
        self.passed = end

    def event(self, code, kind="xid"):
        """An Xid."""
        at = NOW + self.passed
        self.record.happened(Event(device=self.device, kind=kind, code=code, at=at, passed=self.passed))

    def trouble(self, kind, code=0, said=""):
        """With the driver."""
        self.troubles.append(Trouble(kind=kind, code=code, said=said, at=NOW + self.passed, passed=self.passed))

    def ask(self, empty=True):
        """What the pool is told now."""
        return judge(self.record.seen(NOW + self.passed, self.passed, empty=empty, troubles=self.troubles))

    def gate(self):
        """The same with a look just before, as Sampler has it."""
        self.look()
        return self.ask()
