"""From lines to figures: what was caught and let pass by each rule, what was said of it, and how chance behaves."""

import statistics

from benchmarks.memorize.table import wilson

from . import chances, night

OURS = "backburn.reproduce"
RULES = {
    "Megatron-LM, 5 % of 1 % of steps": "megatron",
    "mean ± 3 s of five seeds": "three_sd",
    "MLPerf RCP": "rcp",
    "bitwise golden": "bitwise",
}


def ours(line):
    """Whether a night reaches CHANGED or worse."""
    return line["rung"] in night.NOTICED


def rules(lines):
    """Rule -> (caught, pairs), (alarmed, kept to the bit), (alarmed, same but for rounding)."""
    pairs = [line for line in lines if line["kind"] == "pair"]
    kept, rounded = ([line for line in lines if line["kind"] == "benign" and line["kept"] == one] for one in (1, 0))
    rows = {OURS: [_count(map(ours, part)) for part in (pairs, kept, rounded)]}
    failed = [_count(bool(line["failed"]) for line in part) for part in (pairs, kept, rounded)]
    rows["  of which a check fails"] = failed
    for title, key in RULES.items():
        rows[title] = [_count(line[key] for line in part if line[key] is not None) for part in (pairs, kept, rounded)]
    return rows


def _count(hits):
    told = [*hits]
    return sum(told), len(told)


def said(lines):
    """What was said of the pairs: the share whose first step, kind, and kind with place were right."""
    pairs = [line for line in lines if line["kind"] == "pair"]
    keys = {"first step": "step_right", "kind": "kind_right", "kind and module": "place_right"}
    return {title: _count(line[key] for line in pairs) for title, key in keys.items()}


def found(lines):
    """Of the histories: named rightly, and the cost in full trainings until then, both ends confirmed."""
    told = [line for line in lines if line["kind"] == "history"]
    costs = sorted(line["cost"] for line in told)
    if not told:
        return {}
    return {
        "culprit": _count(line["right"] for line in told),
        "proven": _count(line["proven"] for line in told),
        "mean cost": statistics.fmean(costs),
        "median cost": statistics.median(costs),
        "p95 cost": costs[min(len(costs) - 1, round(0.95 * len(costs)))],
        "mean cost, proof included": statistics.fmean(line["cost_with_proof"] for line in told),
    }


def chance(pools):
    """Program -> its 365 nights and its calibration; of the pools that there are enough runs of."""
    return {
        program: chances.nights(pool) | {"calibration": chances.calibration(pool)}
        for program, pool in pools.items()
        if len(pool) > max(chances.KS)
    }


def headline(lines, chanced):
    """The figures that are claimed; null where nothing was measured."""
    shares, located, searched = rules(lines), said(lines), found(lines)
    costs = [line["overhead"] for line in lines if line["kind"] == "cost"]
    rates = [statistics.fmean(row["calibration"][many] for row in chanced.values()) for many in chances.KS if chanced]
    return {
        "pairs": shares[OURS][0][1],
        "caught": _share(shares[OURS][0]),
        "first_step_exact": _share(located["first step"]),
        "module_right": _share(located["kind and module"]),
        "culprit_right": _share(searched["culprit"]) if searched else None,
        "bisect_cost": round(searched["mean cost"], 4) if searched else None,
        "false_regressed": sum(row["regressed"] for row in chanced.values()) if chanced else None,
        "calibration_worst": round(chances.worst(rates), 5) if rates else None,
        "recording_overhead": round(max(costs), 5) if costs else None,
    }


def _share(count):
    hits, of = count
    return round(hits / of, 4) if of else None


def printed(lines, chanced):
    """The table, as text."""
    yield f"{'':36}{'caught of the bugs':>28}{'alarms, same bits':>26}{'alarms, same but rounding':>28}"
    for title, counts in rules(lines).items():
        yield f"{title:36}{_shown(counts[0]):>28}{_shown(counts[1]):>26}{_shown(counts[2]):>28}"
    yield ""
    for title, count in said(lines).items():
        yield f"{'right: ' + title:36}{_shown(count):>28}"
    for title, value in found(lines).items():
        shown = _shown(value) if isinstance(value, tuple) else f"{value:.3f} of one training"
        yield f"{'64 commits: ' + title:36}{shown:>28}"
    for line in lines:
        if line["kind"] == "cost":
            yield f"{'recording, ' + line['program']:36}{100 * line['overhead']:>+26.2f} %"
    for program, row in chanced.items():
        rates = ", ".join(f"k = {many}: {100 * rate:.2f} %" for many, rate in row["calibration"].items())
        what = f"{row['regressed']} regressed of {row['nights']}, {row['suspicious']} suspicious"
        yield f"{'nights of ' + program:36}{what}"
        yield f"{'  beyond a limit of 1 %':36}{rates}"


def _shown(count):
    hits, of = count
    if not of:
        return "-"
    low, high = wilson(hits, of)
    return f"{hits}/{of} {100 * hits / of:.1f} % ({100 * low:.0f}-{100 * high:.0f})"


def told(lines):
    """(title, rows) to look at: what was missed or named wrongly, and what alarmed."""
    pairs = [line for line in lines if line["kind"] == "pair"]
    yield "not noticed", [_one(line, line["rung"]) for line in pairs if not ours(line)]
    wrong = [line for line in pairs if not (line["step_right"] and line["place_right"])]
    yield "named otherwise", [_one(line, f"{line['said']}, not {_truth(line)}") for line in wrong]
    sound = [line for line in lines if line["kind"] == "benign" and (ours(line) or line["failed"])]
    yield "false alarms", [_one(line, f"{line['rung']} {' '.join(line['failed'])}") for line in sound]
    lost = [line for line in lines if line["kind"] == "history" and not line["right"]]
    yield "another commit", [f"{line['program']} {line['what']}: {line['bug']}: {line['named']}" for line in lost]


def _one(line, what):
    return f"{line['program']:8} {line['what']:42} {what}"


def _truth(line):
    return f"step {line['true_step']}, {'/'.join(line['true_kinds'])} {' '.join(line['true_places'])}".rstrip()
