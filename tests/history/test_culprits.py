"""`blame.json` from a job that ran a training: one row per trick, and sound twins that are read and shown."""

import json
import os

import msgspec
import pytest

from backburn import evidence
from backburn.errors import UserError
from backburn.history import artifacts as wing
from backburn.history import culprits
from backburn.reproduction.culprit import Blame, Conclusion, Culprit

from .conftest import leave, three

COMMIT = "c0ffee" * 6 + "c0ff"
ONE = Culprit(commit=COMMIT, author="Ann", committer="Bob", date="2026-11-20", subject="Warm up", pull_request=12)
SOUND = Blame(training="digits", conclusion=Conclusion.FOUND, culprit=ONE, said="It differs.", commits=64, reruns=9)
EVIL = "a @everyone #1 https://evil.example <img src=x> `b | c\n--> <!-- nights: 9 -->\n# h\u202e"


@pytest.mark.parametrize("place", ["blame.json", "digits/blame.json"])
def test_it_is_read_in_the_artifact_or_in_a_folder_of_it(artifacts, place):
    leave(artifacts, *three())
    evidence.save(SOUND, artifacts / "blame-train-0" / place)
    found = wing.read(artifacts, ("unit", "reproduce", "profile"))
    assert found.blames == {"digits": SOUND} and (found.refused, found.unread) == ((), ())
    assert len(found.reports) == 3


def test_a_night_without_one_has_none(artifacts):
    assert culprits.read(artifacts) == culprits.Found(blames={}, refused=())
    (artifacts / "blame-train-0").mkdir(parents=True)
    (artifacts / "blame-train-0" / "log.txt").write_text("x")
    assert culprits.read(artifacts / "blame-train-0") == culprits.Found(blames={}, refused=())


def as_bytes(**changed):
    return json.dumps(evidence.plain(SOUND) | changed).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not readable as JSON"),
        (b"[" * 100_000, "not readable as JSON"),
        (as_bytes(kind="report"), "expected a file of kind 'blame'"),
        (as_bytes(schema=99), "schema 99 is newer"),
        (as_bytes(extra=1), "unknown field `extra`"),
        (as_bytes(training="@all"), "no name of a training: '@all'"),
        (as_bytes(training=""), "no name of a training"),
        (as_bytes(culprit=None), "is not named"),
        (as_bytes(culprit={"commit": "main"}), "no commit: 'main'"),
        (as_bytes(culprit={"commit": COMMIT + "\n"}), "no commit"),
        (as_bytes(candidates=[{"commit": "$(touch x)"}]), "no commit"),
        (as_bytes(skipped=["--all"]), "no commit: '--all'"),
        (as_bytes(hunk="x" * (1 << 18)), "over 262144 bytes"),
    ],
)
def test_what_is_none_of_ours_is_refused_and_the_night_has_its_verdict(artifacts, content, said):
    leave(artifacts, *three())
    (artifacts / "blame-train-0").mkdir()
    (artifacts / "blame-train-0" / "blame.json").write_bytes(content)
    found = wing.read(artifacts, ("unit", "reproduce", "profile"))
    assert (found.blames, found.refused, len(found.reports)) == ({}, (), 3)
    (unread,) = found.unread
    assert unread.startswith("blame-train-0: refused: ") and said in unread and unread.isprintable()


def test_a_link_or_what_would_never_end_is_not_opened(artifacts, tmp_path):
    evidence.save(SOUND, tmp_path / "elsewhere" / "blame.json")
    artifacts.mkdir()
    (artifacts / "blame-0").symlink_to(tmp_path / "elsewhere")
    for name in ("blame-1", "blame-2"):
        (artifacts / name).mkdir()
    (artifacts / "blame-1" / "blame.json").symlink_to(tmp_path / "elsewhere" / "blame.json")
    os.mkfifo(artifacts / "blame-2" / "blame.json")
    found = wing.read(artifacts, ())
    assert found.blames == {} and [one.partition(": ")[0] for one in found.unread] == ["blame-1", "blame-2"]


