"""What a training runs on and with, word by word."""

import platform

import lightning.pytorch as pl
import msgspec
import pytest
import pytorch_lightning
import torch

from backburn.probes import machine
from backburn.references import Machine, differences

from . import trainings as t


class Net(t.Net):
    def __init__(self, width=32, api_key="x", database="sql://me:secret@host/db", **more):
        super().__init__()
        self.save_hyperparameters()

    def configure_optimizers(self):
        groups = [{"params": self.encoder.parameters()}, {"params": self.head.parameters(), "lr": 0.5}]
        adam = torch.optim.Adam(groups, lr=0.1 + 0.2)
        return [adam], [torch.optim.lr_scheduler.StepLR(adam, 2)]


@pytest.fixture
def fitted(tmp_path):
    def fit(module, **given):
        off = dict.fromkeys(("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary"), False)
        trainer = pl.Trainer(**{"accelerator": "cpu", "max_steps": 1, "default_root_dir": tmp_path, **off} | given)
        trainer.fit(module, t.loader())
        return trainer, module

    return fit


def told(fitted, module=None, **given):
    return msgspec.convert(machine.machine(*fitted(module or Net(), **given)), Machine)


def test_the_class_of_hardware_is_the_processors(fitted):
    assert told(fitted).hardware == f"cpu-{torch.backends.cpu.get_cpu_capability().lower()}"


def test_the_same_process_is_the_same_machine(fitted):
    one, other = told(fitted), told(fitted)
    assert (one.hard, one.soft) == (other.hard, other.soft)
    assert one.hard["torch"] == torch.__version__ and one.hard["lightning"] == pl.__version__
    assert one.hard["world size"] == "1" and one.hard["precision"] == "32-true"
    assert one.soft["kernel"] == platform.release() and one.soft["memory"].endswith(" GiB")
    assert "pytorch_lightning" in one.soft and not {"torch", "numpy", "backburn"} & set(one.soft)


@pytest.mark.parametrize(
    ("change", "put_back", "said"),
    [
        (lambda: torch.set_num_threads(1), lambda: torch.set_num_threads(2), "threads: 2 → 1"),
        (
            lambda: torch.use_deterministic_algorithms(True),
            lambda: torch.use_deterministic_algorithms(False),
            "deterministic algorithms: False → True",
        ),
        (
            lambda: torch.set_float32_matmul_precision("high"),
            lambda: torch.set_float32_matmul_precision("highest"),
            "matmul precision: highest → high",
        ),
    ],
)
def test_what_changes_bits_is_hard(fitted, change, put_back, said):
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(False)  # a test before this one may have asked its Trainer for it
    before = told(fitted)
    change()
    try:
        assert said in differences(before.hard, told(fitted).hard)
    finally:
        put_back()
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def test_so_is_a_variable_that_changes_bits_where_it_is_set(fitted, monkeypatch):
    assert "MKL_CBWR" not in told(fitted).hard
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    assert told(fitted).hard["MKL_CBWR"] == "COMPATIBLE"


def test_a_value_that_torch_will_not_tell_is_left_out(fitted):
    """TF32 set the new way: reading it the old way raises."""
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        assert "threads" in told(fitted).hard
    finally:
        torch.backends.cuda.matmul.fp32_precision = "none"


def test_the_package_is_the_trainers(tmp_path):
    trainer = pytorch_lightning.Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)
    assert machine.lightning(trainer) == ("pytorch_lightning", pytorch_lightning.__version__)
    assert machine.lightning(object()) == ("", "")


def test_settings_are_words(fitted):
    found = machine.settings(*fitted(Net(layers={"first": 3}), gradient_clip_val=1.0))
    assert found["module"].endswith("test_machine.Net")
    assert (found["hparams.width"], found["hparams.layers.first"]) == ("32", "3")
    assert (found["trainer.max_steps"], found["trainer.gradient_clip_val"]) == ("1", "1.0")
    assert found["optimizer.0.class"] == "torch.optim.adam.Adam"
    assert found["optimizer.0.lr"] == "0.30000000000000004"
    assert (found["optimizer.0.groups"], found["optimizer.0.group.1.lr"]) == ("2", "0.5")
    assert found["scheduler.0.class"] == "torch.optim.lr_scheduler.StepLR"
    assert found["parameters"] == str(8 * 32 + 32 + 32 * 4 + 4)
    assert all(type(one) is str for pair in found.items() for one in pair)


def test_secrets_stay_out(fitted):
    given = {"hub": {"auth_token": "hf_x"}, "command": "login --password=x", "rate": 0.5}
    found = machine.settings(*fitted(Net(**given)))
    assert found["hparams.rate"] == "0.5"
    hidden = ("api_key", "database", "hub", "command")
    assert [name for name in found if any(one in name for one in hidden)] == []


class Odd:
    pass


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3e-3, "0.003"),
        ({"b", "a"}, "{'a', 'b'}"),
        (torch.float16, "torch.float16"),
        ("x" * 300, "'" + "x" * 197 + " …"),
    ],
)
def test_a_value_is_spelled_the_same_everywhere(value, said):
    assert machine.spelled(value) == said


def test_an_address_is_nothing_to_compare():
    assert machine.spelled([Odd()]).endswith("Odd object>]") and machine.spelled(Odd()) == machine.spelled(Odd())


def test_a_vocabulary_is_one_value(fitted):
    found = machine.settings(*fitted(Net(words={f"w{index}": index for index in range(5000)})))
    assert found["hparams.words"].endswith(" …")
    assert len(found) < 60
