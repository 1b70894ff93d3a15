"""What does it cost a step that its training is written down? With and without take turns."""

import gc
import time

from lightning.pytorch.callbacks import Callback

from . import runs

ROUNDS, STEPS, FIRST = 40, 400, 10  # fits of each, steps of one, and those that are left out


class Clock(Callback):
    """Seconds of CPU from one step to the last one."""

    def __init__(self):
        self.began = self.ended = 0.0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        """Begins late: what is done once is not of a step."""
        if trainer.global_step == FIRST:
            self.began = time.process_time()

    def on_train_end(self, trainer, pl_module):
        """The last one."""
        self.ended = time.process_time()


def recording(program, scratch):
    """The share by which a step gets dearer, one number per round: recorded as the probe does it by itself, and not."""
    scratch.mkdir()
    return [_round(program, scratch, turn) for turn in range(ROUNDS)]


def _round(program, scratch, turn):
    """Which of both comes first takes turns."""
    took = {}
    for share in [{}, {"share": 0}][:: -1 if turn % 2 else 1]:
        gc.collect()
        took[len(share)] = _once(program, scratch / f"{turn}-{len(share)}", share)
    return took[0] / took[1] - 1


def _once(program, folder, asked):
    recipe, clock = runs.of(program), Clock()
    recipe.trainer["callbacks"] = [clock]
    runs.run(recipe, folder, STEPS, **asked)
    return clock.ended - clock.began
