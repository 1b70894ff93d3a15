import datetime
from typing import Literal

import msgspec
import pytest

from backburn import config
from backburn.config import Seconds, Training
from backburn.errors import UserError


class Memorize(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    max_steps: int = 300
    threshold: float = 0.25
    budget: Seconds = Seconds(300)
    install: str = "auto"
    base: str = ""
    scope: Literal["all", "changed"] = "all"
    training: Training = Training()


class Unit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    select: str = ""


SCHEMAS = {"memorize": Memorize, "unit": Unit}


def load(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    return config.load(tmp_path, SCHEMAS)


def test_a_project_without_a_file_or_a_table_has_every_default(tmp_path):
    assert config.load(tmp_path, SCHEMAS).stage("memorize", Memorize) == Memorize()
    assert load(tmp_path, "[project]\nname = 'x'\n").stage("unit", Unit) == Unit()


def test_project_stage_training_and_command_line_in_this_order(tmp_path):
    settings = load(
        tmp_path,
        """
        [tool.backburn]
        install = "none"
        [tool.backburn.memorize]
        max-steps = 100
        budget = "2m"
        [tool.backburn.trainings.digits]
        command = "python -m 'digits train' fit"
        timeout = "1h"
        [tool.backburn.trainings.digits.memorize]
        max-steps = 50
        [tool.backburn.trainings.other]
        command = ["python", "x.py"]
        """,
    )
    digits = settings.stage("memorize", Memorize, training="digits", given={"base": "main", "threshold": None})
    assert (digits.max_steps, digits.budget, digits.install, digits.base) == (50, 120, "none", "main")
    assert digits.training.name == "digits"
    assert digits.training.words == ("python", "-m", "digits train", "fit")
    assert digits.training.timeout == 3600
    assert settings.stage("memorize", Memorize, training="other").max_steps == 100
    assert config.chosen(settings, ()) == ("digits", "other")
    assert config.chosen(settings, ("other",)) == ("other",)


def test_unknown_keys_are_named_all_at_once_with_the_nearest(tmp_path):
    with pytest.raises(UserError) as caught:
        load(
            tmp_path,
            """
            [tool.backburn]
            instal = "none"
            [tool.backburn.memorize]
            max_steps = 3
            [tool.backburn.trainings.digits]
            comand = "x"
            [tool.backburn.trainings.digits.memorize]
            treshold = 1
            [[tool.backburn.allow]]
            chek = "x"
            """,
        )
    text = str(caught.value)
    assert "pyproject.toml: [tool.backburn] instal: unknown key. Did you mean 'install'?" in text
    assert "[tool.backburn.memorize] max_steps: unknown key. Did you mean 'max-steps'?" in text
    assert "[tool.backburn.trainings.digits] comand: unknown key. Did you mean 'command'?" in text
    assert "[tool.backburn.trainings.digits.memorize] treshold: unknown key. Did you mean 'threshold'?" in text
    assert "[[tool.backburn.allow]] chek: unknown key. Did you mean 'check'?" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.backburn.memorize]\nmax-steps = '3'", "Expected `int`, got `str`"),
        ("[tool.backburn.memorize]\nbudget = 'soon'", "expected a positive duration"),
        ("[tool.backburn.memorize]\nbudget = -1", "expected a positive duration"),
        ("[tool.backburn]\nmemorize = 3", "expected a table, got 3"),
        ("[tool.backburn.trainings]\ndigits = 'x'", "expected a table, got 'x'"),
        ("[tool.backburn.trainings.digits]\ncwd = '.'", "command is missing or empty"),
        ("[tool.backburn.trainings.digits]\ncommand = 'a \"b'", "No closing quotation"),
        ("[tool.backburn.trainings.digits]\ncommand = 'a'\nprepare = 'a \"b'", "No closing quotation"),
        ("[tool.backburn]\nallow = 3", "expected an array of tables"),
        ("[[tool.backburn.allow]]\ncheck = 'unit/x'", "missing required field `reason`"),
        ("[[tool.backburn.allow]]\ncheck = 'unit/x'\nreason = ' '", "[[tool.backburn.allow]]: reason is empty"),
        ("[[tool.backburn.allow]]\ncheck = 'unit/x'\nreason = 'r'\nuntil = 'soon'", "A date, as 2027-03-31."),
        (
            "[[tool.backburn.allow]]\ncheck = 'unti/x'\nreason = 'r'",
            "no stage is called 'unti'\n  Did you mean 'unit'?",
        ),
        (
            "[[tool.backburn.allow]]\ncheck = 'unit/x'\nreason = 'r'\ntraining = 'digits'",
            "no training is called 'digits'\n  Known: none.",
        ),
        ("[tool.backburn.trainings.'../src']\ncommand = 'x'", "a training's name is letters, digits, - and _"),
        ("[tool.backburn.trainings.'']\ncommand = 'x'", "a training's name is letters, digits, - and _"),
        ("[tool.backburn.memorize]\nscope = 'some'", "Invalid enum value 'some' - at `scope`\n  One of: all, changed."),
        ("[tool.backburn]\ninstall = 3", "pyproject.toml: [tool.backburn]: Expected `str`, got `int`"),
        ("not toml", "pyproject.toml"),
    ],
)
def test_a_wrong_type_or_a_broken_file_names_its_place(tmp_path, text, said):
    with pytest.raises(UserError) as caught:
        load(tmp_path, text).stage("memorize", Memorize)
    assert said in str(caught.value)
    assert "pyproject.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("command = 'CUDA_VISIBLE_DEVICES=0 python train.py'", "'CUDA_VISIBLE_DEVICES=0' is a shell's"),
        ("command = 'cd src; python train.py'", "'src;' is a shell's"),
        ("command = 'cd src && python train.py'", "'&&' is a shell's"),
        ("command = 'python train.py | tee log'", "'|' is a shell's"),
        ("command = 'python train.py'\nprepare = 'python fetch.py > log'", "'>' is a shell's"),
    ],
)
def test_what_a_shell_would_read_is_refused_before_anything_is_made(tmp_path, lines, said):
    with pytest.raises(UserError) as caught:
        load(tmp_path, f"[tool.backburn.trainings.it]\n{lines}")
    assert said in str(caught.value) and "use env =" in caught.value.hint
    assert caught.value.where == "pyproject.toml: [tool.backburn.trainings.it]"


