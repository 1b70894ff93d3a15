"""The benchmark of reproduce: its plan holds what it claims, and a unit of each kind runs from end to end."""

import copy
import math
import random
from dataclasses import replace

import pytest

from benchmarks.memorize.lines import Lines
from benchmarks.reproduce import baselines, bugs, chances, data, histories, night, recipe, runs, table, units
from backburn.reproduction.pair import Kind

KINDS = {one.value for one in Kind}


def test_it_is_as_many_bugs_and_histories_as_the_claim_says():
    every = units.everything()
    counts = {kind: sum(unit.kind == kind for unit in every) for kind in units.MEASURES}
    assert counts["pair"] >= 120 and counts["history"] >= 100 and counts["seed"] >= 180 and counts["benign"] >= 30
    for program in recipe.PROGRAMS:
        assert sum(program in bug.truths for bug in bugs.BUGS) >= 40
    assert len({unit.name for unit in every}) == len(every)
    assert len(runs.CHANGES) == len(bugs.BUGS) + len(bugs.KEPT) + len(bugs.ROUNDED)


def test_shards_of_the_units_are_all_of_them():
    every = units.everything()
    assert sorted(unit.name for at in range(3) for unit in every[at::3]) == sorted(unit.name for unit in every)
    assert {unit.kind for unit in units.sample(40)} == {"pair", "benign", "history"}


@pytest.mark.parametrize("bug", bugs.BUGS, ids=lambda bug: bug.name)
def test_a_bug_changes_the_program_and_has_a_truth(bug):
    assert bug.truths and {*bug.truths} <= {*recipe.PROGRAMS}
    for program, truth in bug.truths.items():
        one = recipe.fresh(program)
        before = copy.copy(vars(one)) | {name: len(getattr(one, name)) for name in ("built", "edits", "validated")}
        bug.change(one)
        after = vars(one) | {name: len(getattr(one, name)) for name in ("built", "edits", "validated")}
        assert after | {"trainer": 0} != before | {"trainer": 0} or one.trainer
        assert truth.kinds and {*truth.kinds} <= KINDS
        assert callable(truth.step) or 1 <= truth.step < one.horizon
        assert vars(recipe.fresh(program)) == vars(recipe.fresh(program)) and not recipe.fresh(program).built


def test_a_truth_that_depends_on_numbers_is_read_from_the_trace():
    one = recipe.fresh("tabular")
    trace = bugs.Trace([1.0, 2.0, one.clip + 0.1, 9.0], [0.1, one.clip + 1, 0.1, 0.1], one)
    assert bugs._clipped(trace) == 3 and bugs._clipped_by_value(trace) == 2
    batches = data.served(one, one.seed, 40)
    assert sorted(sum(batches[:22], [])) == [*range(data.PART["tabular"])] and len(batches[21]) < one.batch
    assert trace.served(batches[2]) == 3 and trace.served([batches[1][0], batches[3][1]]) == 2


@pytest.mark.parametrize(
    ("name", "places", "right"),
    [
        ("net.drop", ("net.drop",), True),
        ("net.blocks.0.attention.proj", ("net.blocks.0.attention",), True),
        ("net.dropout", ("net.drop",), False),
        ("average_net_weight", ("average_",), True),
        ("", ("loss",), True),
        ("", ("net.drop",), False),
        ("lr", ("lr",), True),
        ("anything", (), True),
    ],
)
def test_a_place_is_right_where_it_is_the_one_or_inside(name, places, right):
    assert units.is_place(name, places) is right


def test_megatron_lets_a_step_in_a_hundred_be_off_and_no_more():
    golden = [1.0 + 0.01 * step for step in range(200)]
    two = [one * 1.06 if step < 2 else one for step, one in enumerate(golden)]
    three = [one * 1.06 if step < 3 else one for step, one in enumerate(golden)]
    assert not baselines.megatron(golden, two) and baselines.megatron(golden, three)
    assert baselines.megatron(golden, [math.nan] * 200) and not baselines.megatron(golden, [x * 1.04 for x in golden])


def test_the_other_rules_alarm_and_do_not():
    seeds = [{"loss": value} for value in (1.0, 1.1, 0.9, 1.05, 0.95)]
    assert not baselines.three_sd(seeds, {"loss": 1.2}) and baselines.three_sd(seeds, {"loss": 1.3})
    assert baselines.three_sd(seeds, {"loss": math.nan}) and baselines.three_sd(seeds, {})
    assert baselines.bitwise([1.0, 2.0], [1.0, 2.0 + 1e-15], {}, {}) and not baselines.bitwise(
        [1.0], [1.0], {}, {"a": 1}
    )
    reference = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0]
    assert baselines.rcp(reference, [1.2, 1.21, 1.19]) and not baselines.rcp(reference, [1.0, 1.01, 0.99])
    assert not baselines.rcp(reference, [0.5, 0.51, 0.49]) and baselines.rcp(reference, [math.nan, 1.0, 1.0])


