"""One real training, and what becomes of its evidence when this or that of the project changes."""

import os
import shutil
import sys
import time
from pathlib import Path

import msgspec
import pytest

from backburn import evidence, kept, pipeline, reach, references
from backburn.pipeline import Asked
from tests.conftest import commit

TRAIN = """
import os
import sqlite3
import lightning as L
import torch
import yaml
from pathlib import Path
from torch.utils.data import DataLoader, Dataset
from net import model
import shared


class Rows(Dataset):
    def __init__(self):
        with open("data/rows.csv") as stream:
            self.rows = [[float(one) for one in line.split(",")] for line in stream]
        self.images = sorted(os.listdir("data/images"))
        sqlite3.connect("file:data/index.db?mode=ro", uri=True).close()
        Path("cache").mkdir(exist_ok=True)
        Path("cache/rows.txt").write_text("64")
        assert Path("cache/rows.txt").read_text() == "64"

    def __len__(self):
        return 64

    def __getitem__(self, index):
        from net import augment

        return augment.same(torch.tensor(self.rows[index])), index % 4


if __name__ == "__main__":
    settings = yaml.safe_load(Path("net.yaml").read_text())
    assert not os.path.exists("conf/local.yaml") and not Path(".env").is_file()
    if not os.path.exists("made"):  # by an earlier pass: profile starts this more than once
        Path("made").touch()
    for name in ("data/more.csv", "data/images/one.png"):
        if Path(name).parent.exists():
            try:
                open(name).close()
            except FileNotFoundError:
                pass
    try:
        import net.local
    except ImportError:
        pass
    workers = DataLoader(Rows(), batch_size=16, num_workers=1, multiprocessing_context=os.environ["HOW"])
    L.Trainer(max_epochs=3, accelerator=os.environ.get("WHERE", "cpu")).fit(model.Net(settings["rate"]), workers)
"""
MODEL = """
import lightning as L
import torch
from torch import nn


class Net(L.LightningModule):
    def __init__(self, rate):
        super().__init__()
        self.rate, self.net = rate, nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 4))

    def training_step(self, batch, batch_idx):
        return SIGN * nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.rate)
"""
PYPROJECT = """
[tool.backburn]
install = "none"
[tool.backburn.memorize]
steps = 60
[tool.backburn.trainings.net]
command = "python -m net.train"
env = {{ CUDA_VISIBLE_DEVICES = "", PYTHONPATH = "src:../shared", HOW = "{how}" }}
"""


def write(top, how="fork", sign=1):
    """A monorepo: the project in net/, a package of another team's in shared/; returns the project's folder."""
    files = {
        "README.md": "It trains.",
        "shared/shared.py": "",
        "net/pyproject.toml": PYPROJECT.format(how=how),
        "net/net.yaml": "rate: 0.03",
        "net/src/net/__init__.py": "",
        "net/src/net/train.py": TRAIN,
        "net/src/net/model.py": MODEL.replace("SIGN", str(sign)),
        "net/src/net/augment.py": "def same(x):\n    return x\n",
        "net/src/net/export.py": "",
        "net/tests/test_net.py": "",
        "net/docs/index.md": "",
        "net/data/index.db": "",
        "net/data/images/one.png": "one",
        "net/data/images/two.png": "two",
        "net/data/images/README.md": "Two images.",
        "net/data/rows.csv": "\n".join(f"{i % 7 - 3},{i % 5 - 2},{i % 3 - 1}" for i in range(64)),
    }
    for name, content in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(content)
    commit(top)
    return top / "net"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of this module's own, its Python first on PATH, and nothing that says that all is to be trained."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("BACKBURN_CACHE", str(folder))
        patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        patch.delenv("BACKBURN_FORCE")
        patch.delenv("GITHUB_RUN_ATTEMPT", raising=False)
        patch.setattr(kept, "_toolkit", lambda: "the same")  # whoever edits this repository meanwhile
        yield folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The project, its training's report and the moment before that began."""
    root = write(tmp_path_factory.mktemp("repo") / "with space, é")
    return root, pipeline.run("memorize", Asked(folder=root))[0]


