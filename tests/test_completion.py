"""What a Tab key offers, asked of click's own protocol, and of each real shell that is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backburn import catalog, completion
from tests.conftest import commit

BIN = Path(sys.executable).parent
TRAININGS = "[tool.backburn.trainings.digits]\ncommand = 'x'\n[tool.backburn.trainings.dig-up]\ncommand = 'x'\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "pyproject.toml").write_text(TRAININGS)
    (folder / "src" / "deep").mkdir(parents=True)
    (folder / ".github" / "workflows").mkdir(parents=True)
    for name in ("push.yml", "nightly.yaml", "README.md"):
        (folder / ".github" / "workflows" / name).touch()
    commit(folder)
    return folder


def test_trainings_and_workflows_are_found_from_below(project):
    for folder in (project, project / "src" / "deep"):
        assert completion.trainings(folder) == ("digits", "dig-up")
        assert completion.workflows(folder) == ("nightly", "push")


@pytest.mark.parametrize("text", ["", "[", "tool = 1", "[tool.backburn]\ntrainings = 3\n", "\xff", None])
def test_what_cannot_be_read_offers_nothing(tmp_path, text):
    if text is not None:
        (tmp_path / "pyproject.toml").write_bytes(text.encode("latin-1"))
    assert completion.trainings(tmp_path) == ()
    assert completion.workflows(tmp_path) == ()


def offered(project, *words):
    """What click's protocol answers for the words so far, the last one begun."""
    line = " ".join(["backburn", *words])
    given = {"_BACKBURN_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [BIN / "backburn"], cwd=project, env={**os.environ, **given}, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return [answer.partition(",")[2] for answer in done.stdout.split()]


def test_verbs_options_trainings_workflows_and_stages(project):
    assert set(catalog.STAGES) <= set(offered(project, ""))
    assert offered(project, "mem") == ["memorize"]
    assert "--require-gpu" in offered(project, "memorize", "--")
    assert offered(project, "memorize", "digi") == ["digits"]
    assert offered(project, "profile", "digits", "") == ["digits", "dig-up"]
    assert offered(project, "bless", "reproduce", "--training", "digi") == ["digits"]
    assert offered(project, "diff", "--training", "digi") == ["digits"]
    assert offered(project, "rehearse", "n") == ["nightly"]
    assert offered(project, "bless", "re") == ["reproduce"]


def test_the_project_is_the_one_that_the_line_names(project):
    line = ("memorize", "-C", str(project), "digi")
    assert offered(project.parent, *line) == ["digits"]
    assert offered(project.parent, "memorize", "digi") == []


# Each types `backburn memorize digi`, asks its shell to complete, and prints what that came to.
BASH = """\
eval "$(backburn completion bash)"
COMP_WORDS=(backburn memorize digi) COMP_CWORD=2
_backburn_completion backburn
echo "${COMPREPLY[@]}"
"""
FISH = """\
backburn completion fish | source
complete --do-complete 'backburn memorize digi'
"""
ZSH = """\
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1=; autoload -U compinit; compinit -u -D; eval "$(backburn completion zsh)"; echo loa""ded'
zpty -r -m shell line '*loaded*'
zpty -n -w shell $'backburn memorize digi\\t; echo got:'
zpty -r -m shell line $'*digits*'
print -r -- "$line"
"""


@pytest.mark.parametrize(("shell", "script"), [("bash", BASH), ("zsh", ZSH), ("fish", FISH)])
def test_a_real_shell_completes(project, tmp_path, shell, script):
    if not shutil.which(shell):
        pytest.skip(f"no {shell} on this machine")
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb"}
    done = subprocess.run(
        [shell, "-c", script],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    assert "digits" in done.stdout, done.stdout + done.stderr
