"""Does the pool's supervisor hold, when all goes wrong? `python -m benchmarks.pool [--quick] [--only F1 …]`

Rows F1 to F13 of the fault matrix in docs/pool.md. *Real* rows have a supervisor of its own process, a private Docker
Engine (as root), HTTP, and busybox for a listener; *virtual* rows have the same steps against models, thousands of
times. F6, which is of GPUs, is the checks in virtual time, and the real nvidia-ml-py on a stand-in for the driver
(health.py). The virtual ones run beside the real ones, in a process of their own; F10, whose figures are times and
sizes, runs last and alone. Two peers stand in the same simulator, as policies of a few lines
(peers.py), not as those projects. About 18 minutes on two cores; a minute with --quick.

Targets: nothing lost, nothing left over, no slot leased twice; p95 from a runner's end to the next one online ≤ 8 s
with a GitHub that takes 200 ms; ≤ 80 MB, and ≤ 10 MB more after 1,000 jobs; all slots armed ≤ 60 s after a storm and
≤ 30 s after dockerd is back; every fault of a GPU kept from work, a sound one turned away at < 1 % of its leases, and
nobody kept waiting by its driver for > 2 s. The last line is the headline as JSON; a full run goes to `results.json`.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks import keep

from . import real
from .rows import LAST, REAL, VIRTUAL, in_virtual_time, telling

PEERS = ("F2 peer", "F9 peer")


def main():
    """Run the rows, print one table, and write it down unless it is a part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a sample of the rows, in small; nothing is written")
    parser.add_argument("--only", nargs="+", default=[], help="rows that begin so; nothing is written")
    given = parser.parse_args()
    if said := real.room():
        sys.exit(f"This takes a Docker Engine of its own: {said}")
    begun = time.monotonic()
    rows = measured(given.quick, given.only)
    rows = {name: rows[name] for name in sorted(rows, key=_order)}
    for name, row in rows.items():
        _show(name, row)
    headline = headlines(rows)
    if not given.quick and not given.only:
        keep(Path(__file__).parent, headline, rows | {"minutes": round((time.monotonic() - begun) / 60, 1)}, PACKAGES)
    print(json.dumps(headline))


PACKAGES = ("docker", "httpx", "hypothesis", "msgspec", "nvidia-ml-py")


def measured(quick, only):
    """Row -> what was found."""
    place = 2 if quick else 1
    wanted = [name for name in (*VIRTUAL, *REAL, "F3", *LAST) if not only or any(map(name.startswith, only))]
    rows = {}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as beside:
        chosen = {name: VIRTUAL[name] for name in wanted if name in VIRTUAL}
        coming = {name: beside.submit(in_virtual_time, name, place) for name in chosen}
        for name in [one for one in wanted if one in REAL and REAL[one][place] is not None]:
            with real.Daemon() as daemon:
                rows[name] = REAL[name][0](daemon, *REAL[name][place], telling(name))
        if "F3" in wanted and not quick:
            rows["F3"] = real.engine_away(6, telling("F3"))
        rows |= {name: one.result() for name, one in coming.items()}
    for name in [one for one in wanted if one in LAST]:
        with real.Daemon() as daemon:
            rows[name] = LAST[name][0](daemon, *LAST[name][place], telling(name))
    return rows


def headlines(rows):
    """The figures that backburn claims, of our own rows alone; null where a row was not run."""
    ours = [one for name, row in rows.items() if not name.startswith(PEERS) for one in _flat(row)]

    def added(*keys):
        return sum(one.get(key, 0) for one in ours for key in keys)

    def most(key, names):
        found = [one[key] for name in names for one in _flat(rows.get(name, {})) if key in one]
        return max(found, default=None)

    rush = rows.get("F10", {})
    storms = [row["recovery_s"] for name, row in rows.get("F4", {}).items() if name != "secondary limit"]
    recovery = [one for one in [most("recovery_max_s", ["F3"]), *storms] if one is not None]
    return {
        "crash_points": most("points", ["F1 real", "F1 virtual"]),
        "orphans": added("orphans"),
        "jobs_lost": added("jobs_lost"),
        "double_leases": added("double"),
        "drain_losses": sum(rows[name]["lost"] for name in ("F9 real", "F9 virtual") if name in rows),
        "rearm_p95_s": rush.get("rearm_p95_s"),
        "rss_mb": rush.get("rss_mb"),
        "rss_growth_mb": rush.get("rss_growth_mb"),
        "recovery_max_s": max(recovery, default=None),
        "gate_blocked": rows.get("F6 rows", {}).get("gate_blocked"),
        "false_quarantine": rows.get("F6 noise", {}).get("false_quarantine"),
        "nvml_block_max_s": rows.get("F6 driver", {}).get("nvml_block_max_s"),
        "secrets_found": len(rows["F13"]["found"]) if "F13" in rows else None,
    }


def _flat(row):
    """The row itself, or the rows that it is made of."""
    parts = list(row.values())
    return parts if parts and all(isinstance(one, dict) for one in parts) else [row]


def _order(name):
    number = name[1:3].strip()
    return (int(number), "peer" in name, name)


def _show(name, row):
    for part, one in row.items() if _flat(row)[0] is not row else [("", row)]:
        told = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in one.items())
        print(f"{name + (' ' + part if part else ''):36} {told}")


if __name__ == "__main__":
    main()
