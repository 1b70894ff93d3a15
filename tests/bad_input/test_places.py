"""Folders, repositories and machines that are not as one wishes: what still works does, the rest says what is wrong."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from .conftest import PYPROJECT, Project, commit

SLOW = pytest.mark.slow
FIT = """import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(8, 4)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return SIGN * nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.1)


torch.manual_seed(0)
data = TensorDataset(torch.randn(64, 8), torch.randint(4, (64,)))
L.Trainer(max_epochs=3, accelerator="cpu").fit(Net(), DataLoader(data, batch_size=4))
"""
CRASH = "raise KeyError('here')\n"


def git(folder, *words):
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("folder", ["a project, é ü", "'quoted' $HOME `x` %0A", "-dash", "..dots", "深い"])
def test_a_folder_with_any_name(make, folder):
    done = make(folder=folder, train=CRASH).backburn("memorize")
    assert done.code == 1 and "error: memorize/training-ran [net] train.py:1" in done.out, done.said


@SLOW
@pytest.mark.parametrize(("sign", "code"), [("1", 0), ("-1", 1)])
def test_a_real_fit_in_such_a_folder_of_a_monorepo(make, sign, code):
    top = make(folder="mono")
    inner = top.root / "packages" / "a project, é"
    inner.mkdir(parents=True)
    project = Project(inner).write(pyproject=PYPROJECT, train=FIT.replace("SIGN", sign))
    commit(top.root)
    done = project.backburn("memorize")
    assert done.code == code, done.said
    assert done.report["folder"] == "packages/a project, é/build/backburn/memorize"


def test_a_monorepos_subfolder_is_named_from_the_repositorys_top(make):
    top = make(folder="mono")
    inner = top.root / "packages" / "net"
    (inner / "src").mkdir(parents=True)
    project = Project(inner).write(pyproject=PYPROJECT, train=CRASH)
    (inner / "src" / "keep").touch()
    commit(top.root)
    for cwd in (inner, inner / "src"):
        done = project.backburn("memorize", cwd=cwd)
        assert done.code == 1 and "memorize/training-ran [net] packages/net/train.py:1" in done.out, done.said
    assert not (top.root / "build").exists()


def test_without_a_repository(make):
    project = make(train=CRASH, repository=False)
    done = project.backburn("memorize")
    assert (done.code, done.report["commit"]) == (1, "")
    done = project.backburn("hygiene")
    assert done.code == 2 and "not a git repository" in done.err and "`git init" in done.err


def test_without_git(make, tmp_path):
    project = make(train=CRASH)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(shutil.which("python", path=os.path.dirname(sys.executable)))
    done = project.backburn("memorize", PATH=str(tmp_path / "bin"))
    assert done.code in (1, 3) and done.report["commit"] == "", done.said


def test_a_detached_head_and_a_linked_worktree(make, tmp_path):
    project = make(train=CRASH)
    git(project.root, "checkout", "-q", "--detach")
    head = git(project.root, "rev-parse", "HEAD").strip()
    assert project.backburn("memorize").report["commit"] == head
    git(project.root, "worktree", "add", "-q", str(tmp_path / "linked"))
    linked = Project(tmp_path / "linked")
    done = linked.backburn("memorize")
    assert (done.code, done.report["commit"]) == (1, head)
    assert "memorize/training-ran [net] train.py:1" in done.out


def test_a_repository_without_a_commit(make):
    project = make(train=CRASH, repository=False)
    git(project.root, "init", "-q")
    done = project.backburn("memorize", left=False)
    assert (done.code, done.report["commit"]) == (1, "")


def test_a_shallow_clone_that_lacks_the_base_is_unjudged(make, tmp_path):
    project = make()
    (project.root / ".pre-commit-config.yaml").write_text("repos: []\n")
    commit(project.root, "Two")
    first = git(project.root, "rev-parse", "HEAD~1").strip()
    git(tmp_path, "clone", "-q", "--depth", "1", project.root.as_uri(), "shallow")
    done = Project(tmp_path / "shallow").backburn("hygiene", "--base", first)
    assert done.code == 3 and f"this clone is shallow and lacks {first}" in done.out, done.said
    assert "fetch-depth: 0" in done.out
    done = project.backburn("hygiene", "--base", "nowhere")
    assert done.code == 2 and "git finds no merge base with 'nowhere'" in done.err


@pytest.mark.parametrize("base", ["--output=owned", "-c", "$(touch owned)", "..", "a\nb"])
def test_a_base_is_no_option(make, base):
    project = make()
    (project.root / ".pre-commit-config.yaml").write_text("repos: []\n")
    commit(project.root, "Two")
    done = project.backburn("hygiene", f"--base={base}")
    assert done.code == 2 and "git finds no merge base" in done.err, done.said
    assert not (project.root / "owned").exists()


@pytest.mark.parametrize("stage", ["memorize", "unit"])
def test_a_folder_that_can_only_be_read(make, mount, stage):
    project = make(train=CRASH)
    mount("--bind", "-o", "ro", project.root, project.root)
    done = project.backburn(stage)
    assert done.code == 2 and "build/backburn: cannot write: Read-only file system" in done.err, done.said
    assert "backburn keeps its evidence there" in done.err


@pytest.mark.parametrize(
    ("mode", "said"),
    [(0o711, "build/backburn: cannot write: Permission denied"), (0o700, "cannot be read: Permission denied")],
)
def test_a_folder_of_somebody_elses(make, mode, said):
    if os.getuid() or not shutil.which("setpriv"):
        pytest.skip("only root becomes somebody else")
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    if subprocess.run([*nobody, sys.executable, "-c", "import backburn"], cwd="/", capture_output=True).returncode:
        pytest.skip("nobody may read this Python")
    project = make(train=CRASH)
    project.out("memorize").mkdir(parents=True)
    for folder in project.root.parent.parents:  # pytest keeps its own to itself, one more per worker of xdist
        if Path(tempfile.gettempdir()) in folder.parents:
            folder.chmod(0o711)
    project.root.parent.chmod(mode)
    done = project.ended(project.start("memorize", before=nobody), "memorize")
    assert done.code == 2 and said in done.err and "Traceback" not in done.err, done.said


BLOCKED = {
    "build is a file": ("build", "file", "cannot write: Not a directory"),
    "build/backburn is a file": ("build/backburn", "file", "cannot write: File exists"),
    "the stage's folder is a file": ("build/backburn/memorize", "file", "cannot empty the folder: Not a directory"),
    "build leads nowhere": ("build", "/nowhere/at/all", "cannot write: File exists"),
    "build leads to itself": ("build", "build", "cannot write: Too many levels of symbolic links"),
}


@pytest.mark.parametrize("row", BLOCKED)
def test_what_lies_in_the_way_of_evidence_is_named(make, row):
    path, what, said = BLOCKED[row]
    project = make(train=CRASH)
    place = project.root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("mine") if what == "file" else place.symlink_to(what)
    child = [sys.executable, "-m", "backburn", "memorize"]
    done = subprocess.run(child, cwd=project.root, env=project.environ(), capture_output=True, text=True)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr
    assert what != "file" or place.read_text() == "mine"


def test_links_that_lead_somewhere_are_followed_and_what_they_lead_to_stays(make, tmp_path):
    project = make(train=CRASH)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine").touch()
    (project.root / "build").symlink_to(tmp_path / "elsewhere")
    (project.root / "pyproject.toml").rename(tmp_path / "settings.toml")
    (project.root / "pyproject.toml").symlink_to(tmp_path / "settings.toml")
    (project.root / ".gitignore").write_text("build\n")
    commit(project.root)
    assert project.backburn("memorize").code == 1
    assert (tmp_path / "elsewhere" / "mine").exists()
    out = project.out("memorize")
    shutil.rmtree(out)
    out.symlink_to(tmp_path / "elsewhere")
    assert project.backburn("memorize", left=False).code == 1
    assert (tmp_path / "elsewhere" / "mine").exists() and not out.is_symlink()


def test_a_folder_that_is_gone(make):
    project = make()
    before = ("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "-")
    done = project.ended(project.start("unit", before=before), "unit")
    assert done.code == 2 and "this folder is gone" in done.err and "Traceback" not in done.err, done.said


# The network


def offline(*words):
    command = ["unshare", "-n", *words]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("a network of its own is not permitted here")
    return command


GETS = "import urllib.request\nurllib.request.urlopen('https://data.example/train.csv', timeout=5)\n"


def test_a_training_without_a_network(make):
    done = make(train=GETS).backburn("memorize", before=offline())
    assert done.code == 3 and "unjudged: memorize/training-ran [net]" in done.out, done.said
    assert "a server could not be reached" in done.out


@SLOW
def test_an_environment_that_cannot_be_built_without_a_network(make, tmp_path):
    project = make(pyproject=PYPROJECT.replace('"none"', '"pip"'))
    (project.root / "requirements.txt").write_text("lightning==2.6.0\n")
    commit(project.root)
    env = {"BACKBURN_CACHE": str(tmp_path / "cache"), "PIP_RETRIES": "1", "PIP_CONFIG_FILE": os.devnull}
    cleared = dict.fromkeys(("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"), "")
    done = project.backburn("memorize", before=offline(), **env | cleared)
    assert done.code == 3 and "unjudged: memorize/gather [net]" in done.out, done.said
    assert not list((tmp_path / "cache").rglob(".complete"))
