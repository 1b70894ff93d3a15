"""On output as pip writes it, cut to what matters; test_environment asks the real one."""

from backburn import installers

UNREACHED = """WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(…: refused)'
ERROR: No matching distribution found for iniconfig
"""


def test_whose_fault_it_is():
    assert installers.machine(UNREACHED) == "the package index could not be reached"
    assert installers.machine("ERROR: No matching distribution found for iniconfig==9.9.9") == ""
