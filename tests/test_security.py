"""What SECURITY.md promises: hostile words obeyed by nobody, and no secret in any file. Hostile artifacts are in
tests/history and tests/test_bless.py; workflows and actions in tests/test_audits.py.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from backburn import evidence, junit
from tests.conftest import commit
from tests.renderers.reports import BROKEN

BIN = Path(sys.executable).parent
REPOSITORY = Path(__file__).parents[1]
EVIL = """x
::error::forged
  ::notice file=forged::forged
\r::warning::forged
::add-mask::forged
::set-output name=verdict::forged
::save-state name=x::forged
::add-path::/forged
::debug::forged
##[error]forged
words and ##[warning]forged
::stop-commands::backburn-0123456789abcdef
::backburn-0123456789abcdef::
\x1b[2J\x1b]0;forged\x07
</pre></code></details><script>forged()</script><img src=x onerror=forged()>
| forged | `` ` ${{ github.token }} @everyone [forged](http://forged) $(touch pwned); `touch pwned`
"""
NAME = "test_it;$(touch pwned)`touch pwned` ${{x}} <b>|\n::error::forged"
PYPROJECT = """
[tool.backburn]
install = "none"
[tool.backburn.unit]
doctest = false
[tool.backburn.trainings.net]
command = "python train.py"
env = { CUDA_VISIBLE_DEVICES = "" }
"""
# What a job of GitHub's tells a step alone: user code that had these could set our outputs and other steps' variables.
FILES = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY")
WRITES = f"""
import os
EVIL = {EVIL!r}
for name in {FILES!r}:
    if name in os.environ:
        open(os.environ[name], "a").write("verdict=forged\\n")
print(EVIL, flush=True)
"""


def obeyed(text):
    """The commands that a runner carries out (ActionCommandManager): a line's first word, or ##[…] anywhere in it."""
    found, mark = [], None
    for line in map(str.strip, re.split(r"\r\n|\r|\n", text)):
        if mark is not None:
            mark = None if line == f"::{mark}::" else mark
        elif line.startswith("::stop-commands::"):
            mark = line.removeprefix("::stop-commands::")
        elif line.startswith("::") or "##[" in line:
            found.append(line)
    return found


def test_the_runner_here_obeys_what_the_real_one_does():
    assert len(obeyed(EVIL)) == 10  # the stop takes its own end along
    assert obeyed(f"::stop-commands::a\n{EVIL}\n::a::\n::error::b") == ["::error::b"]


class Job:
    """A project as a step of GitHub's sees it. `backburn` is a call in it, and what came of that."""

    def __init__(self, folder, **files):
        self.folder, self.runner = folder / "project", folder / "runner"
        self.runner.mkdir(parents=True)
        for name, text in {
            "pyproject.toml": PYPROJECT,
            ".gitignore": "build/\n__pycache__/\nlightning_logs/\n",
            **files,
        }.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        commit(self.folder)

    def backburn(self, *words, **more):
        kept = {key: text for key, text in os.environ.items() if not key.startswith(("GITHUB_", "BACKBURN_"))}
        env = kept | {"GITHUB_ACTIONS": "true", "PATH": f"{BIN}{os.pathsep}{kept['PATH']}", "COLUMNS": "200"}
        env |= {name: str(self.runner / name) for name in FILES} | more
        for name in FILES:
            (self.runner / name).write_text("")
        command = [sys.executable, "-m", "backburn", *words]
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, timeout=300)
        done.stdout, done.stderr = (one.decode(errors="replace") for one in (done.stdout, done.stderr))
        done.told = obeyed(done.stdout) + obeyed(done.stderr)
        done.outputs = dict(re.findall(r"^([\w-]+)<<\S+\n(.*)\n", (self.runner / "GITHUB_OUTPUT").read_text(), re.M))
        done.summary = (self.runner / "GITHUB_STEP_SUMMARY").read_text()
        return done

    def expect_nobody_obeyed(self, done, stage):
        assert done.told and all(re.match(rf"::\w+ .*title={stage}[ /]", one) for one in done.told), done.told
        assert not any("forged" in one.partition("::")[2].partition(" ")[0] for one in done.told)
        said = done.stdout + done.stderr
        assert "\x1b[2J" not in said and "\x1b]" not in said and "\x07" not in said
        for name in ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE"):
            assert (self.runner / name).read_text() == ""
        assert "forged" not in done.outputs["verdict"] + done.outputs["report"]
        outside = re.sub(r"^(`{3,})\n.*?^\1$", "", done.summary, flags=re.M | re.S)  # a fence may hold anything
        assert "<script" not in outside and "<img" not in outside and "@everyone" not in outside
        assert not re.search(r"(?<!\\)\]\(http", outside)
        assert not list(self.folder.rglob("pwned")) and not list(self.runner.rglob("pwned"))