def place(root, **given):
    settings, top = pipeline.project(root)
    stage = pipeline.catalog.STAGES["memorize"]
    own = settings.stage("memorize", stage.Config, training="net", given=given)
    return kept.place("memorize", own, "net", root, top)


@pytest.fixture
def project(trained, tmp_path):
    """Another checkout of it, to change: `project.why()` is what differs, None where the evidence is found."""

    class Project:
        root = Path(shutil.copytree(trained[0].parent, tmp_path / "elsewhere", symlinks=True)) / "net"

        def why(self, **given):
            found, why = place(self.root, **given).find()
            return None if found else why

    shutil.rmtree(Project.root / "build")
    return Project()


def test_the_training_was_sound_and_new(trained):
    root, report = trained
    assert (report.verdict, report.reused) == ("pass", ()), report
    assert (root / "build" / "backburn" / "memorize" / "net" / reach.FILE).exists()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("../README.md", "Other words."),
        ("docs/index.md", "Other words."),
        ("docs/more.md", "A new page."),
        ("tests/test_net.py", "def test(): pass"),
        ("src/net/export.py", "never = 'imported'"),
        ("src/net/more.py", "never = 'imported'"),
        ("../another/package.py", "never = 'imported'"),
        ("data/images/README.md", "Other words."),  # in a listed folder
        ("cache/rows.txt", "64"),  # its own, left by an earlier run
        ("cache/more.txt", "64"),
        ("made", "64"),
        ("build/lib/net/model.py", "x = 1"),
    ],
)
def test_what_it_does_not_reach_changes_nothing(project, path, content):
    (project.root / path).parent.mkdir(parents=True, exist_ok=True)
    (project.root / path).write_text(content)
    assert project.why() is None


@pytest.mark.parametrize(
    ("path", "content", "why"),
    [
        ("src/net/train.py", "x = 1", "src/net/train.py"),
        ("src/net/model.py", "x = 1", "src/net/model.py"),
        ("src/net/augment.py", "x = 1", "src/net/augment.py"),  # imported by a worker
        ("src/net/augment/__init__.py", "", "what can be imported from src/net"),
        ("src/net/local.py", "x = 1", "what can be imported from src/net"),  # looked for, and absent
        ("random.py", "x = 1", "what can be imported from ."),  # before the standard library's
        ("../shared/shared.py", "x = 1", "../shared/shared.py"),
        ("net.yaml", "rate: 0.04", "net.yaml"),
        ("data/rows.csv", "0,0,0", "data/rows.csv"),
        ("data/index.db", "-", "data/index.db"),
        ("data/images/three.png", "three", "what is in data/images"),
        ("data/images/two.png", "another size", "what is in data/images"),  # listed, not opened by Python
        ("data/more.csv", "", "data/more.csv"),  # looked for, and absent
        ("conf/local.yaml", "", "conf/local.yaml"),  # only asked for, and absent
        (".env", "", ".env"),
    ],
)
def test_what_it_reaches_does(project, path, content, why):
    assert project.why() is None
    (project.root / path).parent.mkdir(parents=True, exist_ok=True)
    (project.root / path).write_text(content)
    assert project.why() == why


def test_what_it_reached_and_is_gone_does(project):
    (project.root / "net.yaml").unlink()
    assert project.why() == "net.yaml"


def test_a_variable_that_it_reads_does(project, monkeypatch):
    monkeypatch.setenv("NEVER_READ", "1")
    assert project.why() is None
    monkeypatch.setenv("WHERE", "auto")
    assert project.why() == "the variable WHERE"


def test_times_of_files_do_not_in_a_checkout(project):
    for path in project.root.rglob("*"):
        os.utime(path)
    assert project.why() is None


