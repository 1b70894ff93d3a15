"""What is timed: steps, waits and sections of known length, over epochs; then a trace of three more."""

import gzip
import json
import time

import lightning.pytorch as pl
import pytest
import torch

from backburn.probes import timing

from . import profiled as p, trainings as t


def told(path, module=None, data=None, validation=(), **given):
    return p.told(path, module, data, validation, **{"pass": "time"}, **given)


class Slow(p.Net):
    """Sleeps for long in its third step, the last to warm up, and in its tenth, the first that is traced."""

    def training_step(self, batch, batch_idx):
        time.sleep(1 if self.global_step in (2, 9) else 0.03)
        return super().training_step(batch, batch_idx)


def slowly(seconds, count=64):
    for one, label in zip(*t.samples(count)):
        time.sleep(seconds)
        yield one[None], label[None]


def test_a_step_is_timed_without_the_warm_up_before_and_the_trace_behind_it(tmp_path):
    found = told(tmp_path, Slow(), trace=str(tmp_path / "trace.json.gz"))
    assert (found.ended, len(found.steps)) == ("profiled", 6)
    assert all(0.03 <= seconds < 1 for seconds in found.steps)
    assert all(0 < worked <= seconds - 0.03 for worked, seconds in zip(found.busy, found.steps, strict=True))
    calls, seconds = found.sections["[Strategy]SingleDeviceStrategy.training_step"]
    assert calls == 6
    assert 0.03 * 6 <= seconds <= sum(found.steps)


def test_a_wait_is_the_time_of_the_loader(tmp_path):
    found = told(tmp_path, data=slowly(0.03))
    assert (len(found.steps), len(found.waits)) == (6, 6)
    assert all(seconds >= 0.03 for seconds in found.waits)
    calls, seconds = found.sections["[_TrainingEpochLoop].train_dataloader_next"]
    assert calls == 6
    assert seconds >= 6 * 0.03


class Validating(p.Net):
    def validation_step(self, batch, batch_idx):
        time.sleep(1)


def test_what_lies_between_two_epochs_is_no_wait(tmp_path):
    found = told(tmp_path, Validating(), validation=t.loader(shuffle=False), timed=9)  # 4 steps an epoch, 3 warm up
    assert (len(found.steps), len(found.waits)) == (9, 7)
    assert max(found.waits) < 1
    assert found.sections["[Strategy]SingleDeviceStrategy.validation_step"][0] == 2  # one batch of four each


@pytest.mark.parametrize("warmup", [0, 1])
def test_an_epoch_of_one_step_has_no_waits(warmup, tmp_path):
    found = told(tmp_path, data=t.loader(batch_size=64), warmup=warmup)
    assert (found.ended, len(found.steps), found.waits) == ("profiled", 6, ())


def test_what_the_probe_is_called_for_is_no_section(tmp_path):
    sections = told(tmp_path, callbacks=[pl.Callback()]).sections
    assert not [name for name in sections if "Probe" in name]
    assert "[Callback]Callback.on_train_batch_end" in sections


def test_the_trace_is_of_three_steps_with_their_shapes(tmp_path):
    found = told(tmp_path, trace=str(tmp_path / "trace.json.gz"))
    assert found.trace == "trace.json.gz"
    events = json.loads(gzip.decompress((tmp_path / found.trace).read_bytes()))["traceEvents"]
    names = [event["name"] for event in events]
    assert sum(name.startswith("Optimizer.step") for name in names) == 3
    assert [[16, 24], [24, 4]] in [event.get("args", {}).get("Input Dims", [])[1:3] for event in events]


def test_without_room_for_the_trace_there_are_times(tmp_path):
    found = told(tmp_path, trace=str(tmp_path / "no" / "such" / "folder" / "trace.json.gz"))
    assert (found.ended, len(found.steps), found.trace) == ("profiled", 6, "")


def test_a_trace_that_fills_the_disk_makes_room_for_the_times(tmp_path):
    full = tmp_path / "trace.json.gz"
    full.symlink_to("/dev/full")
    found = told(tmp_path, trace=str(full))
    assert (found.ended, len(found.steps), found.trace) == ("profiled", 6, "")
    assert not full.is_symlink()


class Leaving(pl.Callback):
    def on_train_batch_end(self, trainer, *args):
        trainer.should_stop = trainer.global_step >= 5


@pytest.mark.parametrize(
    "given",
    [{"callbacks": [Leaving()]}, {"data": lambda: slowly(0, count=5)}],
    ids=["a callback ends it", "the data end, and nothing comes any more"],
)
def test_a_training_that_ends_before_is_cut(given, tmp_path):
    given = given | ({"data": given["data"]()} if "data" in given else {})
    found = told(tmp_path, **given)
    assert (found.ended, len(found.steps), found.sections) == ("cut", 2, {})


class Heavy(p.Net):
    """Takes 300 MB in its last step, behind the timed ones."""

    def training_step(self, batch, batch_idx):
        if self.global_step >= 9:
            torch.ones(75_000_000)
        return super().training_step(batch, batch_idx)


def test_memory_is_taken_before_the_trace(tmp_path):
    before = timing.resident_memory()
    found = told(tmp_path, Heavy(), trace=str(tmp_path / "trace.json"))
    assert before <= found.resident_memory <= timing.resident_memory() - 10**8
    assert found.peak_memory == 0  # that is CUDA's


def test_the_clock_of_a_cpu_does_not_wait():
    assert timing.clock(torch.device("cpu")) is time.perf_counter
