"""Train and test from the command line; `fit --help` lists every option."""

from lightning.pytorch.cli import ArgsType, LightningCLI

from {{ cookiecutter.package_name }}.data import Digits
from {{ cookiecutter.package_name }}.model import Classifier


def main(args: ArgsType = None) -> LightningCLI:
    """Do what `args` (or the command line) says: fit, validate, test or predict."""
    return LightningCLI(
        Classifier,
        Digits,
        seed_everything_default=0,
        trainer_defaults={
            "max_epochs": 20,
            "log_every_n_steps": 10,
            "default_root_dir": "build/training",
        },
        args=args,
    )


if __name__ == "__main__":
    main()
