"""The docs are true: every command in them runs, every link leads somewhere, every block is what it says it is."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest
import yaml

from backburn import catalog, cli, config
from backburn.pool import config as pool
from tests.conftest import REPOSITORY, commit
from tests.markdown import LANGUAGES, anchors, blocks, commands, links, pages
from tests.test_audits import audit

BIN = Path(sys.executable).parent
PAGES = pages()
TEMPLATE = "templates/project: README.md"  # as it is baked


@pytest.fixture(scope="session")
def read(baked):
    """Every page, the template's as a new project has it."""
    return PAGES | {TEMPLATE: (baked / "README.md").read_text(encoding="utf-8")}


def every(language, read):
    return [one for page, text in read.items() for one in blocks(page, text) if one.language == language]


# Links, words, languages


def dead(page, text, read=PAGES):
    """The links of a page that lead nowhere."""
    for target in links(text):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        name = os.path.relpath(there, REPOSITORY)
        if not there.exists() or (anchor and anchor not in anchors(read.get(name, ""))):
            yield target


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    assert list(dead(page, PAGES[page])) == []


def test_every_page_can_be_found():
    """From the README, by links alone."""
    seen, new = set(), {"README.md"}
    while new:
        page = new.pop()
        seen.add(page)
        to = {
            os.path.normpath(os.path.join(os.path.dirname(page), link.partition("#")[0])) for link in links(PAGES[page])
        }
        new |= (to & set(PAGES)) - seen
    assert set(PAGES) - seen == set()


@pytest.mark.parametrize("link", ["docs/no-such.md", "docs/faq.md#no-such-head", "#no-such-head"])
def test_a_dead_link_is_seen(link):
    assert list(dead("README.md", f"See [this]({link}).\n")) == [link]


def unknown(text):
    """Verbs and options in the prose of a page that the command line does not have."""
    for words in commands(text):
        verb = cli.cli if words[0].startswith("-") else cli.cli.commands.get(words[0])
        if isinstance(verb, click.Group) and verb is not cli.cli and words[1:]:
            verb, words = verb.get_command(click.Context(verb), words[1]), words[1:]
        if verb is None and words[0] not in ("x", "<stage>"):
            yield words[0]
        known = {name for one in (verb or cli.cli).params for name in (*one.opts, *one.secondary_opts)}
        yield from (
            word for word in words if re.match(r"--?[a-z]", word) and word.split("=")[0] not in known | {"--help"}
        )


@pytest.mark.parametrize("page", PAGES)
def test_every_verb_and_option_is_there(page):
    assert list(unknown(PAGES[page])) == []


def test_a_verb_and_an_option_that_are_not_there_are_seen():
    assert list(unknown("`backburn memorise`, `backburn memorize --gpu` and `backburn unit --select x`")) == [
        "memorise",
        "--gpu",
    ]
    assert list(unknown("`backburn pool stats`, `backburn pool drain --now` and `backburn pool status --json`")) == [
        "stats",
        "--now",
    ]


def test_every_block_says_its_language(read):
    odd = [str(one) for page, text in read.items() for one in blocks(page, text) if one.language not in LANGUAGES]
    assert odd == []


def test_every_stage_has_a_page_of_its_question():
    for name, stage in catalog.STAGES.items():
        assert PAGES[f"docs/{name}.md"].startswith(f"# {(stage.__doc__ or '').partition(chr(10))[0]}\n")


def test_the_readme_shows_what_the_quick_start_comes_to():
    """What it prints is compared with the real output below, for the quick start."""
    quick = PAGES["docs/quickstart-new.md"]
    for one in blocks("README.md", PAGES["README.md"]):
        if one.language == "text":
            known = [re.sub(r" +", " ", line) for line in quick.splitlines()]
            assert [line for line in one.text.splitlines() if re.sub(r" +", " ", line) not in known] == [], one


# TOML, YAML, Python

DECLARED = '[tool.backburn.trainings.digits]\ncommand = "python -m digits.train fit"\n'


def loaded(text, folder):
    """The settings of a block, with the training that the pages speak of; all that a stage reads of it is read."""
    if text.startswith("[github]"):
        (folder / "pool.toml").write_text(text)
        return pool.load(folder / "pool.toml")
    if "[tool.backburn.trainings.digits]" not in text and "trainings.wine]" not in text:
        text += DECLARED
    (folder / "pyproject.toml").write_text(text)
    settings = config.load(folder, {name: stage.Config for name, stage in catalog.STAGES.items()})
    for name, stage in catalog.STAGES.items():
        for training in settings.trainings if "training" in stage.Config.__struct_fields__ else [""]:
            settings.stage(name, stage.Config, training=training)
    return settings


