"""A configuration that cannot be meant: exit code 2, a sentence that says what, where and what to do, nothing run."""

import pytest

from .conftest import PYPROJECT, commit

NET = "[tool.backburn.trainings.net]\n"
ARGS = PYPROJECT + "[tool.backburn.trainings.net.memorize]\nargs = "
MEMORIZE = PYPROJECT + "[tool.backburn.memorize]\n"
ALLOW = "[[tool.backburn.allow]]\ncheck = 'memorize/los-falls'\nreason = 'x'\n"

ROWS = {
    "empty": ("", "no training is declared", "Add a table such as:"),
    "no training": ("[tool.backburn]\ninstall = 'none'\n", "no training is declared", "command = "),
    "syntax": ("[tool.backburn]\nx = = 3\n", "Invalid value (at line 2, column 5)", "Mend the file; nothing was run."),
    "twice": (PYPROJECT + NET, "twice (at line 7", "Mend the file"),
    "unknown key": (PYPROJECT + "comand = 'x'\n", "net] comand: unknown key", "Did you mean 'command'?"),
    "wrong type": (MEMORIZE + "steps = 'many'\n", "Expected `int`, got `str` - at `steps`", "[tool.backburn.memorize]"),
    "true": (MEMORIZE + "steps = true\n", "Expected `int`, got `bool`", "`steps`"),
    "not a number": (MEMORIZE + "threshold = nan\n", "threshold must lie between 0 and 1", "got nan"),
    "list": ("[tool]\nbackburn = [1]\n", "[tool.backburn]: expected a table, got [1]", "docs/configuration.md"),
    "tool": ("tool = 3\n", "[tool]: expected a table, got 3", "docs/configuration.md"),
    "deep": (f"[tool.backburn]\nx = {'[' * 5000}{']' * 5000}\n", "recursion", "Mend the file"),
    "empty command": (NET + "command = '  '\n", "command is missing or empty", "For example:"),
    "command of nothing": (NET + "command = []\n", "command is missing or empty", "For example:"),
    "quote": (ARGS + "\"'a\"\n", "No closing quotation", "a list"),
    "NUL in args": (ARGS + '"a\\u0000"\n', "no program takes a NUL character: 'a\\x00'", "Take it out."),
    "shell": (PYPROJECT.replace("train.py", "train.py && rm x"), "'&&' is a shell's", "use env ="),
    "no program": (PYPROJECT.replace("python ", "pithon "), "there is no program 'pithon'", "misspelt?"),
    "cwd": (PYPROJECT + "cwd = 'nowhere'\n", "cwd 'nowhere' does not exist", "the project's folder"),
    "cwd is a file": (PYPROJECT + "cwd = 'train.py'\n", "cwd 'train.py' does not exist", "the project's folder"),
    "equals sign": (PYPROJECT + "env = { 'A=B' = '1' }\n", "no environment holds 'A=B' = '1'", "A name has no ="),
    "NUL in env": (PYPROJECT + 'env = { A = "x\\u0000" }\n', "no environment holds 'A'", "NUL character"),
    "seed": (MEMORIZE + "seed = -1\n", "seed must be at least 0 and below 2**32, got -1", "[tool.backburn.memorize]"),
    "huge seed": (MEMORIZE + f"seed = {10**30}\n", "seed must be at least 0 and below 2**32", "memorize]"),
    "install": (PYPROJECT.replace("none", "docker"), "install is 'docker', expected one of", '"none"'),
    "no stage": (PYPROJECT + "[[tool.backburn.allow]]\ncheck = 3\nreason = 'x'\n", "no stage is called '3'", "Known:"),
    "no check": (PYPROJECT + ALLOW, "no check is called 'memorize/los-falls'", "Did you mean 'memorize/loss-falls'?"),
    "byte-order mark": (b"\xef\xbb\xbf" + PYPROJECT.encode(), "at line 1, column 1", "without a byte-order mark"),
    "UTF-16": (PYPROJECT.encode("utf-16"), "can't decode byte 0xff", "as UTF-8 without a byte-order mark"),
    "Latin-1": (PYPROJECT.encode() + b"# \xe9\n", "can't decode byte 0xe9", "Mend the file; nothing was run."),
} | {
    f"timeout {value}": (
        PYPROJECT.replace('"60s"', value), "at `timeout`", "expected a positive duration such as 90"
    )
    for value in ("-3", "0", "'2 parsecs'", "nan", "inf", "1e300", "1" + "0" * 400, f"'{'9' * 400}'")
} | {
    f"name {name!r}": (NET.replace("net", f"'{name}'") + "command = 'x'\n", "letters, digits, - and _", "a folder")
    for name in ("a/b", "..", "a b", "é", "", "-x", "a" * 101)
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_it_is_asked_wrongly(make, row):
    text, what, todo = ROWS[row]
    project = make(pyproject=text)
    done = project.backburn("memorize")
    assert done.code == 2, done.said
    assert done.err.startswith("error: ") and what in done.err and todo in done.err, done.err
    assert "pyproject.toml: " in done.err or "[tool.backburn]: " in done.err
    assert not list(project.out("memorize").rglob("output.txt"))


SOUND = {
    "as it is": PYPROJECT,
    "CRLF": PYPROJECT.replace("\n", "\r\n"),
    "a long name": PYPROJECT.replace(".net]", f".{'a' * 100}]"),
    "other tools": PYPROJECT + "[tool.other]\nx = 1\n",
    "more steps than an int64": PYPROJECT + f"[tool.backburn.memorize]\nsteps = {10**30}\n",
}


@pytest.mark.parametrize("row", SOUND)
def test_what_can_be_meant_runs(make, row):
    done = make(pyproject=SOUND[row]).backburn("memorize")
    assert (done.code, "no Trainer.fit was seen" in done.out) == (3, True), done.said


REFERENCES = {
    "cut short": ('{"kind": "reference", ', "not readable as JSON", "or delete it and bless again"),
    "empty": ("", "not readable as JSON", "delete it and bless again"),
    "binary": ("\0\1", "not readable as JSON", "delete it and bless again"),
    "deep": ("[" * 100_000, "not readable as JSON", "delete it and bless again"),
    "newer": ('{"kind": "reference", "schema": 99}', "schema 99 is newer than the 2", "Upgrade backburn"),
    "without a schema": ('{"kind": "reference"}', "it has no schema number", ""),
    "something else": ('{"kind": "report", "schema": 1}', "expected a file of kind 'reference'", "bless again"),
}


@pytest.mark.parametrize(("stage", "row"), [*(("profile", one) for one in REFERENCES), ("reproduce", "newer")])
def test_a_reference_that_cannot_be_read_is_named_before_anything_runs(make, stage, row):
    text, what, todo = REFERENCES[row]
    project = make(pyproject=PYPROJECT)
    path = project.root / "references" / stage / "net" / "cpu-avx2.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    commit(project.root)
    done = project.backburn(stage)
    assert done.code == 2, done.said
    assert f"references/{stage}/net/cpu-avx2.json: " in done.err and what in done.err and todo in done.err
    assert path.read_text() == text and not list(project.out(stage).rglob("output.txt"))