@pytest.mark.slow
def test_spawned_workers_are_seen_too(tmp_path):
    root = write(tmp_path / "repo", how="spawn")
    assert pipeline.run("memorize", Asked(folder=root))[0].verdict == "pass"
    assert place(root).find()[0]
    (root / "src/net/augment.py").write_text("x = 1")
    assert place(root).find() == (None, "src/net/augment.py")


def test_it_is_not_trained_again_after_a_change_of_the_docs(trained):
    root, first = trained
    (root / "docs" / "index.md").write_text("Other words.")
    commit(root.parent)
    started = time.monotonic()
    report = pipeline.run("memorize", Asked(folder=root))[0]
    assert (report.reused, report.verdict, report.figures) == (("net",), "pass", first.figures)
    assert report.commit != first.commit and first.commit[:7] in report.outcomes[0].findings[0].message
    assert time.monotonic() - started < 3  # a training takes longer to import torch
    assert not (root / "build" / "backburn" / "memorize" / "net" / "output.txt").exists()


def test_a_new_reference_is_judged_against_and_trains_nothing(trained):
    root, first = trained
    candidate = references.load(root / "build" / "backburn" / "memorize" / "net" / "candidate.json")
    other = msgspec.structs.replace(candidate, settings=candidate.settings | {"layers": "convolutions=9"})
    path = references.path_of(candidate, root)
    for one, verdict in ((candidate, "pass"), (other, "fail"), (None, "pass")):
        path.unlink(missing_ok=True)
        if one is not None:
            references.write(one, path)
        report = pipeline.run("memorize", Asked(folder=root))[0]
        assert (report.reused, report.verdict) == (("net",), verdict), report.outcomes
        assert verdict == "pass" or report.cause == "memorize/model-is-as-reviewed"


def test_evidence_of_an_older_backburn_is_passed_over(trained, cache):
    """As if its source were the same: a batch was told by another field, and there was no reference."""
    root, _ = trained
    (path,) = place(root).folder.glob("*.json")
    one = evidence.load(path, kept.Kept)
    old = dict(one.evidence, schema=1, told=dict(one.evidence["told"], schema=1, batches=["a"], differs=""))
    evidence.save(msgspec.structs.replace(one, evidence=old), path)
    report = pipeline.run("memorize", Asked(folder=root))[0]
    assert (report.reused, report.verdict) == ((), "pass")


@pytest.mark.slow
def test_profile_is_not_trained_again_either(tmp_path):
    """Each of its passes is a process of its own, and the timing one makes a trace by way of a temporary file."""
    root = write(tmp_path / "repo")
    pipeline.run("profile", Asked(folder=root, given={"candidate": True}))
    candidate = references.load(root / "build" / "backburn" / "profile" / "net" / "candidate.json")
    references.write(candidate, references.path_of(candidate, root))
    first, again = (pipeline.run("profile", Asked(folder=root))[0] for _ in range(2))
    assert (first.verdict, first.reused, again.reused) == ("pass", (), ("net",)), first.outcomes
    assert again.verdict == "pass" and again.figures == first.figures
    references.path_of(candidate, root).unlink()
    assert pipeline.run("profile", Asked(folder=root))[0].reused == ()


# Notes by hand: what a recorder wrote, and what follows


@pytest.fixture
def noted(tmp_path):
    """`noted(*lines)`: what was reached, of a command that began now and read one file."""
    (tmp_path / "net.py").touch()

    def reached(*lines, since=None, parts=("output.txt",)):
        since = time.time() if since is None else since
        for name in parts:
            (tmp_path / name).touch()
        began = ("began command", f"read {tmp_path}/net.py")
        text = "".join(f"{line}\n" for line in (*began, *lines)).replace("ROOT", str(tmp_path))
        (tmp_path / reach.FILE).write_text(text)
        return reach.reached(tmp_path, tmp_path, tmp_path, since)

    reached.root = tmp_path
    return reached


