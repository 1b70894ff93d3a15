"""From verdicts to figures: recall, false alarms, causes, seconds and flakes of each tool, on each part."""

import math
import statistics

from benchmarks.memorize.plan import PARTS

CAUGHT = "fail"
NEITHER = {"crash", "timeout"}  # of the engine: a bug that was neither caught nor overlooked in silence
OURS = "backburn.memorize"


def wilson(hits, of, z=1.96):
    """The 95 % interval of a share (Wilson 1927, doi 10.1080/01621459.1927.10502953); (0, 1) of nothing."""
    if not of:
        return 0.0, 1.0
    share = hits / of
    middle = share + z * z / (2 * of)
    reach = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, (middle - reach) / (1 + z * z / of)), min(1.0, (middle + reach) / (1 + z * z / of))


def block(part, verdicts, others, bars):
    """The rows of one part, a tool each: name -> figures."""
    rows = {OURS: ours([line for line in verdicts if line["part"] == part])}
    for tool, limit in bars.items():
        rows[tool] = baseline([line for line in _of(tool, others) if line["part"] == part], limit)
    return rows


def bars(others, tools):
    """The bar of each baseline, of all that is known of the tuning part; None where nothing is."""
    tuning = [line for line in others if line["part"] == "tuning"]
    return {tool.name: bar(_of(tool.name, tuning)) for tool in tools}


def _of(tool, others):
    lines = [line for line in others if line["key"].startswith(f"{tool} ")]
    return [line for line in lines if _scored(line).get("score") is not None]


def ours(lines):
    """The figures of our verdicts of one part. A cause is right of the pairs that were caught at all."""
    lines = [line for line in lines if line["verdict"] != "broken"]
    pairs = [line for line in lines if line["kind"] == "pair"]
    first = [line for line in pairs if line["seed"] == 0]
    caught = [line for line in first if line["verdict"] == CAUGHT]
    benign = [line for line in lines if line["kind"] == "benign"]
    found = _recall([(line["mutant"], line["verdict"] == CAUGHT) for line in first])
    for name, referred in (("false_alarm_rate", True), ("false_alarm_rate_without_reference", False)):
        found |= _share(name, [line["verdict"] == CAUGHT for line in benign if line["referred"] == referred])
    found |= {"benign": sum(line["referred"] for line in benign)}
    found |= _share("cause_first", [line["right"] == 1 for line in caught])
    found |= _share("cause_first_three", [1 <= line["right"] <= 3 for line in caught])
    found |= _share("flake_rate", _mixed(pairs))
    return found | _seconds(lines) | {"crashes": sum(line["verdict"] in NEITHER for line in lines)}


def _recall(told):
    """Of (mutant, caught) of each pair: all alike, and the mean over mutants."""
    of = {}
    for mutant, caught in told:
        of.setdefault(mutant, []).append(caught)
    macro = statistics.fmean(map(statistics.fmean, of.values())) if of else None
    return (
        {"pairs": len(told)} | _share("recall", [caught for _, caught in told]) | {"recall_per_mutant": _round(macro)}
    )


def _share(name, hits):
    low, high = wilson(sum(hits), len(hits))
    return {name: _round(statistics.fmean(hits) if hits else None), f"{name}_95": [_round(low), _round(high)]}


def _mixed(pairs):
    """Of each pair that was asked of more than one seed: were its verdicts mixed?"""
    of = {}
    for line in pairs:
        of.setdefault((line["program"], line["mutant"]), []).append(line["verdict"])
    return [len(set(verdicts)) > 1 for verdicts in of.values() if len(verdicts) > 1]


def _seconds(lines):
    taken = sorted(line["cpu"] for line in lines)
    if not taken:
        return {"median_seconds": None, "p95_seconds": None}
    p95 = taken[min(len(taken) - 1, math.ceil(0.95 * len(taken)) - 1)]
    return {"median_seconds": _round(statistics.median(taken)), "p95_seconds": _round(p95)}


def _round(value):
    return None if value is None else round(value, 4)


def baseline(lines, limit):
    """The figures of a baseline that alarms from `limit` on. It has one verdict per commit, and names no cause."""
    if limit is None:
        return {"pairs": sum(line["kind"] == "pair" for line in lines), "limit": None}
    pairs = [(line["mutant"], _alarm(line, limit)) for line in lines if line["kind"] == "pair"]
    benign = [_alarm(line, limit) for line in lines if line["kind"] == "benign"]
    found = _recall(pairs) | _share("false_alarm_rate_without_reference", benign) | {"benign": len(benign)}
    return found | _seconds(lines) | {"limit": limit if math.isfinite(limit) else str(limit)}


def _scored(line):
    """A training that breaks, or does not end, is an alarm of every tool that trains."""
    return line | {"score": math.inf} if line.get("verdict") in NEITHER else line


def _alarm(line, limit):
    return _scored(line)["score"] >= limit