def test_every_toml_block_is_read(read, tmp_path):
    found = every("toml", read)
    assert len(found) > 5
    for one in found:
        assert loaded(one.text, tmp_path), one


@pytest.mark.parametrize(
    "text",
    ["[tool.backburn.memorize]\nstep = 3\n", '[tool.backburn.unit]\nbudget = "soon"\n', "[github]\nurls = 1\n"],
)
def test_a_toml_block_with_a_mistake_is_seen(text, tmp_path):
    with pytest.raises(config.UserError):
        loaded(text, tmp_path)


PIN = re.compile(r"@<commit> # <version>")
OTHER = "  {}:\n    runs-on: ubuntu-24.04\n    steps: [run: 'true']\n"


def workflow(text):
    """A whole workflow of a block, which may be some jobs, one job's body or steps alone."""
    text = textwrap.dedent(PIN.sub(f"@{'a1' * 20} # v0.1.0", text))
    part = yaml.safe_load(text)
    if "jobs" in part:
        return text
    if isinstance(part, list):
        text, part = "runs-on: ubuntu-24.04\nsteps:\n" + textwrap.indent(text, "  "), {"steps": part}
    if "steps" in part:
        text, part = "one:\n" + textwrap.indent(text, "  "), {"one": part}
    needed = {name for job in part.values() for name in job.get("needs", []) if name not in part}
    others = "".join(map(OTHER.format, sorted(needed)))
    return "on: push\npermissions: {}\njobs:\n" + textwrap.indent(text, "  ") + others


def judged(found, folder, baked):
    """What actionlint and zizmor say of (name, text of a workflow)."""
    shutil.copytree(baked / ".github", folder / ".github", ignore=shutil.ignore_patterns("workflows", "dependabot.yml"))
    (folder / ".github/workflows").mkdir()
    for name, text in found:
        (folder / f".github/workflows/{re.sub('[^a-z0-9]', '-', name.lower())}.yml").write_text(text)
    commit(folder)
    ends = [audit(folder, "actionlint"), audit(folder, "zizmor", "--offline", ".")]
    return "\n".join(said for code, said in ends if code)


def test_every_workflow_passes_the_auditors(read, tmp_path, baked):
    found = [(str(one), workflow(one.text)) for one in every("yaml", read)]
    assert len(found) > 8
    assert judged(found, tmp_path, baked) == ""


def test_a_workflow_that_is_none_is_seen(tmp_path, baked):
    said = judged([("one", workflow("- run: echo ${{ github.head_ref }} $X\n"))], tmp_path, baked)
    assert "template-injection" in said and "SC2086" in said


def strangers(text):
    """Inputs in a workflow that the action of ours does not declare."""
    for job in yaml.safe_load(text)["jobs"].values():
        for step in job["steps"]:
            if ours := re.match(r"backburn-ci/backburn/(actions/\w+)@", step.get("uses", "")):
                declared = yaml.safe_load((REPOSITORY / ours[1] / "action.yml").read_text())["inputs"]
                yield from set(step.get("with", {})) - set(declared)


def test_every_input_in_a_workflow_is_the_actions(read):
    assert [
        (str(one), list(strangers(workflow(one.text))))
        for one in every("yaml", read)
        if list(strangers(workflow(one.text)))
    ] == []
    step = "- uses: backburn-ci/backburn/actions/unit@<commit> # <version>\n  with: { selects: slow }\n"
    assert list(strangers(workflow(step))) == ["selects"]


def test_every_python_block_compiles(read):
    found = every("python", read)
    assert found
    for one in found:
        compile(one.text, str(one), "exec")


# The commands. Those of a page run in its order, in a project, with a home of their own.