@pytest.mark.parametrize("line", ["network example.org", "module cv2", "program curl"])
def test_what_nobody_can_look_after_is_not_kept(noted, line):
    assert noted().files
    with pytest.raises(reach.Unseen, match=line):
        noted(line)


@pytest.mark.parametrize("name", [b"caf\xe9.txt", b"cut\0off.txt"])
def test_a_name_that_no_json_holds_is_not_kept(noted, tmp_path, name):
    """What Linux allows and what it refuses: a data set packed elsewhere, a mistake that the training survives."""
    noted()
    (tmp_path / reach.FILE).open("ab").write(b"read /data/" + name + b"\n")
    with pytest.raises(reach.Unseen, match="the name of a file"):
        reach.reached(tmp_path, tmp_path, tmp_path, time.time())


@pytest.mark.parametrize("sign", ["\u2028", "\x0c", "\x85", "\r"])
def test_a_sign_that_ends_a_line_elsewhere_is_part_of_a_name(noted, sign):
    assert f"a{sign}b.txt" in noted(f"missed ROOT/a{sign}b.txt").files


def test_no_recorder_no_evidence(noted, tmp_path):
    with pytest.raises(reach.Unseen, match="prepare: no recorder began"):
        noted(parts=("output.txt", "prepare.txt"))
    noted("began prepare", parts=("output.txt", "prepare.txt"))
    (tmp_path / reach.FILE).unlink()
    with pytest.raises(reach.Unseen, match="the recorder gave up"):
        reach.reached(tmp_path, tmp_path, tmp_path, 0)


def test_a_training_that_read_nothing_of_the_project_was_not_seen(noted, tmp_path):
    noted()
    (tmp_path / reach.FILE).write_text("began command\nread /somewhere/else\n")
    with pytest.raises(reach.Unseen, match="nothing of the project"):
        reach.reached(tmp_path, tmp_path, tmp_path, time.time())


def test_what_was_changed_meanwhile_is_not_known(noted, tmp_path):
    (tmp_path / "rows.csv").write_text("1")
    assert noted("read ROOT/rows.csv").files["rows.csv"]
    with pytest.raises(reach.Unseen, match="changed while it was trained"):
        noted("read ROOT/rows.csv", since=time.time() - 60)


def test_what_was_read_and_is_gone_is_not_known(noted):
    assert noted("missed ROOT/more.csv", "read /tmp/gone").files["more.csv"] == "absent"
    with pytest.raises(reach.Unseen, match="gone.csv was removed while it was trained"):
        noted("read ROOT/gone.csv")
    assert noted("wrote ROOT/gone.csv", "read ROOT/gone.csv").files.keys() == {"net.py"}
    assert noted("asked ROOT/more.csv").files["more.csv"] == "absent"
    assert noted("asked ROOT/net.py", "asked ROOT/out/a", "wrote ROOT/out").files.keys() == {"net.py"}
    assert "new.csv" in noted("missed ROOT/new.csv", "wrote ROOT/new.csv").files  # it asked before it wrote


def test_what_it_wrote_first_is_its_own_and_what_it_read_first_is_not(noted, tmp_path):
    (tmp_path / "own").mkdir()
    for name in ("a", "b", "own/c"):
        (tmp_path / name).touch()
    lines = ["wrote ROOT/a", "read ROOT/a", "read ROOT/b", "wrote ROOT/b", "wrote ROOT/own", "read ROOT/own/c"]
    assert set(noted(*lines).files) == {"net.py", "b"}


def test_a_checkout_beside_the_repository_is_another_for_another_checkout(tmp_path):
    """Two working folders, each with its own two repositories."""
    for name in ("one", "two"):
        (tmp_path / name / "lib").mkdir(parents=True)
        (tmp_path / name / "lib" / "lib.py").write_text(name)
    looks = [reach.Look(root=tmp_path / name / "net", top=tmp_path / name / "net") for name in ("one", "two")]
    kept = looks[0].name(str(tmp_path / "one" / "lib" / "lib.py"))
    assert looks[1].path(kept) == str(tmp_path / "two" / "lib" / "lib.py")
    assert looks[0].name("/data/mnist") == "/data/mnist"