# What the project's own code, files and configuration say


def test_what_a_training_prints_and_raises_is_text(tmp_path):
    job = Job(tmp_path, **{"train.py": WRITES + "raise ValueError(EVIL)\n"})
    done = job.backburn("memorize")
    assert (done.returncode, done.outputs["verdict"]) == (1, "fail")
    job.expect_nobody_obeyed(done, "memorize")
    assert "::error::forged" in (job.folder / "build/backburn/memorize/net/output.txt").read_text()


def test_a_file_a_test_and_its_words_are_text(tmp_path):
    code = f"""import pytest
{WRITES}
@pytest.mark.parametrize("x", [EVIL, "::error::forged"])
def test_it(x):
    print(x)
    assert not x, x
"""
    job = Job(tmp_path, **{f"{NAME}.py": code, "test_<img src=x>.py": "syntax error ::error::forged"})
    done = job.backburn("unit")
    assert (done.returncode, done.outputs["verdict"], done.outputs["failed"]) == (1, "fail", "3"), done.stdout
    job.expect_nobody_obeyed(done, "unit")


def test_what_a_hook_says_of_odd_files_is_text(tmp_path):
    hook = f"{WRITES}import sys\nfor name in sys.argv[1:]:\n    print(f'{{name}}:1:1: X1 {{EVIL}}')\nsys.exit(1)\n"
    config = """repos:
- repo: local
  hooks: [{id: "x::error::forged", name: "::error::forged", entry: python hook.py, language: system, files: test_it}]
"""
    job = Job(tmp_path, **{"hook.py": hook, ".pre-commit-config.yaml": config, f"{NAME}.py": "x = 1\n"})
    done = job.backburn("hygiene")
    assert (done.returncode, done.outputs["verdict"]) == (1, "fail"), done.stdout + done.stderr
    job.expect_nobody_obeyed(done, "hygiene")


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["memorize"], {"pyproject.toml": f"[tool.backburn]\n{json.dumps(EVIL)} = 1\n"}),
        (["memorize"], {"pyproject.toml": f"[tool.backburn.trainings.{json.dumps(EVIL)}]\ncommand = 'x'\n"}),
        (["memorize"], {"pyproject.toml": f"[tool.backburn.trainings.x]\ncommand = {json.dumps(EVIL)}\n"}),
        (["memorize", EVIL], {}),
        ([EVIL], {}),
        (["memorize", f"--{EVIL}"], {}),
        (["memorize", "-C", EVIL], {}),
        (["memorize", "--json"], {"pyproject.toml": f"[tool.backburn]\n{json.dumps(EVIL)} = 1\n"}),
        (["reproduce"], {"references/reproduce/net/cpu.json": json.dumps({"kind": EVIL})}),
        (["hygiene", f"--base=--output=pwned{EVIL}"], {".pre-commit-config.yaml": "repos: []\n"}),
        (["publish", "none", "--expect", "$(touch${IFS}pwned)::error::forged"], {}),
    ],
    ids=["key", "training", "command", "argument", "verb", "option", "folder", "json", "reference", "base", "stage"],
)
def test_what_is_refused_is_repeated_as_text(tmp_path, words, files):
    job = Job(tmp_path, **files)
    done = job.backburn(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.told) == 1 and done.told[0].startswith("::error title=backburn "), done.told
    assert "<script" not in done.summary and "\x1b" not in done.stderr and not list(job.folder.rglob("pwned"))


