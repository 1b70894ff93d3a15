"""Which issue opens, lasts, comes back and closes: nights in a row against a server that remembers."""

import datetime

import msgspec
import pytest

from backburn.errors import Unjudged
from backburn.history import culprits, issues, night
from backburn.history.api import Api
from backburn.history.nightly import Nightly
from backburn.history.night import Run, conclude, told
from backburn.report import Figure, Table
from backburn.reproduction.culprit import Blame, Conclusion, Culprit

from .conftest import REPOSITORY, TOKEN, report, three

EXPECT = ("unit", "reproduce", "profile")
FAILED = "nightly: reproduce failed [digits]"
UNJUDGED = "nightly: no verdict [digits]"
NONE = "nightly: no verdict"


@pytest.fixture
def play(github):
    """`play(*reports)`: one night after the other, each a run of its own."""
    api = Api(url=f"{github.url}/api", repository=REPOSITORY, token=TOKEN)
    runs = iter(range(1, 100))

    def play(*reports, result="success", days=0, run=None, workflow="nightly", blame=None):
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        night = tonight(*reports, result=result, run=run or next(runs), workflow=workflow, blame=blame)
        changes = tuple(issues.plan(night, issues.known(api, now), now))
        issues.carry_out(api, changes)
        return [str(one) for one in changes]

    return play


def tonight(*reports, result="success", run=1, workflow="nightly", blame=None):
    page = f"https://h/o/r/actions/runs/{run}"
    about = Run(id=run, attempt=1, commit="c0ffee", ref="refs/heads/main", workflow=workflow, page=page)
    by_stage = {one.stage: told(one) for one in reports}
    problems = tuple(conclude(by_stage, (), EXPECT, result))
    now = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)
    blames = {blame.training: culprits.believed(blame)} if blame else {}
    return Nightly(run=about, night=night.night(about, by_stage, problems, now), reports=by_stage, blames=blames)


def red(said="the loss differs", **more):
    return three(reproduce=report(said=said, **more))


def mended(play):
    """Two clean nights, and what the second did."""
    play(*three())
    return play(*three())


def test_a_night_that_passes_opens_nothing_and_makes_no_label(github, play):
    assert play(*three()) == [] and github.issues == [] and github.labels == set()


def test_a_failure_opens_one_issue_that_names_the_cause(github, play):
    assert play(*red()) == [f"open: {FAILED}"]
    (one,) = github.issues
    assert one["title"] == FAILED and one["labels"] == ["backburn"] and github.labels == {"backburn"}
    body = one["body"]
    assert body.startswith("<!-- backburn: reproduce failed [digits] -->\n<!-- nights: 1, run: 1, ")
    assert body.index("**`reproduce/loss-agrees`** `the loss differs` at `src/train.py:12`") < body.index("| stage |")
    assert "**What to do:** `Look there.`" in body and "`backburn reproduce digits`" in body
    assert "[run 1](https://h/o/r/actions/runs/1), the first night." in body and "commit `c0ffee`" in body
    assert "| ❌ | reproduce | `digits` | fail | `steps 240` |" in body


def test_while_it_lasts_only_the_body_is_rewritten(github, play):
    for _ in range(3):
        said = play(*red())
    assert said == [f"update #1: {FAILED}"] and len(github.issues) == 1 and github.comments == []
    assert "nights: 3, run: 3" in github.issues[0]["body"] and "3 nights in a row" in github.issues[0]["body"]


def test_the_same_run_again_is_no_further_night(github, play):
    play(*red(), run=5)
    play(*red(), run=5)
    assert "nights: 1, run: 5" in github.issues[0]["body"]


def test_another_cause_is_a_comment(github, play):
    play(*red())
    other = (
        report()
        .outcomes[0]
        .__class__(
            check="reproduce/metrics-agree",
            claim="",
            training="digits",
            findings=report(said="worse").outcomes[0].findings,
        )
    )
    play(*three(reproduce=report(outcomes=(other,))))
    assert github.comments == [
        (
            1,
            "Another cause since [run 2](https://h/o/r/actions/runs/2): "
            "**`reproduce/metrics-agree`** `worse` at `src/train.py:12`",
        )
    ]
    play(*three(reproduce=report(outcomes=(other,))))
    assert len(github.comments) == 1


