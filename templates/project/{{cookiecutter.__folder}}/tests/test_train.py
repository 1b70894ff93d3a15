"""The training as the command line starts it."""

from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.train import main

CPU = ["--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.enable_progress_bar=false"]


def test_one_step(tmp_path: Path) -> None:
    cli = main(["fit", "--trainer.fast_dev_run=1", f"--trainer.default_root_dir={tmp_path}", *CPU])
    assert cli.trainer.global_step == 1
    assert cli.trainer.callback_metrics["train_loss"].isfinite()


@pytest.mark.slow
def test_it_learns(tmp_path: Path) -> None:
    cli = main(["fit", f"--trainer.default_root_dir={tmp_path}", *CPU])
    assert cli.trainer.callback_metrics["val_accuracy"] > 0.95