def test_a_branch_of_a_fork_is_a_name(tmp_path):
    """GITHUB_BASE_REF and GITHUB_HEAD_REF are what a fork's author typed."""
    evil = "x;$(touch${IFS}pwned)`touch${IFS}pwned`--upload-pack=${{github.token}}"
    config = "repos:\n- repo: local\n  hooks: [{id: x, name: x, entry: 'true', language: system}]\n"
    settings = PYPROJECT + '[tool.backburn.hygiene]\nscope = "changed"\n'
    job = Job(tmp_path, **{".pre-commit-config.yaml": config, "pyproject.toml": settings})
    subprocess.run(["git", "update-ref", f"refs/remotes/origin/{evil}", "HEAD"], cwd=job.folder, check=True)
    subprocess.run(["git", "checkout", "-q", "-b", evil], cwd=job.folder, check=True)
    (job.folder / "more.txt").write_text("more\n")
    commit(job.folder)
    told = {"GITHUB_BASE_REF": evil, "GITHUB_HEAD_REF": evil, "GITHUB_EVENT_NAME": "pull_request"}
    done = job.backburn("hygiene", **told)
    assert (done.returncode, done.outputs["verdict"]) == (0, "pass"), done.stdout + done.stderr
    assert not list(tmp_path.rglob("pwned"))


def test_a_branch_is_a_name_when_it_is_rehearsed(tmp_path):
    evil = "x;$(touch${IFS}pwned)`touch${IFS}pwned`${{github.token}}"
    job = Job(tmp_path, **{".github/workflows/push.yml": PUSH})
    subprocess.run(["git", "checkout", "-q", "-b", evil], cwd=job.folder, check=True)
    done = job.backburn("rehearse", "push", GITHUB_ACTIONS="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"refs/heads/{evil}" in (job.folder / "build/rehearsal/push/log.txt").read_text()
    assert not list(tmp_path.rglob("pwned"))


PUSH = """on: push
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1
      - run: echo "$GITHUB_REF"; env | sort; git config --list
"""


def test_a_junit_file_that_would_fill_the_memory_is_no_junit_file(tmp_path):
    """A test may write that file too."""
    more = "".join(f'<!ENTITY a{one} "{f"&a{one - 1};" * 10}">' for one in range(1, 10))
    path = tmp_path / "junit.xml"
    path.write_text(f'<!DOCTYPE x [<!ENTITY a0 "x">{more}]><testsuites><testcase name="&a9;"/></testsuites>')
    with pytest.raises(ValueError, match="not whole"):
        junit.read(path, tmp_path)
    path.write_text(
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><testsuites><testcase name="&a;"/></testsuites>'
    )
    with pytest.raises(ValueError, match="not whole"):
        junit.read(path, tmp_path)


def test_every_test_that_the_page_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (REPOSITORY / "SECURITY.md").read_text())
    assert len(named) > 20
    missing = [(file, name) for file, name in named if f"def {name}(" not in (REPOSITORY / file).read_text()]
    assert missing == []


# Canaries: what looks like a secret, in the environment of every call