def test_it_closes_when_that_stage_passes_for_that_training_and_not_before(github, play):
    play(*red())
    play(*three(reproduce=report(training="another")))
    assert FAILED in github.open_issues()
    play(*three(reproduce=report(unjudged="no data")))
    assert set(github.open_issues()) == {FAILED, UNJUDGED}
    play(*three()[:2])
    assert set(github.open_issues()) == {FAILED, UNJUDGED, NONE}
    assert sorted(play(*three())) == [f"close #2: {UNJUDGED}", f"close #3: {NONE}", f"update #1: {FAILED}"]
    assert play(*three()) == [f"close #1: {FAILED}"]
    assert github.open_issues() == {} and [number for number, _ in github.comments] == [3, 2, 1, 1]
    assert play(*three()) == []


def test_one_clean_night_is_told_once_and_the_second_in_a_row_closes(github, play):
    play(*red())
    play(*three())
    assert github.comments == [
        (1, "Passed with [run 2](https://h/o/r/actions/runs/2). 1 more clean night, and this is closed.")
    ]
    assert "**`reproduce/loss-agrees`** `the loss differs`" in github.issues[0]["body"]
    assert ", clean: 1 -->" in github.issues[0]["body"] and FAILED in github.open_issues()
    assert play(*red()) == [f"update #1: {FAILED}"]  # it was luck
    assert github.comments[-1][1].startswith("Again, with [run 3]") and "clean" not in github.issues[0]["body"]
    assert "nights: 1, run: 3" in github.issues[0]["body"]
    play(*three())
    assert play(*three()[:2]) == [f"open: {NONE}"]  # an unfinished night is none
    assert play(*three()) == [f"close #2: {NONE}", f"close #1: {FAILED}"]
    assert github.comments[-1][1] == "Over with [run 6](https://h/o/r/actions/runs/6), the second clean night."


def test_a_clean_night_that_is_told_twice_is_one(github, play):
    play(*red(), run=4)
    for _ in range(3):
        play(*three(), run=5)
    assert FAILED in github.open_issues() and len(github.comments) == 1
    assert play(*three(), run=6) == [f"close #1: {FAILED}"]


def test_a_night_that_trained_nothing_is_no_second_clean_one(github, play):
    play(*red())
    play(*three())
    idle = msgspec.structs.replace(report(), reused=("digits",))
    assert play(*three(reproduce=idle)) == []
    assert play(*three()) == [f"close #1: {FAILED}"]


def measured(said="", *, hardware="", reference="", standing="", training="digits"):
    """A report as the stage makes it, with what its figures and tables say beside the outcome."""
    texts = {"reference": reference, "class": standing}
    figures = tuple(Figure(name=name, text=text, training=training) for name, text in texts.items() if text)
    rows = (("device", "a GPU"), ("hardware", hardware))
    tables = (Table(name="environment", rows=rows, training=training),) if hardware else ()
    return report(said=said, training=training, figures=figures, tables=tables)


def test_another_reference_that_holds_ends_it_at_once(github, play):
    play(*three(reproduce=measured("it differs", reference="1a2b3c4 2026-11-20")))
    assert play(*three(reproduce=measured(reference="1a2b3c4 2026-11-20"))) == [f"update #1: {FAILED}"]
    play(*three(reproduce=measured("it differs", reference="1a2b3c4 2026-11-20")))
    assert play(*three(reproduce=measured(reference="5d6e7f8+ 2026-11-24"))) == [f"close #1: {FAILED}"]
    assert github.comments[-1][1].endswith(": another reference was blessed, and it holds.")


def test_each_hardware_has_an_issue_of_its_own(github, play):
    """Two workflows, a machine each: neither closes nor rewrites the other's."""
    on = {name: f"{FAILED} on {name}" for name in ("nvidia-h200", "nvidia-l4")}
    play(*three(reproduce=measured("it differs", hardware="nvidia-h200")), workflow="big")
    assert play(*three(reproduce=measured(hardware="nvidia-l4")), workflow="small") == []
    assert play(*three(reproduce=measured("it differs", hardware="nvidia-l4")), workflow="small") == [
        f"open: {on['nvidia-l4']}"
    ]
    assert set(github.open_issues()) == set(on.values())
    # One that crashed did not tell its hardware: it is that of its workflow.
    assert play(*red("it crashed"), workflow="small") == [f"update #2: {on['nvidia-l4']}"]
    assert "hardware: nvidia-l4" in github.issues[1]["body"]
    for _ in range(2):
        said = play(*three(reproduce=measured(hardware="nvidia-h200")), workflow="big")
    assert said == [f"close #1: {on['nvidia-h200']}"] and set(github.open_issues()) == {on["nvidia-l4"]}


