"""The door as its users meet it: a process, its exit code, its two streams, GitHub's files."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from backburn import catalog, cli
from backburn.catalog import STAGES
from backburn.reproduction.culprit import Blame, Conclusion, Culprit
from tests.conftest import commit
from tests.reproduction import evidence, symbols

REPOSITORY = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PYPROJECT = "[tool.backburn]\ninstall = 'none'\n"
GITHUB = ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")
NOT_FOUND = Blame(training="digits", said="both ends are the same")
FOUND = Blame(training="digits", conclusion=Conclusion.FOUND, culprit=Culprit(commit="c0ffee"), said="it differs")


@pytest.fixture
def project(tmp_path):
    """A tiny project with one passing test; the environment is the test suite's own."""
    folder = tmp_path / "a project, é"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "test_one.py").write_text("def test_one():\n    pass\n")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def environ(**more):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "BACKBURN_"))}
    return {**kept, "PATH": f"{BIN}{os.pathsep}{kept['PATH']}", **more}


def backburn(*words, cwd, env=None):
    command = [sys.executable, "-m", "backburn", *words]
    return subprocess.run(command, cwd=cwd, env=env or environ(), capture_output=True, text=True, timeout=120)


def on_github(project, *words, **more):
    files = {name: str(project.parent / name) for name in GITHUB}
    done = backburn(*words, cwd=project, env=environ(GITHUB_ACTIONS="true", **files, **more))
    texts = [Path(path).read_text() if Path(path).exists() else "" for path in files.values()]
    return done, *texts


def test_a_pass(project):
    done = backburn("unit", cwd=project)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("✓ unit: pass")
    assert (project / "build" / "backburn" / "unit" / "report.json").exists()


@pytest.mark.parametrize(
    ("found", "words", "code", "told"),
    [
        (FOUND, (), 0, {"verdict": "pass", "culprit": "c0ffee", "level": "notice"}),
        (NOT_FOUND, (), 3, {"verdict": "unjudged", "culprit": "", "level": "warning"}),
        (NOT_FOUND, ("--unjudged", "warn"), 0, {"verdict": "unjudged", "culprit": "", "level": "warning"}),
        (None, ("--unjudged", "warn"), 0, {"verdict": "unjudged", "culprit": ""}),
    ],
)
def test_blame_tells_a_job_what_it_found(project, tmp_path, monkeypatch, found, words, code, told):
    """The search itself is stood in for: tests/blame has it."""
    (tmp_path / "output").touch()
    for name, text in {"ACTIONS": "true", "OUTPUT": str(tmp_path / "output")}.items():
        monkeypatch.setenv(f"GITHUB_{name}", text)
    monkeypatch.setenv("BACKBURN_REHEARSAL", "1")
    asked = []
    monkeypatch.setattr("backburn.blame.blame", lambda one: asked.append(one) or ((found,) if found else ()))
    done = CliRunner().invoke(cli.cli, ["blame", "-C", str(project), "--require-gpu", *words], standalone_mode=False)
    assert done.exception is None and done.return_value == code
    assert asked[0].given == {"require_gpu": True, "rehearsal": True}
    outputs = dict(re.findall(r"^(\w+)<<\S+\n(.*)\n", (tmp_path / "output").read_text(), re.MULTILINE))
    assert (outputs["verdict"], outputs["culprit"]) == (told["verdict"], told["culprit"])
    assert outputs["folder"] == str(project / "build" / "backburn" / "reproduce")
    assert ("level" not in told) or f"::{told['level']} title=backburn blame::digits: " in done.output


def test_a_fail_names_file_and_line(project):
    (project / "test_one.py").write_text("def test_one():\n    assert 1 == 2\n")
    done = backburn("unit", cwd=project)
    assert done.returncode == 1
    assert "error: unit/tests-pass test_one.py:2" in done.stdout


