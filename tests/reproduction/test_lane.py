"""A sliding lane's nights, read from a real branch, and what is said of tonight."""

import json
import subprocess

import pytest

from backburn.errors import Unjudged
from backburn.reproduction import lane
from backburn.reproduction.sliding import Lane, Point

NIGHT = {"ref": "refs/heads/main", "commit": "c0ffee"}


def line(day, value, fixed=None, *, reused=(), hardware="cpu-avx2", **about):
    figures = {"recent": {"final val_loss": value, "final seconds": 3.0, "steps": 9}} if value is not None else {}
    figures |= {"digits": {"final val_loss": fixed}} if fixed is not None else {}
    stage = {"verdict": "pass", "figures": figures, "hardware": {"recent": hardware} if hardware else {}}
    stages = {"reproduce": stage | {"reused": list(reused)}}
    return json.dumps({"date": f"2026-11-{day:02}T03:23:00Z", "stages": stages, **NIGHT, **about})


def git(folder, *words):
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path):
    """`clone(*lines)`: a repository whose history branch holds them, as a checkout of all branches has it."""

    def make(*lines, month="2026-11"):
        git(tmp_path, "init", "-q", "-b", "main")
        (tmp_path / "nights").mkdir(exist_ok=True)
        (tmp_path / "nights" / f"{month}.jsonl").write_text("\n".join(lines) + "\n")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", "nights")
        git(tmp_path, "update-ref", "refs/remotes/origin/backburn-history", "HEAD")
        return tmp_path

    return make


def read(root, environ=None, hardware="cpu-avx2"):
    return lane.read(root, "recent", "digits", hardware, environ or {"GITHUB_REF": "refs/heads/main"})


def test_nights_are_read_in_order_with_those_of_the_fixed_lane(clone):
    found = read(clone(line(1, 0.4, 0.3), line(2, 0.5, 0.31)))
    assert [(one.date[:10], one.figures, one.beside) for one in found.points] == [
        ("2026-11-01", {"val_loss": 0.4}, {"val_loss": 0.3}),
        ("2026-11-02", {"val_loss": 0.5}, {"val_loss": 0.31}),
    ]
    assert (found.fixed, found.where) == ("digits", "refs/remotes/origin/backburn-history")


def test_a_fixed_lane_that_was_not_started_is_what_it_was_and_one_that_crashed_is_unknown(clone):
    found = read(clone(line(1, 0.4, 0.3), line(2, 0.5, reused=["digits"]), line(3, 0.6)))
    assert [one.beside for one in found.points] == [{"val_loss": 0.3}, {"val_loss": 0.3}, {}]


@pytest.mark.parametrize(
    "other",
    [
        line(2, 9.0, ref="refs/heads/try"),
        line(2, 9.0, hardware="nvidia-h200"),
        line(2, None),
        line(2, float("nan")),
        "not JSON",
        '{"date": 3}',
        "[" * 100_000,
        json.dumps({"date": "x", "ref": "refs/heads/main", "stages": {"reproduce": {"figures": []}}}),
    ],
)
def test_what_is_no_night_of_this_lane_is_passed_over(clone, other):
    found = read(clone(line(1, 0.4), other, line(3, 0.5)))
    assert [one.figures for one in found.points if one.figures] == [{"val_loss": 0.4}, {"val_loss": 0.5}]


def test_an_older_line_without_hardware_counts_and_on_a_laptop_every_branch_does(clone):
    root = clone(line(1, 0.4, hardware=""), line(2, 0.5, ref="refs/heads/try"))
    assert len(read(root).points) == 1 and len(read(root, {"HOME": "x"}).points) == 2


def test_without_the_branch_there_are_no_nights(tmp_path):
    git(tmp_path, "init", "-q")
    assert read(tmp_path) == Lane(fixed="digits")
    with pytest.raises(Unjudged, match="0 of 10 nights .* backburn-history, which this clone has not") as error:
        list(lane.judged(read(tmp_path), Point(date="", figures={"x": 1.0}), 0.003))
    assert "fetch-depth: 0" in error.value.hint


@pytest.mark.parametrize(
    ("content", "beside"),
    [
        ('{"told": [{"metrics": {"val_loss": 0.3, "seconds": 4, "bad": "nan"}}]}', {"val_loss": 0.3}),
        ('{"told": [null]}', {}),
        ('{"told": [{"metrics": 3}]}', {}),
        ("{", {}),
        (None, {}),
    ],
)
def test_tonight_knows_what_ran_before_it(tmp_path, content, beside):
    if content is not None:
        (tmp_path / "digits").mkdir()
        (tmp_path / "digits" / "evidence.json").write_text(content)
    now = lane.tonight({"val_loss": 0.4, "seconds": 9.0, "bad": float("nan")}, tmp_path / "recent", "digits")
    assert (now.figures, now.beside) == ({"val_loss": 0.4}, beside)
    assert lane.tonight({}, tmp_path / "recent", "").beside == {}


NIGHTS = tuple(
    Point(date=str(day), figures={"val_loss": 0.4 + day % 3 / 100}, beside={"val_loss": 0.3}) for day in range(12)
)


@pytest.mark.parametrize(
    ("points", "figures", "said"),
    [
        (NIGHTS, {}, "no metric was logged"),
        (NIGHTS[:9], {}, "9 of 10 nights"),
        (NIGHTS, {"val_auc": 0.9}, "0 of 10 nights"),
    ],
)
def test_what_has_no_metric_that_was_there_before_is_no_pass(points, figures, said):
    with pytest.raises(Unjudged, match=said):
        list(lane.judged(Lane(points=points), Point(date="", figures=figures), 0.003))


def test_a_metric_that_is_gone_is_told():
    points = tuple(Point(date="", figures=one.figures | {"val_acc": 0.9}) for one in NIGHTS)
    (said,) = lane.judged(Lane(points=points), Point(date="", figures={"val_loss": 0.41}), 0.003)
    assert said == "val_acc was not measured, and the last night had it"


def test_a_night_that_is_off_says_what_the_data_and_what_the_code_did():
    sound = Point(date="", figures={"val_loss": 0.41}, beside={"val_loss": 0.3})
    assert list(lane.judged(Lane(points=NIGHTS), sound, 0.003)) == []
    (said,) = lane.judged(
        Lane(points=NIGHTS), Point(date="", figures={"val_loss": 0.8}, beside={"val_loss": 0.3}), 0.003
    )
    assert said.startswith("val_loss is 0.8, ") and " sd off the 12 nights of this lane before" in said
    assert said.endswith("; since the last night: data +90.5 %, code +0.0 %")
    still = Lane(points=tuple(Point(date="", figures={"val_loss": 0.4}) for _ in NIGHTS))
    (said,) = lane.judged(still, sound, 0.003)
    assert said.startswith("val_loss is 0.41, and it had not moved in the 12 nights")
    both = Point(date="", figures={"val_loss": 0.8}, beside={"val_loss": 0.6})
    assert list(lane.judged(Lane(points=NIGHTS), both, 0.003)) == []