ELSEWHERE = {
    "make demo": "what .ci/run does",
    "pip install 'backburn[pool]'": "of the index, once released",
    "backburn pool run": "wants GitHub and a container engine; tests/pool has both",
    "pip install 'backburn[rehearse]'": "of the index, once released; the quick starts install the same from git",
    "gh variable set BACKBURN_GPU --body true": "GitHub's own, with an account",
    "gh issue list --label backburn --state all": "GitHub's own, with an account",
    "gh label delete backburn": "GitHub's own, with an account",
    "gh attestation verify backburn-1.2.3-py3-none-any.whl --repo backburn-ci/backburn": "wants a release",
    "gh release verify v1.2.3 --repo backburn-ci/backburn": "the same",
    "python scripts/release.py prepare 1.2.3": "of this repository; tests/scripts/test_release.py has a copy for it",
    "backburn publish artifacts --result success": "wants a run of GitHub Actions; tests/history has a server for it",
    'backburn publish artifacts --expect "unit memorize" --result failure': "the same",
}
ELSEWHERE |= {  # of docs/runner.md
    "git clone https://github.com/backburn-ci/backburn": "the quick starts do",
    **{
        f"sudo ./backburn/runner/setup.sh {words}": "changes a machine; tests/runner has one to change"
        for words in (
            "--url https://github.com/your-team --app-id 123456 --key app.pem --dry-run",
            "--url https://github.com/your-team --app-id 123456 --key app.pem",
            "--uninstall --dry-run",
            "--uninstall",
        )
    },
    **{
        f"docker {words}": "wants an engine and a registry"
        for words in (
            'tag "$image" ghcr.io/your-team/gpu-runner:1',
            "tag backburn-runner ghcr.io/your-team/gpu-runner:1",
            "push ghcr.io/your-team/gpu-runner:1",
        )
    },
    "image=$(docker image ls --quiet backburn-runner | head -1)": "wants an engine",
    "digest=$(docker inspect --format '{{index .RepoDigests 0}}' ghcr.io/your-team/gpu-runner:1)": "the same",
    'backburn pool export-arc --image "$digest" --output values.yaml': "the same; tests/pool/arc has an image",
}
ELSEWHERE |= {  # of docs/pool.md and runner/README.md
    "backburn pool doctor": "asks GitHub; tests/pool/doctor has one",
    **{
        line: "changes a machine; tests/pool/setup has one to change"
        for line in (
            "backburn pool setup --url https://github.com/acme --app-id 123456 --key app.pem",
            "backburn pool uninstall",
        )
    },
    **{
        line: "wants an engine and a registry; tests/runner builds it from a base of its own"
        for line in (
            "base=ghcr.io/actions/actions-runner:latest",
            'docker pull "$base"',
            "docker build --tag backburn-runner runner/ \\",
            '--build-arg BASE="$(docker inspect --format \'{{index .RepoDigests 0}}\' "$base")"',
            "docker inspect --format '{{index .RepoDigests 0}}' ghcr.io/your-team/gpu-runner:1",
            "docker inspect --format '{{.Id}}' backburn-runner",
        )
    },
}
# Commands that end otherwise than with 0 in the place where they run here: (exit code, why).
ENDS = {
    ("docs/quickstart-new.md", "backburn memorize"): (1, "the sign is wrong"),
    ("docs/memorize.md", "backburn memorize digits --require-gpu"): (3, "no GPU here"),
    ("docs/reproduce.md", "backburn reproduce"): (3, "nothing is blessed yet"),
    ("docs/reproduce.md", "backburn reproduce digits --require-gpu"): (3, "no GPU here"),
    ("docs/references.md", "backburn bless reproduce candidate.json --epoch"): (2, "the same environment"),
    ("docs/diff.md", "backburn diff build/backburn/reproduce/digits build/backburn/reproduce/digits/seed-1"): (
        1,
        "another seed",
    ),
    ("docs/blame.md", "backburn blame"): (2, "nothing is blessed yet"),
    ("docs/profile.md", "backburn profile"): (3, "nothing is blessed yet"),
    ("docs/profile.md", "backburn profile digits --require-gpu"): (3, "no GPU here"),
    ("docs/rehearse.md", "backburn rehearse"): (3, "nothing is blessed yet"),
    ("docs/rehearse.md", "backburn rehearse nightly --event schedule"): (3, "nothing is blessed yet"),
    ("docs/rehearse.md", "backburn rehearse gpu --fork"): (1, "verdict asks a maintainer for the push"),
    ("docs/history.md", "backburn publish artifacts --result success --rehearsal"): (
        3,
        "one stage has reported, not three",
    ),
}
ENDS |= {
    ("docs/pool.md", f"backburn pool {words}"): (3, why)
    for words, why in {
        "drain cpu0 --timeout 2h": "no supervisor runs here that could",
        "drain all": "no supervisor runs here that could",
        "gc --dry-run": "no engine here",
        "gc": "no engine here",
    }.items()
}
ENDS[("docs/runner.md", "backburn pool drain all --timeout 2h")] = (3, "no supervisor runs here that could")
# A slot that a supervisor had armed, and an engine that does not answer.
POOL = """
export TOKEN=ghp_0123456789abcdef
cat > pool.toml <<END
[github]
url = "https://github.com/your-team"
token = "env:TOKEN"
[pool]
name = "lab1"
image = "runner"
state = "$PWD/state"
[slots]
cpu = 1
[docker]
host = "unix:///none"
END
python - <<END
from pathlib import Path
from backburn.pool.lease import State, Wanted
from backburn.pool.store import Standing, Store
about = dict(device="", since=0.0, reason="", failures=0, wanted=Wanted.RUN)
Store(Path("state")).settle(Standing(name="cpu0", state=State.BUSY, **about))
END
"""
# Each run of a new reference is a process that loads torch.
FEWER = "sed -i 's/timeout = \"4h\".*/&\\nseeds = 3\\nulps = 1/' pyproject.toml; git commit -qam Fewer"
BLESSES = f"if ! grep -q ^ulps pyproject.toml; then {FEWER}; fi\n"
# What a page takes for granted.
BEFORE = {
    "docs/pool.md": POOL,
    "docs/runner.md": POOL,
    "docs/history.md": """
        backburn unit && mkdir artifacts && cp -r build/backburn/unit artifacts/unit-train-0
        git checkout -q --orphan backburn-history && git rm -rfq . && mkdir nights
        echo '{"date": "2026-11-21", "verdict": "pass", "stages": {}}' > nights/2026-11.jsonl
        git add nights && git commit -qm "2026-11-21" && git push -q origin backburn-history && git checkout -q main
    """,
    "docs/blame.md": "sed -i 's/lr=self/lr=1.01 * self/' src/*/model.py; git commit -qam 'Raise the rate (#7)'",
    "docs/diff.md": """
        sed -i 's/timeout = "4h".*/seeds = 3\\nulps = 0/' pyproject.toml
        backburn reproduce || [ $? = 3 ]
    """,
    "docs/reproduce.md": FEWER,
    "docs/references.md": f"""
        {FEWER}
        echo candidate.json >> .git/info/exclude
        backburn reproduce --candidate || [ $? = 3 ]
        cp build/backburn/reproduce/digits/candidate.json .
    """,
    "docs/rehearse.md": f"cp .github/workflows/push.yml other.yml; git add other.yml; git commit -qm Other; {FEWER}",
}
QUICK = {"docs/hygiene.md", "docs/template.md", "docs/completion.md", "docs/pool.md", "docs/runner.md"}
FROM_NOTHING = {
    "docs/quickstart-new.md",
    "docs/quickstart-existing.md",
    "docs/faq.md",
}  # they install backburn themselves
PIPX = """\
#!/usr/bin/env bash
# pipx is not among what the tests need: what it does with these words, by venv and pip.
set -euo pipefail
case $1 in
  run) PATH=$TEST_BIN:$PATH exec "${@:2}" ;;
  uninstall) rm -r "$HOME/pipx" "$HOME/.local/bin/$2" ;;
  install)
    python3 -m venv "$HOME/pipx"
    "$HOME/pipx/bin/python" -m pip install --quiet "${@:2}"
    ln -s "$HOME/pipx/bin/backburn" "$HOME/.local/bin/backburn" ;;
esac
"""


