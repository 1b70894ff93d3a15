"""actions/upload-artifact's stand-in, by the real act; the messages are the real action's."""

import pytest

from backburn.report import Verdict

from ...conftest import CHECKOUT, UPLOAD

FILES = {"out/a.txt": "a\n", "out/.hidden": "h\n", "out/in/b.txt": "b\n", "other/c.txt": "c\n"}


def test_what_is_kept_of_which_paths(steps):
    here = steps(
        f"""
        - {{uses: {UPLOAD}, with: {{name: folder, path: out}}}}
        - {{uses: {UPLOAD}, with: {{name: one-file, path: out/in/b.txt}}}}
        - {{uses: {UPLOAD}, with: {{name: pattern, path: 'out/**/*.txt'}}}}
        - {{uses: {UPLOAD}, with: {{name: all-of-it, path: out, include-hidden-files: true}}}}
        - uses: {UPLOAD}
          with:
            name: several
            path: |
              out

              !out/in
              other/*.txt
        - {{uses: {UPLOAD}, with: {{path: out/a.txt}}}}
        - {{uses: {UPLOAD}, with: {{name: ignored, path: out/in/b.txt, archive: false}}}}
        """,
        FILES,
    )
    assert here.rehearse().verdict is Verdict.PASS
    assert here.artifacts() == [
        "all-of-it/.hidden",
        "all-of-it/a.txt",
        "all-of-it/in/b.txt",
        "artifact/a.txt",
        "b.txt/b.txt",
        "folder/a.txt",
        "folder/in/b.txt",
        "one-file/b.txt",
        "pattern/a.txt",
        "pattern/in/b.txt",
        "several/other/c.txt",
        "several/out/a.txt",
    ]


NONE = "No files were found with the provided path: nowhere. No artifacts will be uploaded."
REFUSALS = {
    "path: nowhere": (True, "::warning::" + NONE),
    "path: nowhere, if-no-files-found: ignore": (True, NONE),
    "path: nowhere, if-no-files-found: error": (False, NONE),
    "path: nowhere, if-no-files-found: maybe": (False, "Unrecognized if-no-files-found input. Provided: maybe."),
    "path: out/.hidden, if-no-files-found: error": (False, "No files were found"),
    "path: ''": (False, "Input required and not supplied: path"),
    "path: out, name: 'a/b'": (False, "The artifact name is not valid: a/b."),
    "path: out, archive: false": (False, "only a single file can be uploaded"),
    "path: out, overwrite: perhaps": (False, 'does not meet YAML 1.2 "Core Schema" specification: overwrite'),
}


def test_what_is_not_found_or_not_allowed(place):
    job = f"{{runs-on: x, steps: [{{uses: {CHECKOUT}}}, {{uses: {UPLOAD}, with: {{INPUTS}}}}]}}"
    jobs = "".join(f"  j{n}: {job.replace('INPUTS', inputs)}\n" for n, inputs in enumerate(REFUSALS))
    here = place(push=f"on: push\njobs:\n{jobs}", files=FILES)
    for n, row in enumerate(here.rehearse().rows):
        inputs, (passes, said) = list(REFUSALS.items())[n]
        told = [line for line in here.log().splitlines() if line.startswith(f"j{n} | ")]
        assert row.verdict is (Verdict.PASS if passes else Verdict.FAIL), inputs
        assert any(said in line for line in told), inputs
    assert here.artifacts() == []


@pytest.mark.parametrize(
    ("again", "passes", "content"),
    [("", False, "a\n"), (", overwrite: true", True, "b\n"), (", overwrite: false", False, "a\n")],
)
def test_a_name_is_used_once_unless_it_is_overwritten(steps, again, passes, content):
    here = steps(
        f"""
        - {{uses: {UPLOAD}, with: {{name: twice, path: out/a.txt}}}}
        - run: cp out/in/b.txt out/a.txt
        - {{uses: {UPLOAD}, with: {{name: twice, path: out/a.txt{again}}}}}
        """,
        FILES,
    )
    assert here.rehearse().verdict is (Verdict.PASS if passes else Verdict.FAIL)
    kept = here.folder / "build/rehearsal/push/artifacts/twice/a.txt"
    assert kept.read_text() == content
    said = "(409) Conflict: an artifact with this name already exists on the workflow run"
    assert (said in here.log()) is not passes


def test_two_jobs_do_not_share_a_name_either(place):
    job = f"{{runs-on: x, steps: [{{uses: {CHECKOUT}}}, {{uses: {UPLOAD}, with: {{name: same, path: a}}}}]}}"
    here = place(push=f"on: push\njobs:\n  one: {job}\n  two: {{needs: one, {job[1:]}\n", files={"a": "x"})
    assert [str(row.verdict) for row in here.rehearse().rows] == ["pass", "fail"]


def test_outputs_and_a_name_that_lacks_its_index(steps):
    here = steps(
        f"""
        - {{id: up, uses: {UPLOAD}, with: {{name: unit-, path: out}}}}
        - run: echo "$ID $DIGEST" > outputs
          env:
            ID: ${{{{ steps.up.outputs.artifact-id }}}}
            DIGEST: ${{{{ steps.up.outputs.artifact-digest }}}}
        - run: grep -Eq '^[0-9]{{10}} [0-9a-f]{{64}}$' outputs && test -d "${{U#file://}}"
          env: {{U: '${{{{ steps.up.outputs.artifact-url }}}}'}}
        - {{uses: {UPLOAD}, with: {{name: unit-, path: out}}}}
        """,
        FILES,
    )
    made = here.rehearse()
    assert "unit-0/a.txt" in here.artifacts() and made.rows[0].headline.startswith("failed in: actions/upload-artifact")
    assert "Conflict" in here.log() and sum(" ok" in line for line in here.said) == 4


def test_its_inputs_are_its_own(steps):
    """Unlike GitHub, act leaks INPUT_* of an outer action into the inner one."""
    inner = f"""
name: outer
inputs: {{name: {{default: wrong}}, overwrite: {{default: "true"}}}}
runs:
  using: composite
  steps: [{{uses: {UPLOAD}, with: {{path: out/a.txt}}}}]
"""
    here = steps("- {uses: ./outer, with: {name: wrong}}\n", FILES | {"outer/action.yml": inner})
    assert here.rehearse().verdict is Verdict.PASS and here.artifacts() == ["artifact/a.txt"]