@pytest.fixture
def short(monkeypatch):
    """Programs that train a second less, and a stage that asks for fewer runs."""
    one = replace(recipe.PROGRAMS["tabular"], horizon=30, warmup=4)
    monkeypatch.setitem(recipe.PROGRAMS, "tabular", one)
    monkeypatch.setattr(units, "asks_for_seeds", lambda unit: False)
    monkeypatch.setattr(night, "CONFIG", night.reproduce.Config(seeds=3, ulps=1, self_steps=5, fresh=1))


def test_a_bug_is_caught_located_and_written_down(short, tmp_path):
    program = night.Program("tabular", Lines(tmp_path / "lines", "test"), tmp_path)
    line = units.measured(units.Unit("pair", "tabular", "gelu by tanh"), program, tmp_path / "unit")
    assert line["rung"] in night.NOTICED and line["failed"]
    assert (line["step_right"], line["kind_right"], line["place_right"]) == (True, True, True), line["said"]
    sound = units.measured(units.Unit("benign", "tabular", "documentation"), program, tmp_path / "other")
    assert (sound["rung"], sound["failed"], sound["bitwise"]) == ("identical", [], False)
    assert not {"key", "of"} & {*line, *sound}  # these are the store's
    lines = [line, sound]
    assert table.rules(lines)[table.OURS] == [(1, 1), (0, 1), (0, 0)]
    assert any("1/1 100.0 %" in row for row in table.printed(lines, {}))
    assert [*table.headline(lines, {})] == [
        "pairs", "caught", "first_step_exact", "module_right", "culprit_right", "bisect_cost", "false_regressed",
        "calibration_worst", "recording_overhead",
    ]  # fmt: skip
    assert table.headline(lines, {})["false_regressed"] is None


@pytest.mark.slow
def test_the_guilty_one_of_64_commits_is_named(tmp_path):
    for number in range(2):
        line = histories.searched(number, "tabular", tmp_path / str(number))
        assert line["right"], line


def test_a_history_is_the_same_each_time_and_holds_one_bug():
    commits, guilty = histories.history(3, "text")
    again, same = histories.history(3, "text")
    assert len(commits) == histories.COMMITS and guilty == same
    assert [one.name for one in commits.values()] == [one.name for one in again.values()]
    world = histories.World("text", commits, None)
    before = f"c{int(guilty[1:]) - 1}" if guilty != "c0" else "good"
    assert world.contents(guilty) != world.contents(before) == world.contents(guilty, (guilty,))
    assert 20 < len(world.held("c63")) < 60


def test_chance_is_what_it_is_for_normal_runs(monkeypatch):
    draw = random.Random(0)
    about = {"ended": "fit", "steps": 64, "samples": 0}
    pool = [
        night.reproduce.Told(
            **about,
            metrics={"final": draw.gauss(1.0, 0.1)},
            means=tuple((2**i, math.exp(draw.gauss(0, 0.1))) for i in range(6)),
            machine=night.reproduce.references.Machine(hardware="cpu"),
        )
        for _ in range(60)
    ]
    rates = chances.calibration(pool)
    assert [*rates] == [3, 5, 10, 20] and all(0.004 < rate < 0.025 for rate in rates.values()), rates
    assert chances.worst([0.01, 0.02, 0.004]) == 0.004
    monkeypatch.setattr(chances, "NIGHTS", 30)
    found = chances.nights(pool)
    assert found["nights"] == 30 and found["regressed"] == 0 and found["suspicious"] < 15


def test_the_cost_is_that_of_the_search_and_the_proof_is_told_beside_it():
    line = {
        "kind": "history",
        "program": "text",
        "what": "1",
        "bug": "",
        "right": True,
        "proven": True,
        "named": ["c1"],
    }
    lines = [line | {"cost": cost, "cost_with_proof": cost + 0.25} for cost in (0.1, 0.2, 0.6)]
    lines[2]["right"] = False
    found = table.found(lines)
    assert (found["culprit"], found["median cost"]) == ((2, 3), 0.2)
    assert table.headline(lines, {})["bisect_cost"] == 0.3 and table.headline(lines, {})["culprit_right"] == 0.6667
    assert dict(table.told(lines))["another commit"] == ["text 1: : ['c1']"]
