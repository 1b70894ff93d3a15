"""The seeds that a script asks for, in processes of their own: a script seeds before anything of ours is called."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from backburn.probes.seeds import Seeds

REPOSITORY = Path(__file__).parents[2]
ONPATH = REPOSITORY / "src" / "backburn" / "probes" / "onpath"
TAIL = """
import random, sys
import numpy, torch
print(torch.rand(1).item(), random.random(), numpy.random.random())
one = sys.modules.get("backburn_probes.seeds")
print(one.of({shift}).asked if one else None)
"""


def drawn(script, folder, shift=None, **extra):
    """(what the script drew, the seeds noted) with the probe, or without any."""
    env = {key: value for key, value in os.environ.items() if key not in ("BACKBURN_PROBE", "PL_GLOBAL_SEED")}
    if shift is not None:
        settings = {"seed": 42, "shift": shift, "require_gpu": False, "rehearsal": False, "scratch": str(folder)}
        asked = {"stage": "reproduce", "settings": settings, "evidence": str(folder / "probe.json")}
        env |= {"BACKBURN_PROBE": json.dumps(asked), "PYTHONPATH": str(ONPATH)}
    words = [sys.executable, "-c", script + TAIL.format(shift=shift or 0)]
    done = subprocess.run(words, env=env | extra, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    *numbers, noted = done.stdout.splitlines()
    return numbers, json.loads(noted.replace("None", "null"))


EACH = "import random, numpy, torch; random.seed({0}); numpy.random.seed({0}); torch.manual_seed({0})"


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    """What is drawn under a seed."""
    folder = tmp_path_factory.mktemp("bare")
    return {seed: drawn(EACH.format(seed), folder)[0] for seed in (7, 8, 42, 45)}


HERE = "import random, numpy; random.seed({0}); numpy.random.seed({0}); "  # torch's alone is shifted
SCRIPTS = {
    "unchanged": ("from lightning.pytorch import seed_everything; assert seed_everything(7) == 7", 0),
    "of pytorch_lightning": ("import pytorch_lightning as pl; pl.seed_everything(seed=7, workers=True)", 1),
    "of Fabric, and reset": (
        "from lightning.fabric import Fabric; Fabric.seed_everything(7)\n"
        "from lightning.fabric.utilities.seed import reset_seed; reset_seed()",
        1,
    ),
    "by the environment": (
        "import os; os.environ['PL_GLOBAL_SEED'] = '7'\n"
        "from lightning.fabric.utilities.seed import *; seed_everything(); seed_everything()",
        1,
    ),
    "torch's unchanged": (EACH.format(7), 0),
    "torch's": (HERE.format(8) + "import torch; torch.manual_seed(7)", 1),
    "torch's, before Lightning": ("import torch; torch.random.manual_seed(7); import lightning; " + HERE.format(8), 1),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_seed_is_passed_on_unchanged_or_shifted(name, tmp_path, by_hand):
    script, shift = SCRIPTS[name]
    assert by_hand[7] != by_hand[8]
    assert drawn(script, tmp_path, shift) == (by_hand[7 + shift], [7])


def test_a_generator_of_its_own_keeps_its_seed(tmp_path):
    script = "import torch; print(torch.randperm(9, generator=torch.Generator().manual_seed(3)).tolist())"
    (bare, *_), _ = drawn(script, tmp_path)
    (ours, *_), noted = drawn(script, tmp_path, 1)
    assert (bare, []) == (ours, noted)


@pytest.mark.parametrize("shift", [0, 3])
def test_a_script_that_seeds_nothing_gets_the_stages_seed(shift, tmp_path, by_hand):
    assert drawn("import lightning.pytorch", tmp_path, shift) == (by_hand[42 + shift], [])


def test_a_rank_that_inherits_a_shifted_seed_does_not_shift_it_again(tmp_path, by_hand):
    script = "from lightning.fabric import seed_everything; seed_everything()"
    inherited = {"PL_GLOBAL_SEED": "8", "BACKBURN_SHIFTED_SEED": "8"}
    assert drawn(script, tmp_path, 1, **inherited) == (by_hand[8], [7])


LOADED = """
import torch
from torch.utils.data import DataLoader

class Draws(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.rand(1), torch.utils.data.get_worker_info().seed

if __name__ == "__main__":
    import random, numpy
    random.seed(0); numpy.random.seed(0)
    torch.manual_seed({seed})
    print([(x.tolist(), y.tolist()) for x, y in DataLoader(Draws(), num_workers=1)])
"""


def test_workers_are_seeded_by_their_loader(tmp_path):
    """torch.manual_seed is called in each of them, with a seed that was drawn after the shift."""
    eight, _ = drawn(LOADED.format(seed=8), tmp_path)
    assert drawn(LOADED.format(seed=7), tmp_path, 1) == (eight, [7])


# What may be asked for


def asked(shift, *seeds):
    """(what torch got, what was noted)."""
    got = []
    torch = SimpleNamespace(manual_seed=got.append, random=SimpleNamespace())
    one = Seeds(shift)
    one.wrap_torch(torch)
    for seed in seeds:
        torch.manual_seed(seed)
    return got, one.asked


def test_the_largest_seed_wraps_around():
    assert asked(1, 2**64 - 1, -1) == ([0, 0], [2**64 - 1, -1])


def test_a_seed_in_each_step_is_noted_so_often_and_no_more():
    got, noted = asked(5, *range(1000), 3, 3)
    assert got == [*range(5, 1005), 8, 8] and noted == list(range(16))


@pytest.mark.parametrize("seed", [3, 3.7, "3"])
def test_what_torch_is_given_without_a_shift_is_what_the_script_gave(seed):
    assert asked(0, seed) == ([seed], [3])
