"""docs/runner.md is true: its commands are there, its figures are those that were measured."""

import json
import re

import pytest

from backburn.pool.door import pool as door
from tests.conftest import REPOSITORY
from tests.markdown import blocks

PAGE = (REPOSITORY / "docs/runner.md").read_text(encoding="utf-8")
ROWS = json.loads((REPOSITORY / "benchmarks/pool/results.json").read_text())["rows"]


def table(head, page=PAGE):
    """The cells of the table whose head begins so."""
    rows = page.partition(f"\n| {head} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in rows.splitlines()[2:]]


def figures(cell):
    """The numbers of a cell that are figures: those of names, codes and commands are not."""
    plain = re.sub(r"`[^`]*`|\bF\d+|\b(429|95 %)|secondary", "", cell)
    return [float(one.replace(",", "")) for one in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", plain)]


def storm(key):
    return [one[key] for name, one in ROWS["F4"].items() if name != "secondary limit"]


F1, TIMES, F2, SAME, F3 = (ROWS[name] for name in ("F1 real", "F1 virtual", "F2", "F2 peer: the same name again", "F3"))
ON, OFF = ([one for name, one in F3.items() if name.endswith(f"live-restore {how}")] for how in ("on", "off"))
DRAINS, LOOKED = ROWS["F9 virtual"], ROWS["F9 peer: look, then kill"]
F5, F7, F8, F9, F10, F11, F13 = (ROWS[name] for name in ("F5", "F7", "F8", "F9 real", "F10", "F11", "F13"))
ANY, WEEKS = ROWS["F12 any order"], ROWS["F12 weeks"]

# Row -> the figures of its two cells, in their order.
MEASURED = {
    "F1": (
        [F1["points"], F1["kills"], TIMES["kills"]],
        [F1["jobs_lost"], F1["jobs"], TIMES["jobs_lost"], TIMES["jobs"], F1["orphans"] + TIMES["orphans"]],
    ),
    "F2": (
        [F2["registrations"], F2["faults"]],
        [F2["orphans"], F2["most_at_once"], F2["gone_after_p95_s"], F2["gone_after_max_s"]]
        + [SAME["orphans"], SAME["registrations"]],
    ),
    "F3": (
        [ON[0]["n"]],
        [sum(one["jobs_survived"] for one in ON), sum(one["n"] for one in ON)]
        + [sum(one["named_right"] for one in OFF), sum(one["n"] for one in OFF)]
        + [max(one["recovery_max_s"] for one in F3.values())],
    ),
    "F4": ([8], [max(storm("recovery_s")), ROWS["F4"]["secondary limit"]["recovery_s"]]),
    "F5": ([F5["ends"]], [F5["right"], F5["ends"], F5["freed_after_s"]]),
    "F7": ([F7["times"]], [F7["jobs_lost"], F7["resumed_after_s"]]),
    "F8": ([15, F8["jumps"]], [F8["ended_by_it"], F8["jobs_lost"], F8["jobs"], F8["refused_of_8"], 8]),
    "F9": ([F9["drains"], DRAINS["drains"]], [F9["lost"] + DRAINS["lost"], LOOKED["struck"], LOOKED["drains"]]),
    "F10": (
        [F10["jobs"], F10["slots"], 200],
        [F10["rearm_p50_s"], F10["rearm_p95_s"], F10["rss_mb"], F10["rss_growth_mb"]],
    ),
    "F11": ([F11["look_alikes"]], [len(F11["touched"])]),
    "F12": (
        [ANY["steps"], len(WEEKS["seeds"])],
        [ANY["broken"] + WEEKS["broken"], WEEKS["jobs_lost"], WEEKS["jobs"], WEEKS["kills"]],
    ),
    "F13": ([F13["secrets"]], [len(F13["found"])]),
}

if "F6 rows" in ROWS:
    ILL, NOISE, DRIVER = (ROWS[f"F6 {name}"] for name in ("rows", "noise", "driver"))
    MEASURED["F6"] = (
        [ILL["rows"]],
        [round(100 * ILL["gate_blocked"], 2), ILL["questions"]]
        + [round(100 * NOISE["false_quarantine"], 2), NOISE["leases"], DRIVER["nvml_block_max_s"]],
    )


@pytest.mark.parametrize("row", MEASURED)
def test_a_fault_has_the_figures_that_were_measured(row):
    (cells,) = (one[1:] for one in table("row") if one[0] == row)
    assert [figures(cell) for cell in cells] == [*MEASURED[row]]


def test_what_the_faults_say_without_a_figure_is_so():
    assert F1["armed"] and not F1["missed"] and not TIMES["broken"] and not DRAINS["broken"]
    assert all(one["of_allowed"] <= 1.0 and not one["jobs_lost"] for one in ROWS["F4"].values())
    assert F5["hang_s"] == 4 and not F7["corrupt"] and F11["second_refused"] and WEEKS["days"] == 7


def test_every_row_of_the_benchmark_is_there():
    rows = [one[0] for one in table("row")]
    assert rows == [f"F{number}" for number in range(1, 14)]
    assert {name.split()[0] for name in ROWS if name.startswith("F")} <= set(rows)


def test_a_figure_that_was_not_measured_is_seen():
    assert figures("0 of 1,055 jobs lost, within `4s` and 0.93 s, 95 % of them") == [0, 1055, 0.93]


def typed():
    """The words of every command line of the page that sets a machine up, or takes it back."""
    lines = [line for one in blocks("docs/runner.md", PAGE) if one.language == "sh" for line in one.text.splitlines()]
    return [line.split("setup.sh ")[1].split() for line in lines if "setup.sh " in line]


@pytest.mark.parametrize("words", typed(), ids=" ".join)
def test_every_option_of_setup_is_there(words):
    verb = door.commands["uninstall" if "--uninstall" in words else "setup"]
    known = {name for option in verb.params for name in option.opts} | {"--uninstall"}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_doctor_looks_at_as_many_things_as_the_page_says():
    from backburn.pool.doctor.checks import TABLE

    assert len(TABLE) == 16 and "[sixteen things]" in PAGE


@pytest.mark.parametrize("place", ["/opt/backburn-pool", "/etc/backburn", "backburn-pool.service", "backburn-pool"])
def test_what_setup_makes_has_the_name_that_the_page_says(place):
    from backburn.pool.doctor.account import USER
    from backburn.pool.setup.request import Places
    from backburn.pool.setup.service import UNIT

    assert place in {str(Places().toolkit), str(Places().etc), UNIT, USER} and f"`{place}`" in PAGE


def test_quarantines_are_called_what_status_calls_them():
    from backburn.pool.lease import Kind

    said = {word for row in table("`backburn pool status` says") for word in re.findall(r"[a-z]+", row[0])}
    assert {kind.value for kind in Kind} - {"ordered"} <= said
