"""The one road, with a small stage of the test's own in the catalog: real files, real locks, real signals."""

import datetime
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from backburn import catalog, evidence, git, kept, pipeline, reach, references
from backburn.config import Training
from backburn.errors import Interrupted, Skip, Unjudged, UserError
from backburn.pipeline import Asked
from backburn.references import Machine, Reference
from backburn.report import Curve, Figure, Finding, Generated, Level, Report, Verdict, after


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    limit: float = 1.0


class Trained(Config, frozen=True, kw_only=True):
    training: Training = Training()


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    loss: float = 0.5
    parts: tuple[str, ...] = ()
    kind: str = "toy"
    schema: int = 1


def loss_is_low(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The loss is low."""
    if not seen.loss <= config.limit:
        yield Finding(message=f"loss {seen.loss}", file="src/model.py", line=3)


@after(loss_is_low)
def loss_is_steady(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The loss is steady."""
    return iter(())


@after(loss_is_steady)
def loss_is_smooth(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The loss is smooth."""
    return iter(())


def fits_a_gpu(seen: Evidence, config: Config) -> Iterator[Finding]:
    """It fits a GPU."""
    raise Unjudged("no GPU", hint="Add one.")


def is_told_in_phases(seen: Evidence, config: Config) -> Iterator[Finding]:
    """It is told in phases."""
    levels = {"callbacks": "notice", "training": "error", "logging": "warning", "validation": "error"}
    yield from (Finding(message=phase, level=Level(level)) for phase, level in levels.items())


def on_one_machine(seen: Evidence, config: Config) -> Iterator[Finding]:
    """It is on one machine."""
    raise Skip("one machine only")


def parts(seen: Evidence) -> Iterator[object]:
    for name in seen.parts:

        def part(seen: Evidence, config: Config) -> Iterator[Finding]:
            return iter(())

        part.__name__, part.__doc__, part.seconds = name, f"{name} passes.", 0.5
        yield part


def stage(gather, config=Config, checks=(loss_is_low, loss_is_steady, loss_is_smooth)):
    return SimpleNamespace(
        __doc__="Is it a toy?\n\nMore.",
        Config=config,
        Evidence=Evidence,
        gather=gather,
        measured=lambda seen: (Figure(name="loss", value=seen.loss), Curve(name="loss", values=(seen.loss,))),
        CHECKS=checks,
    )


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A repository with a project in a subfolder; call it with a gather to get the report."""
    root = tmp_path / "repo" / "ml"
    root.mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "repo", check=True)

    def judged(gather=lambda config, root, out: Evidence(), pyproject="", asked=(), **options):
        (root / "pyproject.toml").write_text(pyproject)
        monkeypatch.setitem(catalog.STAGES, "toy", stage(gather, **options))
        return pipeline.run("toy", Asked(folder=root, trainings=tuple(asked)))[0]

    judged.root = root
    return judged


def by_name(report: Report):
    return {one.check.removeprefix("toy/"): one for one in report.outcomes}


def test_a_sound_stage_passes_and_leaves_its_report_and_evidence(toy):
    report = toy()
    assert report.verdict is Verdict.PASS
    assert report.question == "Is it a toy?"
    folder = toy.root / "build" / "backburn" / "toy"
    assert evidence.load(folder / "report.json", Report) == report
    assert evidence.load(folder / "evidence.json", Evidence) == Evidence()
    assert report.folder == "ml/build/backburn/toy"
    untracked = subprocess.run(["git", "status", "--porcelain"], cwd=toy.root, capture_output=True, text=True).stdout
    assert "build" not in untracked


def test_a_failed_check_names_a_file_of_the_repository_and_silences_what_follows(toy):
    report = toy(lambda config, root, out: Evidence(loss=float("nan")))
    assert report.verdict is Verdict.FAIL
    outcomes = by_name(report)
    assert outcomes["loss-is-low"].findings[0].file == "ml/src/model.py"
    assert outcomes["loss-is-steady"].skipped == "after loss-is-low"
    assert outcomes["loss-is-smooth"].skipped == "after loss-is-low"  # the cause, not the link before


def test_an_error_is_named_before_a_notice_of_the_same_check(toy):
    outcome = by_name(toy(checks=(is_told_in_phases,)))["is-told-in-phases"]
    assert [finding.message for finding in outcome.findings] == ["training", "validation", "logging", "callbacks"]


def test_skip_unjudged_and_generated_checks(toy):
    report = toy(
        lambda config, root, out: Evidence(parts=("black", "mypy")),
        checks=(on_one_machine, fits_a_gpu, Generated(make=parts)),
    )
    outcomes = by_name(report)
    assert outcomes["on-one-machine"].skipped == "one machine only"
    assert (outcomes["fits-a-gpu"].unjudged, outcomes["fits-a-gpu"].findings[0].hint) == ("no GPU", "Add one.")
    assert (outcomes["mypy"].claim, outcomes["mypy"].seconds) == ("mypy passes.", 0.5)
    assert report.verdict is Verdict.UNJUDGED


def test_what_could_not_be_gathered_is_unjudged(toy):
    def gather(config, root, out):
        raise Unjudged("no network", hint="Try again.", detail="tail")

    report = toy(gather)
    assert report.verdict is Verdict.UNJUDGED
    assert by_name(report)["gather"].findings[0].detail == "tail"


def test_an_interrupt_is_reported_and_ends_the_road(toy):
    def gather(config, root, out):
        if config.training.name == "two":
            raise Interrupted(15)
        return Evidence()

    table = "".join(f"[tool.backburn.trainings.{name}]\ncommand = 'x'\n" for name in ("one", "two", "three"))
    report = toy(gather, table, config=Trained)
    assert report.interrupted == "interrupted by SIGTERM"
    assert [one.training for one in report.outcomes] == ["one", "one", "one", "two"]
    assert "interrupted by SIGTERM after" in report.outcomes[-1].unjudged
    assert evidence.load(toy.root / "build/backburn/toy/report.json", Report) == report


def test_each_training_has_a_folder_figures_and_outcomes_of_its_own(toy):
    table = "".join(f"[tool.backburn.trainings.{name}]\ncommand = 'x'\n" for name in ("one", "two"))
    report = toy(lambda config, root, out: Evidence(loss=len(out.name)), table, config=Trained, asked=["two"])
    assert {one.training for one in (*report.outcomes, *report.figures, *report.curves)} == {"two"}
    assert (toy.root / "build/backburn/toy/two/evidence.json").exists()


def test_yesterdays_evidence_is_gone_before_anything_is_gathered(toy):
    toy()
    seen = []

    def gather(config, root, out):
        seen.extend(out.iterdir())
        raise Unjudged("nothing")

    toy(gather)
    assert seen == []
    assert not (toy.root / "build/backburn/toy/evidence.json").exists()


def test_two_at_once_in_one_folder_is_refused(toy):
    toy()
    with (toy.root / "build/backburn/.toy.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another `backburn toy` is at work"):
            toy()


def test_a_bug_of_ours_is_not_a_verdict(toy):
    def gather(config, root, out):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        toy(gather)
    assert not (toy.root / "build/backburn/toy/report.json").exists()


ALLOW = "[[tool.backburn.allow]]\ncheck = 'toy/loss-is-low'\nreason = 'ticket 7'\n"


@pytest.mark.parametrize(
    ("until", "level", "said"),
    [
        ("", Level.NOTICE, "(allowed: ticket 7)"),
        ("until = 2999-01-01", Level.NOTICE, "(allowed: ticket 7)"),
        ("until = 2020-01-01", Level.WARNING, "(allowed until 2020-01-01, which is past: ticket 7)"),
    ],
)
def test_what_a_team_accepts_does_not_fail_and_warns_once_expired(toy, until, level, said):
    report = toy(lambda config, root, out: Evidence(loss=9), ALLOW + until)
    finding = by_name(report)["loss-is-low"].findings[0]
    assert (finding.level, report.verdict) == (level, Verdict.PASS)
    assert finding.message.endswith(said)


def test_an_allowance_for_another_training_or_check_is_none(toy):
    digits = "training = 'digits'\n[tool.backburn.trainings.digits]\ncommand = 'x'"
    report = toy(lambda config, root, out: Evidence(loss=9), ALLOW + digits)
    assert report.verdict is Verdict.FAIL


@pytest.fixture
def referenced(toy, monkeypatch):
    """`referenced(loss)`: the candidate that a training of a stage with references left, None where there is none."""

    def offered(loss=0.5):
        made = stage(lambda config, root, out: Evidence(loss=loss))
        made.candidate = lambda seen, config: (seen.loss or None) and Reference(
            stage="toy", training="it", machine=Machine(hardware="cpu"), seeds=(1,), figures={"loss": (seen.loss,)}
        )
        monkeypatch.setitem(catalog.STAGES, "toy", made)
        monkeypatch.setitem(catalog.REFERENCED, "toy", made)
        pipeline.run("toy", Asked(folder=toy.root))
        path = toy.root / "build" / "backburn" / "toy" / "candidate.json"
        return references.load(path) if path.exists() else None

    return offered


def test_a_stage_with_references_leaves_a_candidate_beside_its_evidence(toy, referenced):
    (toy.root / "pyproject.toml").touch()
    (toy.root / "references").mkdir()
    (toy.root / "references" / "it.json").touch()
    assert referenced().commit == ""  # no commit yet
    subprocess.run(["git", "add", "."], cwd=toy.root, check=True)
    subprocess.run(["git", "commit", "-qm", "one"], cwd=toy.root, check=True)
    left = referenced(0.1 + 0.2)
    assert (left.commit, left.figures) == (git.head(toy.root), {"loss": (0.1 + 0.2,)})
    assert left.date == datetime.date.today().isoformat()
    (toy.root / "references" / "it.json").write_text("{}")  # one that was blessed and is not committed yet
    assert referenced().commit == left.commit
    (toy.root / "pyproject.toml").write_text("# changed\n")
    assert referenced().commit == left.commit + "+"


def test_where_nothing_came_to_its_end_no_candidate_is_left_not_even_yesterdays(referenced):
    assert referenced()
    assert referenced(loss=0) is None


# What is not trained again


class Reusing(Trained, frozen=True, kw_only=True):
    install: str = "none"
    rehearsal: bool = False
    candidate: bool = False


NET = "[tool.backburn.trainings.net]\ncommand = 'x'\n"


@pytest.fixture
def reusing(toy, monkeypatch, tmp_path):
    """`reusing(gather, force=…, **given)`: what the toy came to where it may reuse, and whether it gathered."""
    monkeypatch.setenv("BACKBURN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.delenv("BACKBURN_FORCE")
    monkeypatch.delenv("GITHUB_RUN_ATTEMPT", raising=False)
    monkeypatch.setattr(catalog, "REUSED", {"toy": kept.Term()})
    monkeypatch.setattr(kept, "_toolkit", lambda: "the same")  # whoever edits this repository meanwhile
    (toy.root / "train.py").write_text("x = 1")
    os.utime(toy.root / "train.py", (1, 1))
    gathered = []

    def run(gather=Evidence, force=False, say=lambda line: None, allow="", **given):
        def gathering(config, root, out):
            gathered.append(out)
            (out / "output.txt").touch()
            (out / reach.FILE).write_text(f"began command\nread {root}/train.py\n")
            return gather()

        checks = (loss_is_known, loss_is_low, *([fits_a_gpu] if given.get("limit") else []))
        made = stage(gathering, config=Reusing, checks=checks)
        made.candidate = lambda seen, config: Reference(stage="toy", training="net", machine=Machine(hardware="cpu"))
        monkeypatch.setitem(catalog.STAGES, "toy", made)
        monkeypatch.setitem(catalog.REFERENCED, "toy", made)
        (toy.root / "pyproject.toml").write_text(NET + allow)
        gathered.clear()
        report = pipeline.run("toy", Asked(folder=toy.root, given=given, force=force, say=say))[0]
        return report, bool(gathered)

    run.root = toy.root
    return run


def loss_is_known(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The loss is known."""
    if seen.loss < 0:
        yield Finding(message="unknown")


@pytest.mark.parametrize("loss", [0.5, 9.0])
def test_the_last_verdict_comes_again_with_its_evidence_and_its_commit(reusing, loss):
    subprocess.run(["git", "commit", "-qm", "one", "--allow-empty"], cwd=reusing.root, check=True)
    first, trained = reusing(lambda: Evidence(loss=loss))
    assert trained and first.reused == ()
    subprocess.run(["git", "commit", "-qm", "docs", "--allow-empty"], cwd=reusing.root, check=True)
    again, trained = reusing(Evidence)
    assert not trained and again.reused == ("net",)
    assert (again.verdict, again.figures, again.outcomes[1:]) == (first.verdict, first.figures, first.outcomes)
    (note,) = again.outcomes[0].findings
    assert (again.outcomes[0].check, note.level) == ("toy/gather", Level.NOTICE)
    assert f", when commit {first.commit[:7]}" in note.message and "--force" in note.hint
    folder = reusing.root / "build" / "backburn" / "toy" / "net"
    assert evidence.load(folder / "evidence.json", Evidence) == Evidence(loss=loss)
    assert references.load(folder / "candidate.json").commit == first.commit != again.commit
    assert reusing(Evidence)[1] is False  # and again


def test_what_is_reused_is_held_against_what_a_team_accepts_today(reusing):
    assert reusing(lambda: Evidence(loss=9))[0].verdict is Verdict.FAIL
    report, trained = reusing(allow="[[tool.backburn.allow]]\ncheck = 'toy/loss-is-low'\nreason = 'ticket 7'")
    assert (report.verdict, trained) == (Verdict.PASS, False)


@pytest.mark.parametrize("given", [{"force": True}, {"rehearsal": True}, {"candidate": True}])
def test_who_asks_for_a_training_gets_one(reusing, given):
    assert reusing()[1] and not reusing()[1]
    report, trained = reusing(**given)
    assert trained and not report.reused


@pytest.mark.parametrize(
    ("name", "value", "trains"),
    [
        ("BACKBURN_FORCE", "1", True),
        ("BACKBURN_FORCE", "true", True),
        ("BACKBURN_FORCE", "false", False),
        ("BACKBURN_FORCE", "", False),
        ("GITHUB_RUN_ATTEMPT", "2", True),
        ("GITHUB_RUN_ATTEMPT", "1", False),
    ],
)
def test_a_job_that_is_run_again_trains(reusing, monkeypatch, name, value, trains):
    reusing()
    monkeypatch.setenv(name, value)
    assert reusing()[1] is trains


def test_it_is_said_why_a_training_is_started_again(reusing):
    said = []
    reusing(say=said.append)
    assert said == []  # the first
    (reusing.root / "train.py").write_text("x = 2")
    assert reusing(say=said.append)[1]
    assert said == ["toy [net]: trains, since train.py changed"]


def unjudged():
    raise Unjudged("no network")


def interrupted():
    raise Interrupted(15)


@pytest.mark.parametrize(
    ("gather", "given"),
    [(unjudged, {}), (interrupted, {}), (lambda: Evidence(loss=-1), {}), (Evidence, {"limit": 2.0})],
)
def test_only_what_ran_to_its_end_and_was_judged_is_kept(reusing, gather, given):
    reusing(gather, **given)
    assert reusing(**given)[1]


def test_a_stage_that_reuses_nothing_trains_each_time(reusing, monkeypatch):
    monkeypatch.setattr(catalog, "REUSED", {})
    assert reusing()[1] and reusing()[1]


@pytest.mark.parametrize(("loss", "again"), [(0.5, False), (9.0, True)])
def test_a_stage_may_reuse_what_passed_and_nothing_else(reusing, monkeypatch, loss, again):
    monkeypatch.setattr(catalog, "REUSED", {"toy": kept.Term(days=7, passed=True)})
    reusing(lambda: Evidence(loss=loss))
    assert reusing(lambda: Evidence(loss=loss))[1] is again


def test_a_night_that_passed_is_trained_again_within_the_week_and_one_that_did_not_each_night():
    assert catalog.REUSED["reproduce"].passed and 6 < catalog.REUSED["reproduce"].days < 7
    assert set(catalog.REUSED) == set(catalog.REFERENCED)


def test_kept_evidence_that_is_none_of_this_stage_is_not_believed(reusing, tmp_path):
    reusing()
    (path,) = (tmp_path / "cache").rglob("*.json")
    path.write_text(path.read_text().replace('"loss": 0.5', '"loss": "low"'))
    assert reusing()[1]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX paths")
def test_a_folder_that_cannot_be_written_is_named(toy):
    (toy.root / "build").write_text("a file")
    with pytest.raises(UserError, match="cannot write"):
        toy()
