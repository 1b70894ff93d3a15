"""Held against NVIDIA's catalogue as its tables were read; the columns are in xid.py."""

import pytest

from backburn.pool.health.symptom import Blame, Severity
from backburn.pool.health.xid import XIDS, meaning

# NVIDIA/k8s-device-plugin, internal/rm/health.go: "Application errors: the GPU should still be healthy".
IGNORED = (13, 31, 43, 45, 68, 109)
# The catalogue's immediate action RESET_GPU or RESTART_BM; 109 is the plugin's.
RESETS = (46, 62, 64, 79, 95, 110, 119, 120, 136, 140, 143, 155, 156, 158)
RESTART_APP_AND_SUPPORT = (
    8,
    39,
    40,
    41,
    70,
    71,
    72,
    75,
    76,
    77,
    82,
    83,
    84,
    85,
    86,
    88,
    89,
    *range(96, 106),
    *range(126, 136),
    139,
)


def test_an_applications_own_is_its_codes_and_keeps_no_slot_from_work():
    assert {(meaning(code).severity, meaning(code).blame) for code in IGNORED} == {(Severity.NOTED, Blame.CODE)}


def test_what_the_catalogue_resets_only_a_person_ends():
    assert {(meaning(code).severity, meaning(code).blame) for code in RESETS} == {(Severity.RESET, Blame.MACHINE)}


def test_what_the_catalogue_restarts_the_application_for_is_noted():
    found = {(meaning(code).severity, meaning(code).blame) for code in RESTART_APP_AND_SUPPORT}
    assert found == {(Severity.NOTED, Blame.OPEN)}


@pytest.mark.parametrize("code", [0, 1, 12, 61, 78, 142, 167, 999, 4242])
def test_what_is_in_no_table_is_suspect(code):
    assert code not in XIDS and (meaning(code).severity, meaning(code).blame) == (Severity.UNFIT, Blame.OPEN)


def test_no_code_is_of_two_kinds():
    from backburn.pool.health import xid

    kinds = [set(one) for one in (xid._CODE, xid._PASSING, xid._RESET, xid._SUSPECT)]
    assert len(XIDS) == sum(map(len, kinds)) + 1 and all(one.said for one in XIDS.values())