def home(folder):
    """The variables of somebody with a home of their own, for whom GitHub's addresses are folders here."""
    tools = folder / ".local" / "bin"
    tools.mkdir(parents=True)
    (tools / "pipx").write_text(PIPX)
    (tools / "pipx").chmod(0o755)
    bare = folder / "github.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", bare], check=True)
    addresses = {REPOSITORY: "https://github.com/backburn-ci/backburn", bare: "https://github.com/your-team/digits.git"}
    (folder / ".gitconfig").write_text(
        "".join(f'[url "{path.as_uri()}"]\n  insteadOf = {url}\n' for path, url in addresses.items())
        + "[protocol]\n  allow = always\n"
    )
    cache = REPOSITORY / "build" / "cache"
    given = {"BACKBURN_CACHE": str(cache), "PRE_COMMIT_HOME": str(cache / "pre-commit")} | {
        name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"
    }
    outside = [one for one in os.environ["PATH"].split(os.pathsep) if Path(one) != BIN]
    return given | {
        "HOME": str(folder),
        "TEST_BIN": str(BIN),
        "GIT_CONFIG_GLOBAL": str(folder / ".gitconfig"),
        "GIT_EDITOR": "echo 'As the page says' >",
        "OMP_NUM_THREADS": "1",
        "PATH": os.pathsep.join([str(tools), *outside]),
    }


