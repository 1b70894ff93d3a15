"""Reports that lie about, hostile ones among them; what a door does with them is in test_cli.py."""

import json
import os
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from backburn import catalog, evidence, pages
from backburn.errors import UserError
from backburn.report import Look, Verdict
from tests.renderers.reports import BROKEN, GREEN, SOUND, hostile

UNJUDGED = msgspec.structs.replace(SOUND, outcomes=(BROKEN.outcomes[-1],))


@pytest.fixture
def artifacts(tmp_path, monkeypatch):
    """The folder of downloaded artifacts, below where one stands."""
    monkeypatch.chdir(tmp_path)
    folder = Path("artifacts")
    folder.mkdir()
    return folder


def put(report, folder):
    evidence.save(report, folder / "report.json")
    return report


def found(*places):
    return list(pages.found(places))


def test_a_stage_leaves_every_file_and_the_page_of_all_stages(tmp_path):
    own = tmp_path / "build" / "backburn"
    for report in GREEN:
        put(report, own / report.stage)
        page = pages.leave(report, own / report.stage / "report.json", Look())
    assert page == own / "profile" / "report.html"
    assert {one.name for one in page.parent.iterdir()} == {"report.json", *catalog.FILES}
    assert "profile/step-time" in page.read_text() and "hygiene/black" not in page.read_text()
    together = (own / "report.html").read_text()
    assert all(f"{report.stage}/" in together for report in GREEN)


def test_all_reports_are_found_in_the_order_of_the_stages(artifacts):
    for report in reversed(GREEN):
        put(report, artifacts / f"{report.stage}-train-0")
    assert [one.stage for one in found(artifacts)] == [one.stage for one in GREEN]


def test_a_step_that_no_training_takes_is_refused(artifacts):
    """No drawing holds it; what cannot be drawn must not end the page of all the others."""
    forged = evidence.plain(SOUND)
    forged["curves"] = [{"name": "loss", "values": [2.0, 1.0], "steps": [1, 10**400]}]
    put(GREEN[0], artifacts / "hygiene-0")
    (artifacts / "memorize-0").mkdir()
    (artifacts / "memorize-0" / "report.json").write_bytes(evidence.dumps(SOUND))
    assert [one.verdict for one in found(artifacts)] == [Verdict.PASS, Verdict.PASS]
    (artifacts / "memorize-0" / "report.json").write_text(json.dumps(forged))
    assert [one.stage for one in found(artifacts)] == ["hygiene", "report"]
    pages.page(found(artifacts), artifacts / "report.html")


def test_what_lies_where_it_was_written_keeps_its_folder_and_the_legs_of_a_matrix_get_theirs(artifacts):
    put(SOUND, Path("sub") / SOUND.folder)
    for leg in (0, 1):
        put(BROKEN, artifacts / f"memorize-gpu-{leg}")
    folders = [one.folder for one in found(Path("."))]
    assert folders == ["artifacts/memorize-gpu-0", "artifacts/memorize-gpu-1", SOUND.folder]


def test_a_report_is_read_once_however_it_is_reached(artifacts):
    put(SOUND, artifacts / "a")
    assert found(artifacts, artifacts / "a", artifacts / "a" / "report.json", Path(".")) == found(artifacts)


def test_what_is_below_a_report_is_its_evidence_and_hidden_folders_are_not_looked_into(artifacts):
    put(SOUND, artifacts / "a")
    (artifacts / "a" / "digits").mkdir()
    (artifacts / "a" / "digits" / "report.json").write_text("the training's own")
    put(BROKEN, artifacts / ".hidden")
    assert [one.verdict for one in found(artifacts)] == [Verdict.PASS]


def refused(*places):
    """What is said of that which could not be read; and that the others were read all the same."""
    *others, last = found(*places)
    assert (last.stage, last.verdict) == ("report", Verdict.UNJUDGED)
    assert [one.stage for one in others] == ["memorize"]
    return [finding.message for outcome in last.outcomes for finding in outcome.findings]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "artifacts/b/report.json: not readable as JSON"),
        (b"[" * 100_000, "artifacts/b/report.json: not readable as JSON"),
        (b"{}", "artifacts/b/report.json: expected a file of kind 'report'"),
        (b'{"kind": "report", "schema": 99}', "schema 99 is newer"),
        (b" " * ((1 << 20) + 1), "over 1048576 bytes"),
    ],
)
def test_what_cannot_be_read_is_told_and_never_a_pass(artifacts, content, said):
    put(SOUND, artifacts / "a")
    (artifacts / "b").mkdir()
    (artifacts / "b" / "report.json").write_bytes(content)
    (one,) = refused(artifacts)
    assert said in one


def test_one_that_cannot_be_read_hides_none_below_it(artifacts):
    (artifacts / "report.json").write_text("{")
    put(SOUND, artifacts / "a")
    assert len(refused(artifacts)) == 1