@pytest.mark.parametrize(
    ("written", "last"),
    [("\"python -c 'print(1);' '|'\"", "|"), ("['python', '-c', 'print(1);', ';']", ";")],
)
def test_what_a_shell_would_leave_alone_is_an_argument(tmp_path, written, last):
    training = load(tmp_path, f"[tool.backburn.trainings.it]\ncommand = {written}").trainings["it"]
    assert training.words == ("python", "-c", "print(1);", last)


def test_no_training_and_no_such_training_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="no training is declared"):
        config.chosen(load(tmp_path, ""), ())
    settings = load(tmp_path, "[tool.backburn.trainings.digits]\ncommand = 'x'")
    with pytest.raises(UserError, match="Did you mean 'digits'"):
        config.chosen(settings, ("digit",))


def test_allow_reads_a_date(tmp_path):
    settings = load(
        tmp_path, "[[tool.backburn.allow]]\ncheck = 'memorize/loss-falls'\nreason = 'known'\nuntil = 2027-01-01"
    )
    assert settings.allow[0].until == datetime.date(2027, 1, 1)


@pytest.mark.parametrize(("value", "seconds"), [(90, 90), ("90", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86400)])
def test_durations(value, seconds):
    assert Seconds.parse(value) == seconds


@pytest.mark.parametrize("value", [0, -1, True, "", "2w", None, "-3m"])
def test_what_is_no_duration(value):
    with pytest.raises(ValueError, match="duration"):
        Seconds.parse(value)


def test_the_root_is_the_nearest_pyproject_not_above_the_repository(tmp_path):
    (tmp_path / "pyproject.toml").touch()
    inner = tmp_path / "repository" / "src"
    inner.mkdir(parents=True)
    assert config.find_root(inner, tmp_path / "repository") == inner
    assert config.find_root(inner, tmp_path) == tmp_path