def test_an_issue_of_an_older_version_is_the_one_of_today(github, play):
    state = "<!-- nights: 3, run: 1, cause: x, workflow: nightly -->"
    body = f"<!-- backburn: reproduce failed [digits] -->\n{state}\nIt fails."
    github._open({"title": FAILED, "body": body, "labels": ["backburn"]})
    play(*three(reproduce=measured("it differs", hardware="nvidia-h200")), run=2, blame=blame(A))
    assert len(github.issues) == 1 and f", hardware: nvidia-h200, commit: {A} -->" in github.issues[0]["body"]
    assert "nights: 4, run: 2" in github.issues[0]["body"]


A, B = "a" * 40, "b" * 40


def blame(commit=A, **more):
    culprit = Culprit(commit=commit, author="Ann @all", date="2026-11-20", subject="Warm up (#12)", pull_request=12)
    about = {"cause": "optimizer", "step": 13, "module": "encoder.0", "said": "Since this commit it differs."}
    about |= {"hunk": "@@ -1 +1 @@\n-    lr = 0.1\n+    lr = 0.2", "file": "src/train.py", "cost": 0.31, "reruns": 9}
    about |= {"proof": "Without it the training is the reference's.", "proven": True, "commits": 64, "certainty": 1.0}
    return Blame(training="digits", conclusion=Conclusion.FOUND, culprit=culprit, **about | more)


def test_the_first_bad_commit_is_named_with_all_that_is_known_of_it(github, play):
    play(*three(reproduce=measured("it differs", standing="regressed")), blame=blame())
    (one,) = github.issues
    assert one["title"] == f"{FAILED} since aaaaaaa"
    assert (
        f"**First bad commit:** [`aaaaaaaaaaaa`](https://h/o/r/commit/{A}) `Warm up (#12)` by `Ann @all`" in one["body"]
    )
    assert "pull request [12](https://h/o/r/pull/12)" in one["body"] and "`regressed` **`reproduce/" in one["body"]
    for row in ("first step that differs | 13", "class | `optimizer`", "module | `encoder.0`", "file | `src/train.py`"):
        assert f"| {row} |" in one["body"]
    assert "```diff\n@@ -1 +1 @@\n-    lr = 0.1\n+    lr = 0.2\n```" in one["body"]
    assert "**Proof:** `Without it the training is the reference's.`" in one["body"]
    assert "64 commits, 9 reruns, 0.31 of one full training." in one["body"]
    assert "`git revert aaaaaaaaaaaa`" in one["body"] and "It is meant" not in one["body"]
    assert "backburn bless reproduce" not in one["body"]


def test_what_only_changed_may_be_meant(github, play):
    play(*three(reproduce=measured("it differs", standing="changed")), blame=blame())
    body = github.issues[0]["body"]
    assert "- It is meant: `gh run download 1`" in body and "`backburn bless reproduce <candidate.json>`" in body
    assert "`[[tool.backburn.allow]]`" in body and "git revert" in body


def test_a_culprit_that_is_found_later_is_a_change_of_state_and_stays(github, play):
    play(*red())
    assert play(*red(), blame=blame()) == [f"update #1: {FAILED} since aaaaaaa"]
    ((number, said),) = github.comments
    assert number == 1 and said.startswith("**First bad commit:** [`aaaaaaaaaaaa`]")
    play(*red())  # tonight nobody searched
    assert len(github.comments) == 1 and github.issues[0]["body"].count("**First bad commit:**") == 1
    assert "Searched by [run 2](https://h/o/r/actions/runs/2)." in github.issues[0]["body"]
    assert "nights: 3, run: 3" in github.issues[0]["body"] and f"commit: {A}" in github.issues[0]["body"]


def test_another_first_bad_commit_is_another_issue(github, play):
    play(*red(), blame=blame(A))
    assert play(*red(), blame=blame(B)) == [f"open: {FAILED} since bbbbbbb"]
    assert play(*red(), blame=blame(A)) == [f"update #1: {FAILED} since aaaaaaa"]
    play(*red())  # nobody searched: that of the last night
    assert "run: 4" in github.issues[0]["body"] and "run: 2" in github.issues[1]["body"]
    for _ in range(2):
        said = play(*three())
    assert sorted(said) == [f"close #1: {FAILED} since aaaaaaa", f"close #2: {FAILED} since bbbbbbb"]