CANARY = "canary0123456789abcdefCANARY"
SECRETS = {
    name: f"{CANARY}{number}"
    for number, name in enumerate(
        ["GITHUB_TOKEN", "GH_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "AWS_SECRET_ACCESS_KEY"]
        + ["WANDB_API_KEY", "HF_TOKEN", "BACKBURN_TOKEN", "INPUT_TOKEN", "UV_INDEX_X_PASSWORD"]
    )
}
TRAIN = """
import os
import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

assert os.environ["WANDB_API_KEY"]  # what a job gives its step, the training has, and what it reads is looked after
assert not [name for name in os.environ if name in ("BACKBURN_TOKEN", "INPUT_TOKEN", "GITHUB_OUTPUT", "GITHUB_ENV")]


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.03)


x, y = torch.randn(64, 8), torch.randint(4, (64,))
L.Trainer(max_epochs=3).fit(Net(), DataLoader(TensorDataset(x, y), batch_size=16))
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A project whose remote has a password, its caches beside it, in an environment full of canaries."""
    hooks = "repos:\n- repo: local\n  hooks: [{id: x, name: x, entry: 'false', language: system}]\n"
    test = "import os\n\ndef test_it():\n    assert 'BACKBURN_TOKEN' not in os.environ\n    assert 0\n"
    files = {
        "train.py": TRAIN,
        "test_it.py": test,
        ".pre-commit-config.yaml": hooks,
        ".github/workflows/push.yml": PUSH,
    }
    job = Job(tmp_path_factory.mktemp("canaries"), **files)
    job.found = tmp_path_factory.getbasetemp() / job.folder.parent.name
    url, header = f"https://x:{CANARY}r@github.com/someone/digits", f"AUTHORIZATION: basic {CANARY}h"
    for words in (["remote", "add", "origin", url], ["config", "http.https://github.com/.extraheader", header]):
        subprocess.run(["git", *words], cwd=job.folder, check=True)
    return job


def leaks(job, done=None):
    """Where a canary is, but for .git/config, where this test, or actions/checkout, has put it."""
    found = subprocess.run(["grep", "-rlF", CANARY, job.found], capture_output=True, text=True).stdout.split("\n")
    places = [one for one in found if one and not one.endswith("/project/.git/config")]
    return places + ([one for one in (done.stdout, done.stderr) if CANARY in one] if done else [])


SLOW = [pytest.param(one, marks=pytest.mark.slow) for one in ("memorize", "reproduce", "bless", "rehearse")]


@pytest.mark.parametrize("verb", ["hygiene", "unit", *SLOW])
def test_no_secret_is_in_any_file_nor_in_anything_said(kept, verb):
    caches = {name: str(kept.runner / "cache") for name in ("BACKBURN_CACHE", "RUNNER_TOOL_CACHE", "XDG_CACHE_HOME")}
    words = {"bless": ["bless", "profile"], "rehearse": ["rehearse", "push"]}.get(verb, [verb])  # bless runs the stage
    done = kept.backburn(*words, **SECRETS, **caches, PRE_COMMIT_HOME=str(kept.runner / "hooks"))
    assert done.returncode in (0, 1, 3) and "no Trainer.fit" not in done.stdout, done.stdout + done.stderr
    assert list((kept.folder / "build").rglob("*")) and leaks(kept, done) == []


def test_no_secret_is_in_what_publish_writes(kept, tmp_path):
    evidence.save(BROKEN, kept.folder / "artifacts" / "memorize-train-0" / "report.json")
    words = ["publish", "artifacts", "--expect", "memorize", "--result", "failure", "--rehearsal"]
    done = kept.backburn(*words, **SECRETS)
    assert done.returncode == 0 and list((kept.folder / "build/backburn/publish").iterdir()), done.stdout + done.stderr
    assert leaks(kept, done) == []


def test_what_user_code_prints_is_kept_and_seen(tmp_path):
    """The limit of the promise: a job's masks end at its log. And the canaries are seen to sing."""
    job = Job(tmp_path, **{"train.py": "import os\nprint(os.environ['WANDB_API_KEY'])\n"})
    job.found = tmp_path
    done = job.backburn("memorize", **SECRETS)
    assert str(job.folder / "build/backburn/memorize/net/output.txt") in leaks(job, done)
