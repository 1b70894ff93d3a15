import json
import sys
from types import SimpleNamespace

import pytest

from benchmarks.memorize import baselines, plan, table, verdicts
from benchmarks.memorize.baselines import trainings
from benchmarks.memorize.lines import Lines
from benchmarks.memorize.task import Knobs, Mutant, Program, Task

SOUND = Program(name="sound", family="mlp", build=lambda knobs: Task(module=knobs, data=[]), knobs=frozenset({"lr"}))
WRONG = Mutant(name="L01-sign", title="", causes=("loss-sign",), applies=lambda program: True, apply=lambda task: None)


def pair(verdict="fail", *, program="sound", mutant="L01-sign", seed=0, right=1, part="held_out", cpu=0.1):
    line = {"key": f"{program} {mutant} {seed}", "kind": "pair", "part": part, "program": program, "mutant": mutant}
    return line | {"seed": seed, "verdict": verdict, "right": right, "cpu": cpu, "referred": True}


def benign(verdict="pass", referred=True, part="held_out"):
    line = {"key": "", "kind": "benign", "part": part, "program": "sound", "item": "sound lr=3", "seed": 0}
    return line | {"verdict": verdict, "referred": referred, "right": 0, "cpu": 0.2}


@pytest.mark.parametrize(
    "hits, of, low, high",
    [
        (0, 10, 0.0, 0.2775),  # z² / (n + z²)
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, doi 10.1002/(SICI)1097-0258(19980430)17:8<857, table I, (a)
        (15, 148, 0.0624, 0.1605),  # the same, example (b)
        (0, 20, 0.0, 0.1611),  # (c)
        (1, 29, 0.0061, 0.1718),  # (d)
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_is_what_was_published(hits, of, low, high):
    assert table.wilson(hits, of) == pytest.approx((low, high), abs=5e-5)


def test_recall_is_of_pairs_alike_and_of_mutants_alike():
    lines = [pair(), pair(program="b"), pair(program="c"), pair("pass", mutant="M01-frozen")]
    found = table.ours(lines)
    assert (found["pairs"], found["recall"], found["recall_per_mutant"]) == (4, 0.75, 0.5)


@pytest.mark.parametrize("verdict", ["pass", "unjudged", "crash", "timeout"])
def test_only_a_failed_report_is_a_bug_caught(verdict):
    assert table.ours([pair(verdict)])["recall"] == 0
    assert table.ours([pair(verdict)])["crashes"] == (verdict in {"crash", "timeout"})


def test_a_pair_that_could_not_be_built_is_no_pair_but_is_told():
    broken = pair("broken") | {"message": "KeyError: 'net'"}
    assert table.ours([broken])["pairs"] == 0
    assert any("KeyError" in line for line in dict(table.told([broken], []))["broken"])


def test_false_alarms_are_counted_with_the_reference_and_without():
    lines = [benign(), benign("fail"), benign(), benign(), benign("fail", False), benign("unjudged", False)]
    found = table.ours(lines)
    assert (found["benign"], found["false_alarm_rate"], found["false_alarm_rate_without_reference"]) == (4, 0.25, 0.5)


def test_a_cause_is_right_of_what_was_caught():
    lines = [pair(right=1), pair(program="b", right=3), pair(program="c", right=4), pair("pass", program="d", right=0)]
    found = table.ours(lines)
    assert (found["cause_first"], found["cause_first_three"]) == (0.3333, 0.6667)


def test_a_flake_is_a_pair_whose_seeds_disagree():
    steady = [pair(seed=seed) for seed in (0, 1, 2)]
    mixed = [pair("pass" if seed else "fail", program="b", seed=seed) for seed in (0, 1, 2)]
    assert table.ours([*steady, *mixed, pair(program="c")])["flake_rate"] == 0.5


def test_seconds_are_the_median_and_the_one_that_95_of_100_stay_below():
    found = table.ours([pair(program=str(number), cpu=number / 100) for number in range(1, 101)])
    assert (found["median_seconds"], found["p95_seconds"]) == (0.505, 0.95)


def scored(score, kind, part="tuning", verdict=""):
    line = {"key": "tool x", "kind": kind, "part": part, "program": "sound", "mutant": "m", "cpu": 1.0}
    return line | ({"verdict": verdict} if verdict else {"score": score})


def test_a_baseline_has_the_bar_that_is_best_on_the_tuning_part():
    lines = [scored(0.9, "pair"), scored(0.4, "pair"), scored(0.2, "benign"), scored(0.3, "benign")]
    assert table.bar(lines) == 0.4
    aside = [
        scored(0.35, "pair", "held_out"),
        scored(0.5, "benign", "held_out"),
        scored(0, "pair", "held_out", "crash"),
    ]
    bars = table.bars(lines + aside, [SimpleNamespace(name="tool"), SimpleNamespace(name="other")])
    assert bars == {"tool": 0.4, "other": None}
    found = table.block("held_out", [], lines + aside, bars)["tool"]
    assert (found["recall"], found["false_alarm_rate_without_reference"], found["limit"]) == (0.5, 1.0, 0.4)


def test_a_baseline_that_cannot_tell_them_apart_is_best_silent_but_for_what_breaks():
    limit = table.bar([scored(0.0, "pair"), scored(0.0, "benign")])
    lines = [scored(0.0, "pair"), scored(0.0, "pair", verdict="crash")]
    assert table.baseline(lines, limit)["recall"] == 0.5


def test_the_table_has_a_row_for_each_tool_and_a_dash_where_nothing_is_known():
    rows = {"ours": table.ours([pair(), benign(), benign("fail", False)]), "theirs": table.baseline([], None)}
    head, ours, theirs = table.printed("held_out", rows).splitlines()
    assert head.startswith("part: held out") and "100.0 % (20.6-100.0)" in ours and theirs.split().count("-") >= 5


def test_the_headline_is_met_by_what_was_to_be_reached_alone():
    def claimed(lines, part="held_out"):
        return table.headline({"tuning": {table.OURS: {}}, part: {table.OURS: table.ours(lines)}})

    lines = [pair(seed=seed) for seed in (0, 1, 2)] + [benign(), benign(referred=False)]
    assert claimed(lines)["met"] is True and claimed(lines)["part"] == "held_out"
    assert claimed(lines + [benign("fail")])["met"] is False
    assert claimed(lines, "tuning")["part"] == "tuning"
    assert table.headline({})["met"] is False


def test_what_is_in_the_file_is_not_judged_again(tmp_path):
    asked = []
    make = lambda: asked.append(1) or {"verdict": "fail"}  # noqa: E731
    first = Lines(tmp_path, "one").once("pair a", make)
    with Lines(tmp_path, "one").file.open("a") as file:
        file.write('{"key": "pair b", "of": "one", "verd')  # as a process that was killed leaves it
    again = Lines(tmp_path, "one")
    assert again.once("pair a", make) == first and len(asked) == 1
    again.once("pair b", make)
    Lines(tmp_path, "another").once("pair a", make)  # the sources changed: from the start
    assert len(asked) == 3


def test_lines_of_another_machine_count_where_its_sources_were_the_same(tmp_path):
    shard = tmp_path / "shard.jsonl"
    shard.write_text("".join(json.dumps({"key": of, "of": of}) + "\n" for of in ("one", "two")))
    assert set(Lines(tmp_path / "here", "one", [shard]).known) == {"one"}


@pytest.fixture
def everything(monkeypatch):
    programs = [Program(name=f"p{at}", family="", build=SOUND.build, knobs=SOUND.knobs) for at in range(4)]
    mutants = [
        Mutant(name=f"m{at}", title="", causes=(), applies=lambda one, at=at: one.name != f"p{at}", apply=WRONG.apply)
        for at in range(4)
    ]
    standing = {
        "programs": SimpleNamespace(PROGRAMS=tuple(programs[:3])),
        "mutants": SimpleNamespace(MUTANTS=tuple(mutants[:3])),
        "held_out": SimpleNamespace(PROGRAMS=tuple(programs[3:]), MUTANTS=tuple(mutants[3:])),
    }
    for name, one in standing.items():
        monkeypatch.setattr(f"benchmarks.memorize.{name}", one, raising=False)
        monkeypatch.setitem(sys.modules, f"benchmarks.memorize.{name}", one)
    plan.everything.cache_clear()
    baselines._sample.cache_clear()
    yield plan.everything()
    plan.everything.cache_clear()
    baselines._sample.cache_clear()


def test_set_aside_is_all_but_tuning_mutants_in_tuning_programs(everything):
    parts = {(item.program.name, item.mutant.name): item.part for item in everything if isinstance(item, plan.Pair)}
    assert len(parts) == 4 * 4 - 4  # each mutant leaves one program alone
    assert parts["p0", "m1"] == "tuning" and parts["p0", "m3"] == parts["p3", "m0"] == "held_out"
    commits = [item for item in everything if isinstance(item, plan.Benign)]
    assert {item.part for item in commits if item.program.name == "p3"} == {"held_out"}
    assert len({item.name for item in everything}) == len(everything)


def test_work_on_the_tuning_part_does_not_import_what_is_set_aside(everything, monkeypatch):
    tuning = [item.name for item in everything if item.part == "tuning"]
    monkeypatch.delattr("benchmarks.memorize.held_out")
    monkeypatch.setitem(sys.modules, "benchmarks.memorize.held_out", None)
    plan.everything.cache_clear()
    assert [item.name for item in plan.everything("tuning")] == tuning
    with pytest.raises(ImportError):
        plan.everything("held_out")


def test_shards_are_all_of_it_and_share_nothing(everything):
    from benchmarks.memorize.__main__ import share

    shards = [share(everything, f"{at}/3") for at in (1, 2, 3)]
    assert sorted(item.name for shard in shards for item in shard) == sorted(item.name for item in everything)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    halves = [share(everything, one) for one in ("2/6", "5/6")]  # the second of three machines, with two processes
    assert sorted(item.name for half in halves for item in half) == sorted(item.name for item in shards[1])


def test_the_whole_is_as_many_as_the_claim_says():
    items = plan.everything()
    commits = {part: [one for one in items if isinstance(one, plan.Benign) and one.part == part] for part in plan.PARTS}
    assert sum(map(len, commits.values())) >= 600 and len(commits["held_out"]) >= 280
    assert len(items) - sum(map(len, commits.values())) >= 1000
    assert len({item.program.name for item in items}) >= 30
    assert len({item.mutant.name for item in items if isinstance(item, plan.Pair)}) >= 90


@pytest.fixture
def shown(everything, monkeypatch, tmp_path, capsys):
    """What the run of these arguments shows, all of it judged before, and what it keeps."""
    from benchmarks.memorize import __main__ as command

    monkeypatch.setattr(command, "HERE", tmp_path)
    monkeypatch.setattr(command, "FOLDER", tmp_path / "lines")

    def show(**given):
        asked = {
            "quick": False,
            "only": None,
            "mutant": None,
            "without_baselines": False,
            "part": "all",
            "baselines": None,
        }
        asked |= {"device": "cpu", "shard": "1/1", "resume": [], "engine": "e", "aside": "a"} | given
        store = Lines(command.FOLDER, "e")
        for item in everything:
            known = verdicts._of(item) | {"seed": 0, "referred": True, "verdict": "fail", "right": 1, "cpu": 0.1}
            store.once(f"{known['kind']} {item.name}", lambda known=known: known)
        command.show(SimpleNamespace(**asked))
        kept = tmp_path / "results.json"
        return capsys.readouterr().out, json.loads(kept.read_text()) if kept.exists() else None

    return show


def test_all_of_it_is_kept_with_one_line_per_verdict(shown, everything):
    told, kept = shown()
    assert json.loads(told.splitlines()[-1]) == kept["headline"]
    assert kept["headline"]["recall"] == kept["headline"]["false_alarm_rate"] == 1.0
    assert set(kept["rows"]["table"]) == set(plan.PARTS) and len(kept["rows"]["verdicts"]) == len(everything)
    assert "false alarms: 50" in told and "part: tuning" in told


def test_baselines_of_the_same_material_are_taken_over_with_their_commit(shown, tmp_path):
    _, kept = shown()
    assert kept["rows"]["baselines"] == "of this run"
    for part in plan.PARTS:
        kept["rows"]["table"][part]["torchtest"] = kept["rows"]["table"][part]["backburn.memorize"] | {"recall": 0.25}
    before = tmp_path / "before.json"
    before.write_text(json.dumps(kept))
    _, again = shown(baselines=before)
    assert again["rows"]["baselines"] == f"of {kept['commit']}"
    assert all(block["torchtest"]["recall"] == 0.25 for block in again["rows"]["table"].values())
    with pytest.raises(SystemExit, match="of other programs, mutants or baselines"):
        shown(baselines=before, aside="another")


@pytest.mark.parametrize("given", [{"quick": True}, {"only": ["p0"]}, {"mutant": ["m1"]}, {"part": "tuning"}])
def test_a_sample_of_it_is_not_kept(shown, given):
    told, kept = shown(**given)
    assert kept is None and json.loads(told.splitlines()[-1])["pairs"]


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b"])
def test_a_shard_that_there_is_not_is_refused(shard):
    from benchmarks.memorize.__main__ import shard_of

    with pytest.raises(ValueError):
        shard_of(shard)


def test_a_name_is_given_once(everything):
    with pytest.raises(ValueError, match="more than one mutant called twice"):
        plan._single("mutant", ["twice", "once", "twice"])


def test_benign_commits_are_many_and_change_only_what_a_program_answers_to():
    commits = plan.commits(SOUND, 20)
    assert len(set(commits)) == len(commits) == 20 and commits[0] == Knobs()
    assert {word.partition("=")[0] for one in commits for word in plan.differing(one)} == {"seed", "lr"}
    assert commits == plan.commits(SOUND, 20)


def test_a_sample_of_a_baseline_is_of_both_parts(everything):
    tool = baselines.Tool("tool", print, pairs=2, benign=1)
    drawn = [item for item in everything if baselines.drawn(tool, item)]
    assert sorted((item.part, type(item).__name__) for item in drawn) == [
        *[("held_out", "Benign"), ("held_out", "Pair"), ("held_out", "Pair")],
        *[("tuning", "Benign"), ("tuning", "Pair"), ("tuning", "Pair")],
    ]


def test_an_exception_of_the_engine_is_neither_caught_nor_silent():
    def ask(_):
        raise RuntimeError("ours")

    found = verdicts.timed(lambda: None, 0, ask)
    assert found["verdict"] == "crash" and "RuntimeError: ours (test_memorize_runner.py:" in found["message"]
    assert verdicts.timed(lambda: 1 / 0, 0, ask)["verdict"] == "broken"


def test_what_takes_too_long_is_cut_off_whatever_it_catches():
    def ask(_):
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue

    found = verdicts.timed(lambda: None, 0, ask, 0.05)
    assert found["verdict"] == "timeout" and 0.03 < found["wall"] < 5


def test_a_rule_on_the_loss_sees_the_ratio_and_whatever_is_not_a_number():
    def score(*seen):
        losses = trainings._losses()
        losses.seen = list(seen)
        return losses.score()

    assert score(4.0, *[1.0] * 10) == 0.25
    assert score(-1.0, *[-3.0] * 10) == -1.0 and score(-1.0, *[0.0] * 10) == 2.0
    assert score(4.0, float("nan")) == score(float("inf"), 1.0) == trainings.BAD
    assert score() == 0.0