def test_a_changed_training_that_regresses_is_a_change_of_state(github, play):
    play(*three(reproduce=measured("it differs", standing="changed")))
    play(*three(reproduce=measured("it differs", standing="regressed")))
    assert [text for _, text in github.comments] == [
        "Since [run 2](https://h/o/r/actions/runs/2) it is `regressed`:"
        " `regressed` **`reproduce/loss-agrees`** `it differs` at `src/train.py:12`"
    ]


def test_what_was_found_of_another_hardware_or_a_stage_that_passed_blames_nobody(github, play):
    play(*three(reproduce=measured("it differs", hardware="cpu-avx2")), blame=blame(hardware="nvidia-h200"))
    play(*three(profile=report("profile", said="slower")), blame=blame())
    assert {one["title"] for one in github.issues} == {f"{FAILED} on cpu-avx2", "nightly: profile failed [digits]"}
    assert not [one for one in github.issues if "First bad commit" in one["body"]]


@pytest.mark.parametrize("result", ["cancelled", "skipped", ""])
def test_a_night_without_a_verdict_closes_nothing(github, play, result):
    play(*red())
    assert play(*three(), result=result) == [f"open: {NONE}"]
    assert set(github.open_issues()) == {FAILED, NONE}


def test_a_failure_is_told_also_where_another_report_is_missing(github, play):
    play(*red()[:2], result="failure")
    assert set(github.open_issues()) == {FAILED, NONE}


def test_what_could_not_be_judged_says_what_to_bless(github, play):
    play(*three(reproduce=report(unjudged="no reference for nvidia-h200")))
    (one,) = github.issues
    assert one["title"] == UNJUDGED and "`backburn bless reproduce <candidate.json>`" in one["body"]
    assert "gh run download 1" in one["body"] and "bless profile" not in one["body"]
    play(*three(reproduce=report(unjudged="no GPU")), days=1)
    assert "bless" not in github.issues[0]["body"] and "`backburn reproduce digits`" in github.issues[0]["body"]


def test_one_issue_for_a_training_that_two_stages_could_not_judge(github, play):
    play(*three(reproduce=report(unjudged="no GPU"), profile=report("profile", unjudged="no GPU")))
    assert set(github.open_issues()) == {UNJUDGED}
    play(*three(profile=report("profile", unjudged="no GPU")))
    assert set(github.open_issues()) == {UNJUDGED}


def test_the_first_night_of_a_project_says_all_that_is_to_be_blessed_in_one_issue(github, play):
    none = "no reference for nvidia-h200"
    play(*three(reproduce=report(unjudged=none), profile=report("profile", unjudged=none)))
    (one,) = github.issues
    for stage in ("reproduce", "profile"):
        assert one["body"].count(f"`backburn bless {stage} <candidate.json>`") == 1
    play(*three(profile=report("profile", unjudged=none)))
    assert "bless reproduce" not in one["body"] and one["body"].count("bless profile") == 1


def test_each_stage_and_training_has_an_issue_of_its_own(github, play):
    two = tuple(report(training=name, said="no").outcomes[0] for name in ("a", "b"))
    play(report("unit", "", said="no"), report(outcomes=two), report("profile", "a", said="no"))
    assert set(github.open_issues()) == {
        "nightly: unit failed",
        "nightly: reproduce failed [a]",
        "nightly: reproduce failed [b]",
        "nightly: profile failed [a]",
    }
    assert play(report("unit", ""), report(outcomes=two), report("profile", "a")) == [
        "update #2: nightly: reproduce failed [a]",
        "update #3: nightly: reproduce failed [b]",
        "update #4: nightly: profile failed [a]",
        "update #1: nightly: unit failed",
    ]


def test_closed_lately_it_is_opened_again_and_closed_long_ago_it_is_not(github, play):
    play(*red())
    mended(play)
    assert play(*red(), days=13) == [f"reopen #1: {FAILED}"]
    assert github.comments[-1][1].startswith("Again, with [run 4]") and "nights: 1, run: 4" in github.issues[0]["body"]
    mended(play)
    github.issues[0]["closed_at"] = "2026-01-01T00:00:00Z"  # and something stirred it since
    assert play(*red()) == [f"open: {FAILED}"]
    assert mended(play) == [f"close #2: {FAILED}"]
    assert play(*red(), days=15) == [f"open: {FAILED}"]


def test_of_two_alike_the_younger_is_closed(github, play):
    play(*red())
    github._open({"title": FAILED, "body": github.issues[0]["body"], "labels": ["backburn"]})
    assert play(*red()) == [f"update #1: {FAILED}", f"close #2: {FAILED}"]
    assert github.comments == [(2, "The same as #1.")]