def bar(lines):
    """The score from which on to alarm that is best on these lines: recall less false alarms (Youden's J).

    Of equals the highest; infinity is to alarm only where the training broke. None of no lines.
    """
    if not lines:
        return None
    scores = sorted({math.inf, *(_scored(line)["score"] for line in lines)}, reverse=True)
    bugs = [line for line in lines if line["kind"] == "pair"]
    sound = [line for line in lines if line["kind"] == "benign"]
    return max(scores, key=lambda limit: _part(bugs, limit) - _part(sound, limit))


def _part(lines, limit):
    return statistics.fmean(_alarm(line, limit) for line in lines) if lines else 0.0


COLUMNS = (
    ("pairs", "pairs"),
    ("recall", "recall (95 %)"),
    ("recall_per_mutant", "per mutant"),
    ("benign", "benign"),
    ("false_alarm_rate", "alarms, reference"),
    ("false_alarm_rate_without_reference", "alarms, none"),
    ("cause_first", "cause 1st"),
    ("cause_first_three", "in 3"),
    ("median_seconds", "median s"),
    ("p95_seconds", "p95 s"),
    ("flake_rate", "flake"),
)
INTERVALS = {"recall", "false_alarm_rate", "false_alarm_rate_without_reference"}


def printed(part, rows):
    """The table of one part, as text."""
    heads = [f"part: {part.replace('_', ' ')}", *(head for _, head in COLUMNS)]
    cells = [heads] + [[name, *(_cell(row, column) for column, _ in COLUMNS)] for name, row in rows.items()]
    wide = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join([one[0].ljust(wide[0]), *map(str.rjust, one[1:], wide[1:])]) for one in cells]
    return "\n".join(lines)


def _cell(row, column):
    value = row.get(column)
    if value is None:
        return "-"
    if column in INTERVALS:
        low, high = row[f"{column}_95"]
        return f"{100 * value:.1f} % ({100 * low:.1f}-{100 * high:.1f})"
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if "seconds" in column else f"{100 * value:.1f} %"


HEADLINE = ("pairs", "recall", "false_alarm_rate", "false_alarm_rate_without_reference", "cause_first")
HEADLINE += ("cause_first_three", "median_seconds", "p95_seconds", "flake_rate")
AT_LEAST = {"recall": 0.95, "cause_first": 0.90}
AT_MOST = {"false_alarm_rate": 0.01, "false_alarm_rate_without_reference": 0.02, "median_seconds": 0.5}
AT_MOST |= {"p95_seconds": 5.0, "flake_rate": 0.0}


def headline(blocks):
    """The figures that are claimed, of the part set aside where there is one, and whether they are what was to be
    reached. What was not measured is not met.
    """
    part = next((part for part in reversed(PARTS) if part in blocks), None)
    row = blocks[part][OURS] if part else {}
    found = {name: row.get(name) for name in HEADLINE}
    met = [found[name] is not None and found[name] >= limit for name, limit in AT_LEAST.items()]
    met += [found[name] is not None and found[name] <= limit for name, limit in AT_MOST.items()]
    return found | {"met": all(met), "part": part}


def told(verdicts, others):
    """(title, lines) of what was missed, what alarmed, what broke, and the pairs that were named wrongly."""
    firsts = [line for line in verdicts if line["kind"] == "pair" and line["seed"] == 0]
    quiet = [line for line in firsts if line["verdict"] not in {CAUGHT, "broken"} | NEITHER]
    named = [line for line in firsts if line["verdict"] == CAUGHT and line["right"] != 1]
    alarms = [line for line in verdicts if line["kind"] == "benign" and line["verdict"] == CAUGHT]
    dodged = [line for line in verdicts if line["kind"] == "benign" and line["verdict"] == "unjudged"]
    broken = [line for line in verdicts if line["verdict"] in {"broken"} | NEITHER]
    broken += [line for line in others if line.get("broken")]
    titles = (("missed", quiet), ("false alarms", alarms), ("another cause named first", named))
    titles += (("benign, and not judged", dodged), ("broken", broken))
    return [(title, sorted(map(one, lines))) for title, lines in titles]


def one(line):
    """One verdict in one line: the part, the program, what was put into it, what was said."""
    what = line["mutant"] if line["kind"] == "pair" else line["item"].partition(" ")[2] or "the same once more"
    words = [line.get("broken") or line["verdict"], *line.get("said", ())[:3], line.get("message", "")]
    if line["kind"] == "benign":
        words.insert(0, "with reference" if line["referred"] else "without")
    return f"{line['part']:9} {line['program']:22} {what:34} {' · '.join(filter(None, words))}"


def compact(verdicts):
    """One string per verdict, without its words, for the file that is committed."""
    for line in sorted(verdicts, key=lambda line: line["key"]):
        yield f"{line['key']}: {line['verdict']} {line.get('cause') or '-'} {line['right']} {line['cpu']:.2f}"


def parts(verdicts):
    """The parts that there are lines of, in order."""
    return [part for part in PARTS if any(line["part"] == part for line in verdicts)]