def typed(one):
    """The lines of a block without their comments."""
    return [re.split(r"\s+#", line)[0].strip() for line in one.text.splitlines()]


def line_of(page, bare):
    """A line of a page as it runs here: without what runs elsewhere, and with the exit code that it has here."""
    if bare in ELSEWHERE:
        return ""
    code = ENDS.get((page, bare), (0, ""))[0]
    return f"{{ {bare}; }} && exit 90 || [ $? = {code} ]" if code else bare


def script(page, text, *, writes=False):
    """The commands of a page as one script, which says where each block begins; `writes`: its files too."""
    yield "set -euo pipefail; trap 'echo \"@ended: $BASH_COMMAND\"' ERR\n" + BEFORE.get(page, "")
    for one in blocks(page, text):
        if one.language == "sh":
            fewer = BLESSES if "bless reproduce" in one.text else ""
            yield f"{fewer}echo '@{one.line}'\n" + "\n".join(line_of(page, bare) for bare in typed(one))
        elif writes and one.language in ("toml", "yaml"):
            name = (
                "pyproject.toml" if one.language == "toml" else "".join(re.findall(r"`(\.github/\S+)`:$", one.before))
            )
            pinned = PIN.sub(f"@{head()} # v0.1.0", one.text)
            pinned = pinned.replace("[tool.backburn.reproduce]\n", "[tool.backburn.reproduce]\nseeds = 3\nulps = 1\n")
            yield f"mkdir -p $(dirname {name}); cat > {name} <<'@'\n{pinned}@" if name else ""


def head():
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True).stdout.strip()


