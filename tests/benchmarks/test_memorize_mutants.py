import re

import pytest
import torch

from benchmarks.memorize import soundness
from benchmarks.memorize.mutants import MUTANTS
from benchmarks.memorize.programs import PROGRAMS
from benchmarks.memorize.task import Mutant

CHECKS = frozenset("""
training-ran on-gpu within-budget batch-is-finite batch-is-whole inputs-vary samples-differ labels-vary
labels-stay-paired labels-not-in-inputs inputs-are-scaled augmentation-keeps-inputs labels-match-inputs batch-is-fixed
trains-in-train-mode loss-takes-logits loss-takes-log-probabilities loss-shapes-agree loss-has-classes
loss-counts-targets loss-fits-targets loss-pairs-outputs targets-are-shifted loss-sign loss-scale initial-loss
parameters-are-registered parameters-are-connected parameters-are-optimized parameters-stay-trainable loss-is-finite
gradients-are-fresh gradients-are-kept gradients-reach optimizer-descends parameters-move updates-are-sized
learning-rate-holds optimizer-keeps-state precision-keeps-updates decay-is-small units-are-alive
units-are-not-saturated forward-leaves-parameters evaluation-repeats samples-are-independent inputs-are-used
future-is-hidden padding-is-ignored order-matters model-is-nonlinear loss-above-bound loss-falls metric-agrees
checkpoint-restores accumulation-agrees as-reviewed
""".split())  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def named(things, name):
    return next(one for one in things if one.name == name)


@pytest.mark.parametrize(
    "program, mutant, what",
    [
        ("digits-mlp", "D12-labels-collapsed", "batches"),
        ("digits-mlp", "M01-first-layer-frozen", "trainable"),
        ("char-gpt", "L01-sign", "losses"),
        ("digits-cnn", "O06-wiped-before-step", "parameters"),
        ("gan", "O04-stale-copy", "parameters"),
    ],
)
def test_a_defect_changes_what_it_is_about(program, mutant, what):
    program, mutant = named(PROGRAMS, program), named(MUTANTS, mutant)
    assert mutant.applies(program)
    assert what in soundness.differences(program, mutant)


def planted(apply):
    return Mutant(name="planted", title="", causes=(), applies=lambda program: True, apply=apply)


def crash(task):
    task.module.configure_optimizers = lambda: 1 / 0


@pytest.mark.parametrize("apply", [lambda task: None, lambda task: task, crash], ids=["nothing", "same", "crash"])
def test_what_does_nothing_or_stops_is_no_pair(apply):
    assert not soundness.changes(named(PROGRAMS, "digits-mlp"), planted(apply))


def test_what_happens_to_the_healthy_one_is_the_same_each_time():
    program = named(PROGRAMS, "vae")
    assert not soundness.changes(program, planted(lambda task: program.build(soundness.Knobs())))


def test_each_mutant_is_named_and_has_causes_that_exist():
    assert len({one.name for one in MUTANTS}) == len(MUTANTS) >= 75
    for one in MUTANTS:
        assert re.fullmatch(r"[DMLOEP]\d\d-[a-z0-9-]+", one.name)
        assert 1 <= len(one.causes) <= 3 and CHECKS.issuperset(one.causes), one.name
        assert one.title.endswith("."), one.name


@pytest.mark.slow
def test_every_mutant_makes_a_pair_and_nothing_fails_while_it_is_put_in():
    """A sixth of all pairs; a rare mutant is looked for in all programs."""
    pairs = 0
    for place, mutant in enumerate(MUTANTS):
        fitting = [program for program in PROGRAMS if mutant.applies(program)]
        found = sum(soundness.changes(program, mutant) for program in fitting[place % 6 :: 6])
        assert found or any(soundness.changes(program, mutant) for program in fitting), mutant.name
        pairs += found
    assert pairs >= 500
