"""On output as pip, uv and git write it, cut to what matters; test_environment and test_precommit ask the real ones."""

import pytest

from backburn import installers

ABSENT = """    Looking in indexes: https://index.example/simple
stderr:
    ERROR: Could not find a version that satisfies the requirement iniconfig==9.9.9 (from versions: 0.1, 2.3.1)
    ERROR: No matching distribution found for iniconfig==9.9.9
Check the log at pre-commit.log
"""
UNREACHED = """WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(…: refused)'
ERROR: Could not find a version that satisfies the requirement iniconfig (from versions: none)
ERROR: No matching distribution found for iniconfig
"""
CONFLICT = """ERROR: Cannot install iniconfig<1 and iniconfig>=2 because these package versions have conflicts.

The conflict is caused by:
    The user requested iniconfig>=2
ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/
"""
UV = """  × No solution found when resolving dependencies:
  ╰─▶ Because there is no version of iniconfig==99 and you require
      iniconfig==99, we can conclude that your requirements are unsatisfiable.
"""
NO_TAG = """stderr:
    error: pathspec 'v9.9.9' did not match any file(s) known to git
"""
NO_HOST = """stderr:
    fatal: unable to access 'https://git.example/x/': Could not resolve host: git.example
"""


@pytest.mark.parametrize(
    ("output", "machine", "cause", "absent"),
    [
        (ABSENT, "", "No matching distribution found for iniconfig==9.9.9", True),
        (UNREACHED, "the package index could not be reached", "No matching distribution found for iniconfig", False),
        (CONFLICT, "", "Cannot install iniconfig<1 and iniconfig>=2 because these package versions", True),
        (UV, "", "Because there is no version of iniconfig==99 and you require", False),
        (NO_TAG, "", "pathspec 'v9.9.9' did not match any file(s) known to git", True),
        (NO_HOST, "the repository could not be reached", "unable to access 'https://git.example/x/'", False),
        ("ERROR: Failed building wheel for x\n", "", "Failed building wheel for x", False),
        ("x.c:3: error: no\nall is well", "", "", False),
    ],
)
def test_whose_fault_it_is_and_the_line_that_says_why(output, machine, cause, absent):
    assert installers.machine(output) == machine
    assert installers.cause(output).startswith(cause) and bool(installers.cause(output)) == bool(cause)
    assert installers.asks_for_what_is_not_there(output) is absent


def test_a_full_machine_is_told_in_any_output_and_a_network_only_in_an_installer_s():
    assert installers.full("cc1plus: OSError: No space left on device") == "the disk is full"
    assert installers.full("MemoryError") == "memory ran out"
    assert installers.full(UNREACHED) == ""