def play(page, text, folder, variables, **how):
    """Run a page in a folder: its output by the line at which a block begins. Fails with what the page says where."""
    done = subprocess.run(
        ["bash", "-c", "\n".join(script(page, text, **how))],
        cwd=folder,
        env=variables,
        input="\n" * 50,  # to whoever asks: the default
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{page}\n{done.stdout}"
    parts = re.split(r"^@(\d+)\n", done.stdout, flags=re.MULTILINE)
    return dict(zip(map(int, parts[1::2]), parts[2::2]))


def plain(text):
    """Lines without what differs from machine to machine: numbers, columns."""
    return [re.sub(r"[ ─]+", " ", re.sub(r"\d[\d.,]*", "1", line)).strip() for line in text.splitlines()]


def made_up(page, text, said):
    """Lines that a page shows as output, where the commands before them did not print them; and what they printed."""
    shown = None
    for one in blocks(page, text):
        if one.language == "sh":
            shown = plain(said[one.line])
        elif one.language == "text" and shown is not None:
            missing = [line for line in plain(one.text) if line not in shown]
            yield from [(str(one), missing, shown)] * bool(missing)


@pytest.fixture
def project(own_bake, tmp_path):
    """A bake with an origin, where the pages of stages are at home, and backburn of this checkout on PATH."""
    variables = home(tmp_path / "home")
    for words in (
        ["remote", "add", "origin", "https://github.com/your-team/digits.git"],
        ["push", "-q", "-u", "origin", "main"],
    ):
        subprocess.run(["git", *words], cwd=own_bake, env=variables, check=True)
    return own_bake, variables | {"PATH": f"{BIN}{os.pathsep}{variables['PATH']}"}


def runs(page):
    """Whether a page has a command that runs here, and does not begin with installing backburn."""
    typed_there = {bare for one in blocks(page, PAGES[page]) if one.language == "sh" for bare in typed(one)}
    return bool(typed_there - set(ELSEWHERE)) and page not in FROM_NOTHING


RUN = [*filter(runs, PAGES)]


@pytest.mark.parametrize("page", [pytest.param(page, marks=() if page in QUICK else pytest.mark.slow) for page in RUN])
def test_every_command_of_a_page_runs(page, project):
    play(page, PAGES[page], *project)


@pytest.mark.slow
def test_every_command_of_the_templates_readme_runs(project, read):
    play(TEMPLATE, read[TEMPLATE], *project)


@pytest.mark.slow
def test_a_newcomer_comes_to_the_end_of_the_quick_start(tmp_path):
    page = "docs/quickstart-new.md"
    said = play(page, PAGES[page], tmp_path, home(tmp_path / "home"))
    assert list(made_up(page, PAGES[page], said)) == []
    play("docs/faq.md", PAGES["docs/faq.md"], tmp_path / "digits", left(tmp_path))
    assert not (tmp_path / "digits/references").exists() and not (tmp_path / "home/pipx").exists()


def left(folder):
    """The variables of the same person, some time later."""
    variables = home(folder / "later")
    return variables | {"HOME": str(folder / "home"), "PATH": variables["PATH"].replace("/later/", "/home/")}


EXISTING = {
    "model.py": """
import lightning as L
import torch
from torch import nn


class Net(L.LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(nn.Linear(13, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 3))

    def training_step(self, batch, index):
        loss = nn.functional.cross_entropy(self.layers(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, index):
        self.log("val_accuracy", (self.layers(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)
""",
    "train.py": """
import argparse

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from model import Net
from sklearn.datasets import load_wine
from torch.utils.data import DataLoader, TensorDataset, random_split

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=100)
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--batch-size", type=int, default=16)
args = parser.parse_args()

L.seed_everything(1)
x, y = load_wine(return_X_y=True)
data = TensorDataset(torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32), torch.tensor(y))
train, val = random_split(data, [0.8, 0.2])
best = ModelCheckpoint(monitor="val_accuracy", mode="max")
trainer = L.Trainer(max_epochs=args.epochs, callbacks=[best], log_every_n_steps=1)
trainer.fit(Net(args.lr), DataLoader(train, args.batch_size, shuffle=True), DataLoader(val, 16))
print("best:", best.best_model_path)
""",
    "requirements.txt": "lightning\nscikit-learn\ntorch\n",
    ".gitignore": "lightning_logs/\n__pycache__/\n",
}


@pytest.mark.slow
def test_an_existing_repository_comes_to_the_end_of_the_quick_start(tmp_path, baked):
    folder, page = tmp_path / "wine", "docs/quickstart-existing.md"
    folder.mkdir()
    for name, text in EXISTING.items():
        (folder / name).write_text(text.lstrip())
    shutil.copy(baked / "constraints.txt", folder)  # the torch that other tests have installed, too
    commit(folder)
    said = play(page, PAGES[page], folder, home(tmp_path / "home"), writes=True)
    assert list(made_up(page, PAGES[page], said)) == []


@pytest.mark.slow
def test_the_tests_of_the_page_on_pytest_run(own_bake):
    (block,) = (one for one in blocks("docs/pytest.md", PAGES["docs/pytest.md"]) if one.language == "python")
    (own_bake / "tests/test_trained.py").write_text(block.text)
    subprocess.run(["bash", "-c", FEWER], cwd=own_bake, check=True)
    commands = (
        ["-m", "backburn", "bless", "reproduce"],
        ["-m", "pytest", "-q", "-m", "slow or not slow", "tests/test_trained.py"],
    )
    subprocess.run(["git", "add", "."], cwd=own_bake, check=True)
    subprocess.run(["git", "commit", "-qm", "Test the training"], cwd=own_bake, check=True)
    for words in commands:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=own_bake,
            env={
                **os.environ,
                "PYTHONPATH": "src",
                "BACKBURN_CACHE": str(REPOSITORY / "build/cache"),
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_what_does_not_run_here_is_still_in_the_docs(read):
    lines = {(one.page, bare) for one in every("sh", read) for bare in typed(one)}
    assert set(ENDS) <= lines and set(ELSEWHERE) <= {bare for _, bare in lines}


def test_every_command_parses(read):
    for one in every("sh", read):
        done = subprocess.run(["bash", "-n"], input=one.text, capture_output=True, text=True)
        assert done.returncode == 0, f"{one}: {done.stderr}"


BROKEN = "```sh\necho one\nbackburn --versionn\n```\n"


def test_a_command_that_breaks_is_seen(tmp_path):
    variables = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    with pytest.raises(AssertionError, match="No such option"):
        play("docs/x.md", BROKEN, tmp_path, variables)
    assert play("docs/x.md", BROKEN.replace("versionn", "version"), tmp_path, variables)[1].startswith("one\nbackburn,")


def test_output_that_is_made_up_is_seen(tmp_path):
    text = "```sh\necho 'steps 24   pass'\n```\n\n```text\nsteps 9 pass\n```\n\n```text\nsteps 9 fail\n```\n"
    ((where, missing, shown),) = made_up("x.md", text, play("x.md", text, tmp_path, dict(os.environ)))
    assert (where, missing, shown) == ("x.md:9", ["steps 1 fail"], ["steps 1 pass"])
