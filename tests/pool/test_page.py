"""docs/pool.md says what the code says: every key, state, outcome and metric, and no other."""

import re
import tomllib

import msgspec
import pytest

from backburn.config import Seconds
from backburn.pool.config import Bytes, Config
from backburn.pool.door import pool as door
from backburn.pool.exits import BAD, Outcome
from backburn.pool.health.symptom import Blame
from backburn.pool.lease import Kind, State
from backburn.pool.metrics import Metrics
from backburn.pool.parole import PAROLED
from tests.conftest import REPOSITORY
from tests.pool import scene

PAGE = (REPOSITORY / "docs/pool.md").read_text(encoding="utf-8")
KEYS = {
    f"[{table.encode_name}] {key.encode_name}": key
    for table in msgspec.structs.fields(Config)
    for key in msgspec.structs.fields(table.type)
}


def rows(head):
    """The cells of the table that begins so."""
    table = PAGE.partition(f"\n| {head} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]


def test_every_key_is_there_in_the_order_of_the_file():
    assert [row[0].strip("`") for row in rows("key")] == list(KEYS)


@pytest.mark.parametrize("row", rows("key"), ids=lambda row: row[0].strip("`"))
def test_a_keys_default_is_the_codes(row):
    key, said = KEYS[row[0].strip("`")], row[1].strip("`")
    if said in ("required", "none"):
        assert key.default in ("", None)
        return
    value = tomllib.loads(f"it = {said}")["it"]
    kinds = {Bytes: Bytes.parse, Seconds: Seconds.parse}
    parsed = kinds[type(key.default)](value) if type(key.default) in kinds else value
    assert (tuple(parsed) if isinstance(parsed, list) else parsed) == key.default and row[2]


def test_every_state_is_there():
    assert [row[0].strip("`") for row in rows("state")] == list(State)


def test_every_kind_of_quarantine_is_there_and_who_ends_it():
    said = {row[0].strip("`"): row[2].startswith("Parole") for row in rows("kind")}
    assert said == {kind.value: kind in PAROLED for kind in Kind}


def test_every_blame_is_there():
    assert [row[0].strip("`") for row in rows("blame")] == list(Blame)


def test_every_outcome_is_there_and_whether_it_is_kept():
    said = {row[0].strip("`"): row[2:] == ["yes"] for row in rows("outcome")}
    assert said == {outcome.value: outcome in BAD for outcome in Outcome}


def test_every_metric_is_there_with_its_labels(tmp_path):
    store = scene.store(tmp_path)
    metrics = Metrics(store, scene.Hand())
    metrics.expect(["cpu0"])
    scene.record(store, "00000001", 0, 1, 2)
    metrics.text()
    real = {}
    for family in metrics.registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = [set(one.labels) - {"le"} for one in family.samples if not one.name.endswith("_created")]
        real[name] = set().union(*labels)
    real["backburn_pool_slot_seconds_total"] |= {"slot", "state"}  # the others have had none yet
    real["backburn_pool_github_requests_total"] |= {"method", "status"}
    real["backburn_pool_github_remaining"] |= {"budget"}
    real["backburn_pool_blame_total"] |= {"slot", "blame"}
    real["backburn_pool_quarantines_total"] |= {"slot", "kind"}
    real["backburn_pool_gpu_symptoms"] |= {"slot", "check", "severity"}
    real["backburn_pool_cache_bytes"] |= {"cache"}
    real["backburn_pool_cache_layers"] |= {"cache"}
    real["backburn_pool_cache_promotions_total"] |= {"cache"}
    real["backburn_pool_cache_refusals_total"] |= {"reason"}
    said = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in rows("metric")}
    assert said == real


def test_every_verb_is_shown():
    shown = set(re.findall(r"^backburn pool ([\w-]+)", PAGE, re.MULTILINE))
    assert shown == set(door.commands)


def test_every_option_is_shown():
    for name, verb in door.commands.items():
        for option in verb.params:
            if option.opts[0].startswith("--") and name != "simulate":
                assert option.opts[0] in PAGE, (name, option.opts)
