"""What is judged: each mutant in each program that it fits, and benign commits of each program, in an order by lot."""

import functools
import hashlib
import random
from collections import Counter
from dataclasses import asdict, dataclass

from benchmarks.memorize.task import Knobs, Mutant, Program

PARTS = ("tuning", "held_out")  # thresholds were looked for on the first alone
BENIGN = {"tuning": 10, "held_out": 20}  # commits per program: more than 600 over all
EACH = 6  # programs, by lot, that a mutant is put into in each part; by name it is put into all
# One commit each, where a program answers to its knob.
ALONE = (
    ("seed", 1),
    ("seed", 2),
    ("seed", 3),
    ("width", 0.5),
    ("width", 2.0),
    ("lr", 1 / 3),
    ("lr", 3.0),
    ("optimizer", "sgd"),
    ("optimizer", "adamw"),
    ("batch", 0.5),
    ("batch", 2.0),
    ("precision", "bf16-mixed"),
    ("clip", 1.0),
    ("warmup", 20),
    ("dropout", 0.1),
    ("dropout", 0.3),
    ("refactored", True),
)


@dataclass(frozen=True)
class Pair:
    """A defect in a program. Everything but tuning mutants in tuning programs is of the part set aside."""

    part: str
    program: Program
    mutant: Mutant

    @property
    def name(self):
        """As it stands in a file and decides the lot."""
        return f"{self.program.name} {self.mutant.name}"


@dataclass(frozen=True)
class Benign:
    """A commit to a healthy program. Without any change it is the same commit once more."""

    part: str
    program: Program
    knobs: Knobs

    @property
    def name(self):
        """As it stands in a file and decides the lot."""
        return " ".join([self.program.name, *differing(self.knobs)])


def differing(knobs):
    """`width=0.5` for each field that is not as the author wrote it."""
    author = asdict(Knobs())
    return [f"{field}={value:.3g}" if isinstance(value, float) else f"{field}={value}" for field, value in
            asdict(knobs).items() if value != author[field]]  # fmt: skip


@functools.cache
def everything(part="all"):
    """The pairs and benign commits. Whether a mutant changes a program at all is seen only when its turn comes.

    For the tuning part nothing of what is set aside is so much as imported.
    """
    both = list(_parts(part))
    _single("program", [program.name for _, own, _ in both for program in own])
    _single("mutant", [mutant.name for *_, own in both for mutant in own])
    items = sorted(_listed(both), key=lambda item: lot(item.name))
    return tuple(item for item in items if part in (item.part, "all"))


def sample(part="all"):
    """Of everything no more than EACH pairs of a mutant in a part: more programs tell less than more mutants do."""
    seen = Counter()
    for item in everything(part):
        mutant = (item.part, item.mutant.name) if isinstance(item, Pair) else None
        seen[mutant] += 1
        if mutant is None or seen[mutant] <= EACH:
            yield item


def _parts(part):
    from benchmarks.memorize import mutants, programs

    yield "tuning", programs.PROGRAMS, mutants.MUTANTS
    if part != "tuning":
        from benchmarks.memorize import held_out

        yield "held_out", held_out.PROGRAMS, held_out.MUTANTS


def _single(kind, names):
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"there is more than one {kind} called {', '.join(sorted(twice))}")


def _listed(both):
    for of_program, programs, _ in both:
        for program in programs:
            yield from (Benign(of_program, program, knobs) for knobs in commits(program, BENIGN[of_program]))
            for of_mutant, _, mutants in both:
                part = "tuning" if of_program == of_mutant == "tuning" else "held_out"
                yield from (Pair(part, program, mutant) for mutant in mutants if mutant.applies(program))


def commits(program, many):
    """Benign commits of a program: the same once more, and by lot half that change one thing, half a seed and two."""
    known = [(field, value) for field, value in ALONE if field == "seed" or field in program.knobs]
    drawn = random.Random(program.name)
    alone = drawn.sample(known, min(len(known), many // 2))
    found = dict.fromkeys([Knobs(), *(Knobs(**{field: value}) for field, value in alone)])
    fields = sorted({field for field, _ in known} - {"seed"})
    while len(found) < many:
        chosen = drawn.sample(fields, min(2, len(fields)))
        changed = {field: drawn.choice([value for of, value in known if of == field]) for field in chosen}
        found[Knobs(seed=drawn.randrange(4, 4 + many), **changed)] = None
    return tuple(found)


def lot(name):
    """A number that no author chose: a run cut short, a sample and a shard are all drawn alike."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16)


def thrice(pair):
    """Is it one of the third of the pairs whose verdict is asked of three seeds?"""
    return lot(pair.name) % 3 == 0