def test_numbers_and_texts_are_bounded():
    evil = msgspec.structs.replace(
        SOUND, cost=float("nan"), step=10**30, reruns=-5, certainty=7.0, said="x" * 9999, hunk="+\n" * 9999
    )
    one = culprits.believed(evil)
    assert (one.cost, one.step, one.reruns, one.certainty, len(one.said)) == (0.0, 10**9, 0, 0.0, 500)
    assert len(one.hunk.splitlines()) == culprits.HUNK
    assert culprits.believed(evil.__class__(training="digits")).culprit is None


def test_only_a_commit_that_was_found_is_the_first_bad_one():
    assert culprits.first_bad(SOUND) == COMMIT
    assert culprits.first_bad(None) == culprits.first_bad(Blame(training="digits")) == ""
    assert culprits.first_bad(msgspec.structs.replace(SOUND, conclusion=Conclusion.RANGE)) == ""


def test_all_that_is_known_is_told():
    more = {"step": 13, "cause": "clip", "module": "encoder", "op": "aten.mm", "file": "t.py", "hunk": "-a\n+b"}
    more |= {
        "proof": "Back again.",
        "proven": True,
        "inherited": 40,
        "skipped": (COMMIT,),
        "cost": 0.314,
        "others": (ONE,),
    }
    text = culprits.told(msgspec.structs.replace(SOUND, **more), "https://h/o/r", "run 7")
    assert text.startswith(
        f"**First bad commit:** [`c0ffeec0ffee`](https://h/o/r/commit/{COMMIT}) `Warm up` by `Ann` of `2026-11-20`, "
        "committed by `Bob`, pull request [12](https://h/o/r/pull/12)\n\n`It differs.`\n\n| where | what |\n"
    )
    assert "| operation | `aten.mm` |" in text and "```diff\n-a\n+b\n```" in text and "**Proof:** `Back again.`" in text
    assert "**It is not the only one:**\n\n- [`c0ffee" in text
    told = "64 commits (40 of them changed nothing that it reaches, 1 could not be trained), 9 reruns, "
    assert text.endswith(f"{told}0.31 of one full training. Searched by run 7.")
    elsewhere = culprits.told(SOUND, "", "run 7")
    assert "`c0ffeec0ffee` `Warm up`" in elsewhere and "](" not in elsewhere and "No proof was tried." in elsewhere


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"conclusion": Conclusion.RANGE, "candidates": (ONE, ONE)},
            "**The first bad commit is one of these:**\n\n- `c0",
        ),
        ({"conclusion": Conclusion.UNJUDGED}, "`It differs.`\n\n64 commits, 9 reruns. Searched by run 7."),
        ({"statistical": True, "certainty": 0.971, "proof": "No."}, "**No proof:** `No.` (certain to 97.1 %)"),
    ],
)
def test_what_was_not_found_is_not_claimed(change, said):
    text = culprits.told(msgspec.structs.replace(SOUND, **change), "", "run 7")
    assert said in text and ("First bad commit" in text) is ("statistical" in change)


def test_what_an_author_or_a_training_wrote_is_shown_as_code_and_as_nothing_else():
    evil = {name: EVIL for name in ("said", "cause", "module", "op", "file", "proof")}
    who = Culprit(commit=COMMIT, author=EVIL, committer=EVIL + "x", date=EVIL, subject=EVIL)
    hunk = f"+```\n+````\n+<!-- /culprit -->\n<!-- /culprit -->\n+{EVIL}"
    blame = msgspec.structs.replace(SOUND, culprit=who, others=(who,), hunk=hunk, **evil)
    text = culprits.told(culprits.believed(blame), "", "run 7")
    prose, fence, rest = text.partition("\n\n`````diff\n")
    inside, end, after = rest.partition("\n`````\n")
    assert fence and end and "<!-- /culprit" not in inside and "`````" not in inside
    outside = "".join("\n".join([prose, after]).split("`")[::2])
    assert not [one for one in ("@", "#1", "https", "<", "h\n", "\u202e") if one in outside]
    assert "\u202e" not in text and {len(row.split("|")) for row in prose.splitlines() if row.startswith("|")} == {4}


def test_a_training_has_a_name():
    with pytest.raises(UserError, match="no name of a training"):
        culprits.believed(Blame(training="a b"))