def test_json_is_one_document_on_stdout(project):
    done = backburn("unit", "--json", cwd=project)
    document = json.loads(done.stdout)
    assert (document["verdict"], document["report"]["stage"]) == ("pass", "unit")
    assert document["report"]["outcomes"][0]["verdict"] == "pass"
    assert "✓ unit: pass" in done.stderr


def test_on_github_the_verdict_reaches_outputs_annotations_and_summary(project):
    (project / "test_one.py").write_text("def test_one():\n    print('::error::forged')\n    assert 1 == 2\n")
    done, outputs, summary = on_github(project, "unit")
    assert done.returncode == 1
    assert re.search(r"^verdict<<.*\nfail\n", outputs)
    assert re.search(r"^report<<.*\n.*report.json\n", outputs, re.MULTILINE)
    assert re.search(r"^tests<<.*\n1\n", outputs, re.MULTILINE)
    assert summary.startswith("### ❌ unit: fail: unit/tests-pass")
    obeyed = re.sub(r"::stop-commands::(\S+)\n.*?::\1::\n", "", done.stdout, flags=re.DOTALL)
    assert "::error file=test_one.py,line=3,title=unit/tests-pass::" in obeyed
    assert "forged" not in obeyed


@pytest.mark.parametrize(("words", "code"), [((), 3), (("--unjudged", "warn"), 0)])
def test_what_could_not_be_judged_is_red_unless_it_may_warn(project, words, code):
    (project / "test_one.py").unlink()
    done, outputs, summary = on_github(project, "unit", *words)
    assert done.returncode == code, done.stdout
    assert ("::warning title=unit/" if words else "::error title=unit/") in done.stdout
    assert re.search(r"^verdict<<.*\nunjudged\n", outputs)
    assert summary.startswith("### ⚠️ unit: unjudged")


def test_inputs_of_an_action_arrive_by_the_environment_and_empty_is_unset(project):
    env = {"BACKBURN_WORKING_DIRECTORY": str(project), "BACKBURN_UNJUDGED": "", "BACKBURN_SELECT": ""}
    assert backburn("unit", cwd=project.parent, env=environ(**env)).returncode == 0
    done = backburn("memorize", cwd=project, env=environ(BACKBURN_REQUIRE_GPU="", BACKBURN_UNJUDGED="warn"))
    assert (done.returncode, "no training is declared" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("unti",), "No such command 'unti'"),
        (("unit", "--unjudged", "maybe"), "'maybe' is not one of"),
        (("unit", "-C", "nowhere"), "'nowhere' does not exist"),
        (("memorize",), "no training is declared"),
    ],
)
def test_asked_wrongly_is_2_and_says_how(project, words, said):
    done = backburn(*words, cwd=project)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    document = json.loads(backburn(*words, "--json", cwd=project).stdout)
    assert (document["verdict"], document["exit-code"]) == (None, 2)
    assert said in document["error"]


def test_a_wrong_input_of_an_action_reaches_the_annotation(project):
    done, _, summary = on_github(project, "unit", BACKBURN_UNJUDGED="maybe")
    assert done.returncode == 2
    assert "::error title=backburn unit::Invalid value for '--unjudged': 'maybe' is not one of" in done.stderr
    assert "maybe" in summary


def test_paths_and_commands_are_those_of_where_one_stands(project):
    inner = project / "inner"
    inner.mkdir()
    assert "Page: ../build/backburn/unit/report.html" in backburn("unit", cwd=inner).stdout
    (project / "test_one.py").write_text("def test_one():\n    assert 1 == 2\n")
    done = backburn("unit", "-C", project.name, cwd=project.parent)
    assert f"then `backburn unit -C '{project.name}'`" in done.stdout