def test_a_folder_that_holds_the_project_is_not_its_own(noted):
    assert set(noted("wrote ROOT", "wrote /").files) == {"net.py"}


def test_too_much_is_not_looked_at(noted, tmp_path, monkeypatch):
    (tmp_path / "large").write_bytes(b"x" * 100)
    monkeypatch.setattr(reach, "_MOST", 100)
    assert noted("read ROOT/large")
    monkeypatch.setattr(reach, "_MOST", 99)
    with pytest.raises(reach.Unseen, match="too much"):
        noted("read ROOT/large")


def test_of_a_data_set_elsewhere_size_and_time_count(tmp_path, monkeypatch):
    monkeypatch.setattr(reach, "_SMALL", 3)
    top, other = tmp_path / "work" / "repo", tmp_path / "data"
    other.mkdir()
    for name in ("large", "small"):
        (other / name).write_text(name[:1] * (9 if name == "large" else 3))
        os.utime(other / name, (1, 1))
    look = reach.Look(root=top, top=top)
    assert look.name(str(other / "large")) == str(other / "large")
    before = [look.file(str(other / name)) for name in ("large", "small")]
    for name in ("large", "small"):
        os.utime(other / name)
    now = [reach.Look(root=top, top=top).file(str(other / name)) for name in ("large", "small")]
    assert before[0] != now[0] and before[1] == now[1]


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (("bash", "train.sh"), ["program bash", "read HERE/train.sh"]),
        (("/bin/sh", "-c", "python train.py"), ["program sh"]),
        (("./train.sh",), ["program bash", "read HERE/train.sh"]),
        (("./train.py", "x" * 5000), ["read HERE/train.py"]),
        (("./train",), ["read HERE/train"]),
        (("python", "-m", "net.train"), []),
    ],
)
def test_a_shells_own_programs_are_not_seen(tmp_path, words, lines):
    (tmp_path / "train.sh").write_text("#!/usr/bin/env bash\npython train.py\n")
    (tmp_path / "train.py").write_text("#!/usr/bin/env python3\n")
    (tmp_path / "train").write_text("#!/bin/sh\n'''exec' /a/long/path/python \"$0\" \"$@\"\n' '''\n")  # pip's long form
    reach.begin(tmp_path / "seen", [(), words], tmp_path)
    assert (tmp_path / "seen").read_text().splitlines() == [line.replace("HERE", str(tmp_path)) for line in lines]


def test_what_is_of_one_run_or_terminal_is_no_difference(noted, monkeypatch):
    passing, lasting = ("GITHUB_SHA", "TERM", "PATH", "BACKBURN_FORCE"), ("DATA", "HOME")
    lines = [f"variable {name}" for name in (*passing, *lasting)]
    before, everything = noted(*lines).variables, noted("variable *").variables
    for name in passing:
        monkeypatch.setenv(name, "other" if name != "PATH" else os.environ["PATH"] + ":/other")
    assert noted(*lines).variables == before and noted("variable *").variables == everything
    monkeypatch.setenv("DATA", "secret-word")
    assert noted(*lines).variables != before and noted("variable *").variables != everything
    assert "secret-word" not in str(noted(*lines))


def test_a_variable_may_be_a_secret_and_its_digest_is_no_way_to_guess_it(noted, monkeypatch):
    monkeypatch.setenv("PASSWORD", "hunter2")
    one = noted("variable PASSWORD", "variable *")
    assert {len(value) for value in one.variables.values()} == {6}  # very many words have the same
    look = reach.Look(root=noted.root, top=noted.root)
    assert reach.differs(one, look) == ""
    monkeypatch.setenv("PASSWORD", "hunter3")
    assert reach.differs(one, look) == "the variable PASSWORD"
    monkeypatch.delenv("PASSWORD")
    assert reach.differs(one, look) == "the variable PASSWORD"