def test_what_is_not_ours_is_left_alone(github, play):
    body = "<!-- backburn: reproduce failed [digits] -->"
    github._open({"title": "no label", "body": body, "labels": []})
    github._open({"title": "a pull request", "body": body, "labels": ["backburn"], "pull_request": {}})
    github._open({"title": "a person's", "body": None, "labels": ["backburn"]})
    assert play(*red()) == [f"open: {FAILED}"]
    assert mended(play) == [f"close #4: {FAILED}"]


def test_a_body_that_somebody_edited_is_found_by_its_marker(github, play):
    play(*red())
    github.issues[0]["body"] = "We know.\n<!-- backburn: reproduce failed [digits] -->"
    assert play(*red()) == [f"update #1: {FAILED}"]
    assert "nights: 1, run: 2" in github.issues[0]["body"]


@pytest.mark.parametrize(
    "evil",
    ["@everyone", "#1", "https://evil.example", "<img src=x>", "--> <!-- nights: 9", "`x`", "``` \n# h", "| a |"],
)
def test_what_a_training_wrote_is_shown_as_code_and_as_nothing_else(github, play, evil):
    """Outside of code spans, nothing of it is left in body or comment; and no line begins with it."""
    outcome = (
        report()
        .outcomes[0]
        .__class__(
            check=f"reproduce/{evil}",
            claim="",
            training="digits",
            findings=report(said=f"a {evil} b").outcomes[0].findings,
        )
    )
    figures = (report().figures[0].__class__(name=f"f {evil}", value=1.0, unit=evil, training="digits"),)
    play(*red())
    play(*three(reproduce=report(outcomes=(outcome,), figures=figures), profile=report("profile", interrupted=evil)))
    texts = [one["body"] for one in github.issues] + [text for _, text in github.comments]
    assert len(texts) == 3
    for text in texts:
        visible = "\n".join(line for line in text.splitlines() if not line.startswith("<!-- "))
        outside = "".join(visible.split("`")[::2])
        assert visible.count("`") % 2 == 0
        assert not [
            one for one in ("everyone", "#1", "evil", "img", "--> <", "x", "# h") if one in evil and one in outside
        ]
        assert [len(row.replace("\\|", "").split("|")) for row in visible.splitlines() if row.startswith("|")] in (
            [8] * 5,
            [],
        )
    ours = [line for line in github.issues[0]["body"].splitlines() if line.startswith("<!--")]
    assert (
        len(ours) == 2 and ours[1].startswith("<!-- nights: 2, run: 2, cause: reproduce/") and ours[1].count(">") == 1
    )


def test_a_body_stays_below_githubs_limit():
    outcomes = tuple(
        report(stage, f"t{n}" + "x" * 90, said="🔥" * 3000).outcomes[0] for n in range(20) for stage in ["reproduce"]
    )
    reports = [told(report(stage, outcomes=outcomes)) for stage in ("unit", "memorize", "reproduce", "profile")]
    one = tonight()
    many = Nightly(run=one.run, night=one.night, reports={each.stage: each for each in reports})
    changes = list(issues.plan(many, (), datetime.datetime.now(datetime.UTC)))
    assert len(changes) == 81 and max(len(change.body.encode()) for change in changes) < 65_536
    assert "| 40 more |" in changes[0].body


def test_a_time_without_a_zone_is_malformed(github, play):
    play(*red())
    mended(play)
    github.issues[0]["closed_at"] = "2026-11-21T00:00:00"
    with pytest.raises(Unjudged, match="malformed"):
        play(*red())


def test_a_training_that_is_gone_takes_its_issues_along(github, play):
    play(*three(reproduce=report(said="no"), profile=report("profile", unjudged="no GPU")))
    renamed = [report("unit", ""), report(training="new"), report("profile", "new", unjudged="no reference for x")]
    assert play(*renamed[:2]) == [f"open: {NONE}"]  # an unfinished night ends nothing
    assert set(play(*renamed, workflow="another")) == {"open: nightly: no verdict [new]", f"close #3: {NONE}"}
    assert {FAILED, UNJUDGED} < github.open_issues().keys()
    assert play(*renamed)[1:] == [f"close #2: {UNJUDGED}", f"close #1: {FAILED}"]
    assert github.comments[-1][1] == "No stage of [run 4](https://h/o/r/actions/runs/4) knows this training any more."


def test_a_night_of_which_no_report_names_a_training_ends_none(github, play):
    play(*red())
    assert play(report("unit", ""), report(training=""), report("profile", "")) == []
    assert FAILED in github.open_issues()
