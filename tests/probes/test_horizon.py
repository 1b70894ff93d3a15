import math
from types import SimpleNamespace

import pytest

from backburn.probes import horizon

from . import recorded as r, trainings as t


def test_an_end_that_nobody_asked_for_is_none():
    assert horizon.end({}) is None and horizon.end({"until": 0, "seconds": 0}) is None


def alone(**given):
    return SimpleNamespace(world_size=1, **given)


def test_it_ends_at_its_step_or_when_the_time_is_up():
    one = horizon.end({"until": 5, "seconds": 60})
    assert [one.reached(alone(), step, 1.0) for step in (4, 5, 6)] == ["", "until", "until"]
    assert one.reached(alone(), 4, 60.0) == "budget"
    assert horizon.end({"until": 5}).reached(alone(), 4, 1e9) == ""


def test_ranks_agree_that_the_time_is_up():
    asked = []
    strategy = SimpleNamespace(broadcast=lambda mine: asked.append(mine) or True)
    trainer = SimpleNamespace(world_size=2, strategy=strategy)
    one = horizon.end({"seconds": 60})
    assert [one.reached(trainer, step, 1.0) for step in (7, 8)] == ["", "budget"] and asked == [False]


def test_a_training_ends_where_it_is_asked_to(tmp_path):
    r.fitted(tmp_path, validation=r.uneven, until=6)
    told = r.told(tmp_path)
    assert (told.ended, told.steps, told.planned) == ("until", 6, 12)
    assert [step for step, _ in told.validations["val_loss"]] == [4]
    assert [step for step, _ in told.losses] == [1, 2, 3, 5] and list(r.read(tmp_path)) == [1, 2, 3, 4, 5]
    assert told.means[-1][0] == 6


def test_one_that_is_shorter_comes_to_its_own_end(tmp_path):
    r.fitted(tmp_path, until=100)
    assert (r.told(tmp_path).ended, r.told(tmp_path).steps) == ("fit", 12)


def test_the_time_that_is_up_changes_no_schedule(tmp_path):
    """It trains as the whole would, as far as it comes."""

    class Cut(t.OneCycle):
        def on_train_batch_end(self, *args):
            if self.global_step == 7:
                self.trainer.callbacks[-1].seen.seconds = 1e9

    r.fitted(tmp_path / "whole", module=t.OneCycle)
    r.fitted(tmp_path / "cut", module=Cut, seconds=1e8)
    whole, cut = r.told(tmp_path / "whole"), r.told(tmp_path / "cut")
    assert (cut.ended, cut.steps, cut.planned) == ("budget", 8, 12)
    assert cut.rates == tuple(one for one in whole.rates if one[0] <= 8) and cut.losses == whole.losses[:5]
    assert r.read(tmp_path / "cut")[8].parameters == r.read(tmp_path / "whole")[8].parameters


@pytest.mark.parametrize("caught", [SystemExit, BaseException])
def test_a_script_that_goes_on_tells_no_other_end(caught, tmp_path):
    callback = r.probe.callback(r.asking(tmp_path, until=2), "lightning.pytorch")
    trainer = r.pl.Trainer(**r.QUIET, callbacks=[callback])
    with pytest.raises(caught):
        trainer.fit(r.Net(), t.loader())
    assert r.told(tmp_path).ended == "until"


def test_what_a_launcher_spawned_ends_as_fits_do():
    class _MultiProcessingLauncher:
        pass

    loop = SimpleNamespace(min_epochs=3, epoch_loop=SimpleNamespace(min_steps=5))
    trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=_MultiProcessingLauncher()), fit_loop=loop)
    horizon.leave(trainer)
    assert trainer.should_stop and (loop.min_epochs, loop.epoch_loop.min_steps) == (0, None)


def planned(**given):
    base = {"max_epochs": 3, "current_epoch": 1, "num_training_batches": 10, "max_steps": -1, "global_step": 0}
    base |= {"accumulate_grad_batches": 2, "lightning_module": SimpleNamespace(automatic_optimization=True)}
    return horizon.planned(SimpleNamespace(**base | given), 4)


def test_what_is_planned_is_the_nearest_end():
    assert (planned(), planned(max_steps=3), planned(max_epochs=None)) == (24, 10, 0)
    assert planned(num_training_batches=math.inf) == 0
    manual = SimpleNamespace(automatic_optimization=False)
    assert planned(max_steps=3, lightning_module=manual) == 24


def test_a_trainer_of_another_kind_has_no_checkpoint():
    assert horizon.before(SimpleNamespace()) == 0