def test_a_mistake_in_the_configuration_reaches_the_summary(project):
    (project / "pyproject.toml").write_text("[tool.backburn.unit]\nselekt = 'x'\n")
    done, outputs, summary = on_github(project, "unit")
    assert done.returncode == 2
    assert "::error title=backburn unit::pyproject.toml: [tool.backburn.unit] selekt: unknown key." in done.stderr
    assert "Did you mean 'select'?" in summary
    assert outputs == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_is_reported_within_five_seconds(project, number, code):
    (project / "test_one.py").write_text("import time\ndef test_one():\n    time.sleep(60)\n")
    command = [sys.executable, "-m", "backburn", "unit"]
    child = subprocess.Popen(command, cwd=project, env=environ(), stdout=subprocess.PIPE, text=True)
    log = project / "build" / "backburn" / "unit" / "pytest.log"
    while not log.exists():
        time.sleep(0.05)
    time.sleep(0.5)
    started = time.monotonic()
    child.send_signal(number)
    out, _ = child.communicate(timeout=20)
    assert time.monotonic() - started < 5
    assert child.returncode == code
    assert f"interrupted by {number.name}" in out
    report = json.loads((project / "build" / "backburn" / "unit" / "report.json").read_text())
    assert report["interrupted"] == f"interrupted by {number.name}"


def test_a_bug_of_ours_has_a_traceback_and_a_code_of_its_own(monkeypatch, capsys):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(cli.pipeline, "run", broken)
    assert cli._guarded(["unit"]) == 4
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "bug of backburn" in said


@pytest.mark.parametrize(("passes", "code"), [(True, 0), (False, 1)])
@pytest.mark.parametrize("name", ["html", "junit", "sarif"])
def test_a_bug_of_ours_in_a_page_leaves_the_verdict(project, monkeypatch, capfd, name, passes, code):
    """What is written for readers decides nothing: told with its traceback, as a warning, and the code stands."""

    def broken(*_):
        raise ZeroDivisionError("::error::forged")

    for key, value in environ(GITHUB_ACTIONS="true").items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(catalog.RENDERERS[name], "render", broken)
    (project / "test_one.py").write_text(f"def test_one():\n    assert {passes}\n")
    assert cli._guarded(["unit", "-C", str(project), "--json"]) == code
    out, err = capfd.readouterr()
    assert json.loads(out)["verdict"] == ("pass" if passes else "fail")
    assert f"unit: {'pass' if passes else 'fail'}" in err and "Traceback" in err
    assert "::warning title=backburn::no page was written: this is a bug of backburn" in err
    assert err.index("::stop-commands::") < err.index("::error::forged")


@pytest.mark.parametrize("name", ["annotations", "summary"])
def test_a_bug_of_ours_after_the_verdict_hides_neither_it_nor_the_evidence(project, monkeypatch, capfd, name):
    def broken(*_):
        raise ZeroDivisionError

    outputs = project.parent / "outputs"
    for key, value in environ(GITHUB_ACTIONS="true", GITHUB_OUTPUT=str(outputs)).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(catalog.RENDERERS[name], "render", broken)
    assert cli._guarded(["unit", "-C", str(project)]) == 4
    out, err = capfd.readouterr()
    assert "unit: pass" in out and "Traceback" in err
    assert "verdict<<" in outputs.read_text() and "folder<<" in outputs.read_text()
    assert cli._guarded(["unit", "-C", str(project), "--json"]) == 4
    out, err = capfd.readouterr()
    assert "unit: pass" in err and json.loads(out)["exit-code"] == 4


