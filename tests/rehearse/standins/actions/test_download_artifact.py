"""actions/download-artifact's stand-in, by the real act."""

from backburn.report import Verdict

from ...conftest import CHECKOUT, DOWNLOAD, UPLOAD

FIRST = f"""
on: push
jobs:
  first:
    runs-on: x
    steps:
      - uses: {CHECKOUT}
      - {{id: one, uses: {UPLOAD}, with: {{name: unit-one, path: out/a.txt}}}}
      - {{uses: {UPLOAD}, with: {{name: unit-two, path: out/b.txt}}}}
      - {{uses: {UPLOAD}, with: {{name: other, path: out}}}}
    outputs: {{number: '${{{{ steps.one.outputs.artifact-id }}}}'}}
"""
THEN = f"""
  NAME:
    needs: first
    runs-on: x
    steps:
      - {{id: down, uses: {DOWNLOAD}, with: {{INPUTS}}}}
      - name: Look
        run: find . -type f | sort; echo "to ${{{{ steps.down.outputs.download-path }}}}"
"""
LANDS = {
    "name: unit-one": "./a.txt",
    "name: unit-one, path: here/it": "./here/it/a.txt",
    "": "./other/a.txt ./other/b.txt ./unit-one/a.txt ./unit-two/b.txt",
    "pattern: unit-*, path: all": "./all/unit-one/a.txt ./all/unit-two/b.txt",
    "pattern: unit-*, merge-multiple: true": "./a.txt ./b.txt",
    "pattern: none-*": "",
    "artifact-ids: '${{ needs.first.outputs.number }}'": "./a.txt",
}
FAILS = {
    "name: unit-three": "Unable to download artifact(s): Artifact not found for name: unit-three",
    "artifact-ids: '12'": "no artifact has the number 12",
    "artifact-ids: '12', name: x": "Inputs 'name' and 'artifact-ids' cannot be used together",
    "name: unit-one, run-id: '7'": "a rehearsal has no other runs",
}


def seconds(place, table):
    """One rehearsal with a job per line of the table: (its inputs, row, lines of its output)."""
    jobs = [THEN.replace("NAME", f"j{n}").replace("INPUTS", inputs) for n, inputs in enumerate(table)]
    here = place(push=FIRST + "".join(jobs), files={"out/a.txt": "a\n", "out/b.txt": "b\n"})
    rows = here.rehearse().rows
    for n, inputs in enumerate(table):
        told = [line.split("| ", 2)[-1] for line in here.log().splitlines() if line.startswith(f"j{n} | ")]
        yield inputs, rows[n + 1], told


def test_what_lands_where(place):
    for inputs, row, told in seconds(place, LANDS):
        assert row.verdict is Verdict.PASS, inputs
        assert " ".join(sorted(line for line in told if line.startswith("./"))) == LANDS[inputs]
        assert any(line.startswith("to /") for line in told), inputs


def test_what_is_not_there_fails(place):
    for inputs, row, told in seconds(place, FAILS):
        assert row.verdict is Verdict.FAIL, inputs
        assert any(FAILS[inputs] in line for line in told), inputs