def test_links_and_pipes_are_refused_and_linked_folders_not_entered(artifacts, tmp_path):
    put(SOUND, artifacts / "a")
    put(BROKEN, tmp_path / "elsewhere")
    (artifacts / "linked").symlink_to(tmp_path / "elsewhere")
    for name in ("link", "pipe"):
        (artifacts / name).mkdir()
    (artifacts / "link" / "report.json").symlink_to(tmp_path / "elsewhere" / "report.json")
    os.mkfifo(artifacts / "pipe" / "report.json")
    assert refused(artifacts) == [
        f"artifacts/{one}/report.json: not a plain file in a plain folder" for one in ("link", "pipe")
    ]


@pytest.mark.parametrize(("limit", "value"), [("REPORTS", 1), ("FOLDERS", 3)])
def test_what_is_too_much_is_told(artifacts, monkeypatch, limit, value):
    for name in "abc":
        put(SOUND, artifacts / name)
    assert [one.stage for one in found(artifacts)] == ["memorize"] * 3
    monkeypatch.setattr(pages, limit, value)
    (said,) = refused(artifacts)
    assert said == f"artifacts/b and what follows: more than {value} {limit.lower()}"


def test_what_is_too_deep_is_not_looked_for(artifacts):
    put(SOUND, artifacts.joinpath(*"abcdefghij"))
    put(SOUND, artifacts.joinpath(*"ABCDEFGHIJK"))
    assert [one.folder for one in found(artifacts)] == ["artifacts/a/b/c/d/e/f/g/h/i/j"]


def test_a_folder_that_cannot_be_read_is_told(artifacts):
    put(SOUND, artifacts / "a")
    assert refused(artifacts, Path("gone")) == ["gone: No such file or directory"]


def test_no_report_is_asked_wrongly_and_says_what_lies_there(artifacts):
    with pytest.raises(UserError, match="there is no report.json\n  A stage leaves one"):
        pages.tell(Path("."), [artifacts], {})
    (artifacts / "report.json").write_text("{")
    with pytest.raises(UserError, match="artifacts/report.json: not readable"):
        pages.tell(Path("."), [artifacts], {})
    assert not Path("report.html").exists()


def test_without_a_path_the_projects_own_are_told_and_the_page_is_among_them(artifacts, tmp_path):
    subprocess.run(["git", "init", "--quiet"], check=True)
    (tmp_path / "pyproject.toml").touch()
    put(SOUND, tmp_path / SOUND.folder)
    (tmp_path / "inner").mkdir()
    told = pages.tell(tmp_path / "inner", [], {})
    assert told.page == tmp_path / "build" / "backburn" / "report.html" and told.page.is_file()
    assert [*told.lines] == ["memorize: pass", "Page: build/backburn/report.html"]


def test_the_lines_name_the_cause_and_tell_twins_apart(artifacts):
    put(SOUND, artifacts / "a")
    put(BROKEN, artifacts / "b")
    put(msgspec.structs.replace(UNJUDGED, stage="profile"), artifacts / "c")
    told = pages.tell(Path("."), [artifacts], {})
    passed, failed, unjudged, page = told.lines
    assert passed == "memorize: pass  (artifacts/a)"
    assert failed.startswith("memorize: fail  memorize/loss-falls [digits]: 50% of <b>ünïcode</b>")
    assert failed.endswith("  (artifacts/b)")
    assert unjudged == "profile: unjudged  memorize/on-gpu: no GPU was seen"
    assert (page, told.verdict) == ("Page: report.html", Verdict.FAIL)


def test_nothing_hostile_reaches_the_terminal(artifacts):
    put(hostile("\x1b[2J\n::error::forged\u202e"), artifacts / "\x1b[2J")
    put(SOUND, artifacts / "b")
    lines = [*pages.tell(Path("."), [artifacts], {}).lines]
    assert len(lines) == 3 and all(line.isprintable() for line in lines)
    assert not any(line.startswith("::") for line in lines)


def test_the_other_files_are_written_where_asked(artifacts):
    put(BROKEN, artifacts / "a")
    files = {"html": Path("out/page.html"), "junit": Path("out/junit.xml"), "sarif": None}
    told = pages.tell(Path("."), [artifacts], files)
    assert told.page == Path("out/page.html").absolute()
    assert ET.parse("out/junit.xml").getroot().get("failures") == "1"
    assert not Path("report.html").exists()
    assert {one.name for one in Path("out").iterdir()} == {"page.html", "junit.xml"}


def test_a_file_that_cannot_be_written_is_asked_wrongly(artifacts):
    put(BROKEN, artifacts / "a")
    with pytest.raises(UserError, match="artifacts: cannot write: Is a directory"):
        pages.tell(Path("."), [artifacts], {"junit": artifacts})