@pytest.fixture
def small_disk(tmp_path):
    """`small_disk(pages) -> folder`: a real file system of so many pages of 4 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(pages):
        options = ["-t", "tmpfs", "-o", f"size={pages * 4}k", "tmpfs", str(folder)]
        if subprocess.run(["mount", *options], capture_output=True).returncode:
            pytest.skip("mounting is not permitted here")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True)


@pytest.mark.parametrize("pages", [1, 2, 3, 4])
def test_a_full_disk_is_unjudged_wherever_it_ends_us(project, small_disk, pages):
    (project / "build").symlink_to(small_disk(pages))
    done = backburn("unit", cwd=project)
    assert (done.returncode, done.stdout) == (3, "")
    assert "the disk is full: " in done.stderr and "Make room" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("pages", [6, 10])
def test_a_disk_without_room_for_the_page_leaves_the_verdict(project, small_disk, pages):
    (project / "build").symlink_to(small_disk(pages))
    done = backburn("unit", cwd=project)
    assert done.returncode == 0 and done.stderr.startswith("no page was written: No space left on device: ")
    assert done.stdout.endswith("Report: build/backburn/unit/report.json\n")


def test_with_room_enough_the_small_disk_is_sound(project, small_disk):
    (project / "build").symlink_to(small_disk(64))
    assert backburn("unit", cwd=project).returncode == 0


@pytest.mark.parametrize("words", [("unit",), ("unit", "--json"), ("--help",), ("bless", "profile", "--json")])
def test_a_full_disk_behind_our_output_is_no_bug(project, words):
    command = [sys.executable, "-m", "backburn", *words]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=project, env=environ(), stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == (2 if "bless" in words else 3)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [("unit",), ("memorize",)])
def test_a_full_disk_behind_githubs_files_is_no_bug(project, words):
    full = {name: "/dev/full" for name in GITHUB}
    done = backburn(*words, cwd=project, env=environ(GITHUB_ACTIONS="true", **full))
    assert done.returncode == (2 if "memorize" in words else 3)
    assert ("no training is declared" if "memorize" in words else "the disk is full") in done.stderr
    assert "Traceback" not in done.stderr


def test_a_page_that_cannot_be_written_leaves_the_verdict(project):
    """The page of all stages is the last that is written; where it should be lies a folder."""
    (project / "build" / "backburn" / "report.html").mkdir(parents=True)
    done = backburn("unit", cwd=project)
    assert done.returncode == 0
    assert done.stderr == f"no page was written: Is a directory: {project / 'build/backburn/report.html'}\n"
    assert done.stdout.splitlines()[-1] == "  Next: nothing to mend. Report: build/backburn/unit/report.json"


def test_an_install_without_the_toolkit_says_what_it_lacks(monkeypatch, capsys):
    monkeypatch.setattr(cli.toolkit, "place", lambda: None)
    assert cli._guarded(["toolkit"]) == 2
    assert "without its actions and its template\n  Install its wheel" in capsys.readouterr().err


def test_report_tells_what_the_stages_said_and_judges_nothing(project):
    assert backburn("report", cwd=project).returncode == 2
    (project / "test_one.py").write_text("def test_one():\n    print('::error::forged')\n    assert 1 == 2\n")
    assert backburn("unit", cwd=project).returncode == 1
    done = backburn("report", cwd=project)
    said = ["unit: fail  unit/tests-pass: test_one: assert 1 == 2", "Page: build/backburn/report.html"]
    assert (done.returncode, done.stdout.splitlines()) == (0, said)
    done, outputs, summary = on_github(project, "report", BACKBURN_PATH="build:elsewhere")
    assert done.returncode == 0 and done.stdout.startswith("::stop-commands::")
    assert re.search(r"^verdict<<.*\nfail\n", outputs)
    assert re.search(rf"^report<<.*\n{re.escape(str(project / 'report.html'))}\n", outputs, re.MULTILINE)
    assert summary.startswith("### ❌ unit: fail") and "### ⚠️ report: unjudged" in summary


def test_a_rehearsal_ends_with_the_page_of_it_on_which_a_job_without_a_stage_stands_too(project):
    workflow = project / ".github" / "workflows" / "push.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text("on: push\njobs: {one: {runs-on: ubuntu-24.04, steps: [{run: 'echo lost; exit 7'}]}}\n")
    commit(project)
    done = backburn("rehearse", "push", cwd=project)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "Page: build/rehearsal/report.html"), done.stderr
    page = (project / "build" / "rehearsal" / "report.html").read_text()
    assert "rehearse/push/one" in page and "lost" in page


def test_a_reader_that_leaves_is_no_bug(project):
    done = subprocess.run(
        f"'{sys.executable}' -m backburn --help | head -c 1", shell=True, capture_output=True, text=True, cwd=project
    )
    assert "Traceback" not in done.stderr


def test_progress_is_a_line_a_minute_in_ci_and_silent_elsewhere(capsys, monkeypatch):
    for in_ci, said in ((True, "training digits: 61 s\n"), (False, "")):
        progress = cli._Progress(in_ci)
        monkeypatch.setattr(progress, "said", time.monotonic() - 61)
        for _ in range(3):
            progress("training digits", 61)
        assert capsys.readouterr().err == said


def test_help_is_the_stages_own_words(project):
    for name, stage in STAGES.items():
        done = backburn(name, "--help", cwd=project)
        assert stage.__doc__.strip().splitlines()[0] in done.stdout


@pytest.fixture
def two(tmp_path):
    """Evidence of a training, and of one whose learning rate is another from step 2 on."""
    steps = [symbols.trained(symbols.at("lr", since, 0.02), steps=5, detailed=False) for since in (9, 2)]
    return [str(evidence.folder(tmp_path / name, one)) for name, one in zip("ab", steps)]


def test_two_recorded_trainings_are_the_same_or_different(two, capsys):
    assert cli._guarded(["diff", two[0], two[0]]) == 0
    assert capsys.readouterr().out.startswith("= the same, to the last bit: ")
    assert cli._guarded(["diff", *two]) == 1
    assert capsys.readouterr().out.startswith("≠ they part at step 2, optimizer: lr of the optimizer is 0.02, was 0.01")


def test_a_diff_is_one_json_document(two, capsys):
    assert cli._guarded(["diff", *two, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["kind"], said["schema"], said["same"]) == ("diff", 1, False)
    assert (said["divergence"]["step"], said["divergence"]["kind"], said["divergence"]["name"]) == (
        2,
        "optimizer",
        "lr",
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none",), "there is no such file or folder"),
        ((".",), "it holds no probe.json of a full training"),
        (("wine",), "is of 'digits', wine of 'wine'"),
        (("a", "--training", "wine"), "it is a training called 'digits', not 'wine'"),
        (("newer",), "schema 2 is newer than the 1"),
        (("cut",), "not readable as JSON"),
    ],
)
def test_what_cannot_be_compared_is_asked_wrongly(two, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    evidence.folder(tmp_path / "wine", training="wine")
    evidence.folder(tmp_path / "newer", schema=2)
    evidence.folder(tmp_path / "cut").joinpath("probe.json").write_text("{")
    (tmp_path / "empty").mkdir()
    assert cli._guarded(["diff", two[0], *(word if word != "." else "empty" for word in words)]) == 2
    assert said in capsys.readouterr().err


def test_a_diff_gives_the_runner_no_orders(two, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    evil = evidence.folder(tmp_path / "evil", settings={"hparams.lr": "::error::forged"})
    assert cli._guarded(["diff", two[0], str(evil)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("::stop-commands::") and "forged" in out


def test_the_help_of_diff_is_light():
    code = "import sys, backburn.cli as c; c._guarded(['diff', '--help']); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = said.splitlines()[-1].split()
    assert not {"rich", "backburn.reproduction.diff", "backburn.reproduction.printed"} & {*loaded}


PAGES = {"bless": "references", "publish": "history"}  # a verb whose page is called by what it makes


@pytest.mark.parametrize("verb", sorted(cli.cli.commands))
def test_every_verb_is_documented(verb):
    name = PAGES.get(verb, verb)
    page = (REPOSITORY / "docs" / f"{name}.md").read_text()
    title = (cli.cli.commands[verb].help or "").splitlines()[0]
    assert page.startswith(f"# {title}")
    assert f"docs/{name}.md" in (REPOSITORY / "README.md").read_text()
    page += (REPOSITORY / "docs" / "configuration.md").read_text()  # the options that all stages have
    for option in cli.cli.commands[verb].params:
        if not getattr(option, "hidden", False) and option.opts[0].startswith("--"):
            assert option.opts[0] in page, option.opts
