import io

from backburn import github
from backburn.github import Actions


def test_outside_github_nothing_is_written():
    actions = Actions.from_environ({"GITHUB_OUTPUT": "/nowhere"})
    assert not actions.running
    actions.write_outputs({"a": "b"})
    actions.write_summary("x")


def test_outputs_keep_lines_and_cannot_be_forged(tmp_path):
    actions = Actions.from_environ({"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(tmp_path / "out")})
    actions.write_outputs({"verdict": "fail", "report": "a\nEOF\nverdict=pass"})
    lines = (tmp_path / "out").read_text().splitlines()
    mark = lines[0].removeprefix("verdict<<")
    assert lines[1:3] == ["fail", mark]
    second = lines[3].removeprefix("report<<")
    assert second != mark
    assert lines[4:] == ["a", "EOF", "verdict=pass", second]


def test_summary_is_appended(tmp_path):
    actions = Actions.from_environ({"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "s")})
    actions.write_summary("one")
    actions.write_summary("two\n")
    assert (tmp_path / "s").read_text() == "one\ntwo\n"


def test_the_base_is_the_pull_requests_target():
    assert Actions.from_environ({"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main"}).base == "origin/main"
    assert Actions.from_environ({"GITHUB_ACTIONS": "true"}).base == ""


def test_a_command_is_escaped_and_bounded():
    line = github.command("error", "50 %\nthen ::error::", file="a,b:c.py", line=3, col=0, title="x")
    assert line == "::error file=a%2Cb%3Ac.py,line=3,title=x::50 %25%0Athen ::error::"
    assert len(github.command("error", "x" * 10_000)) < 4096
    assert github.command("notice", "plain") == "::notice::plain"


def test_no_command_is_obeyed_while_stopped():
    stream = io.StringIO()
    with github.commands_stopped(stream, True):
        print("::error::forged", file=stream)
    first, forged, last = stream.getvalue().splitlines()
    assert first.startswith("::stop-commands::backburn-")
    assert last == f"::{first.removeprefix('::stop-commands::')}::"
    stream = io.StringIO()
    with github.commands_stopped(stream, False):
        pass
    assert stream.getvalue() == ""


def test_user_code_gets_neither_our_inputs_nor_the_steps_files():
    told = {
        "BACKBURN_BASE": "x",
        "INPUT_NAME": "x",
        "GITHUB_OUTPUT": "x",
        "GITHUB_ENV": "x",
        "GITHUB_STEP_SUMMARY": "x",
    }
    kept = {"PATH": "/bin", "GITHUB_SHA": "x", "GITHUB_OUTPUTS_OF_MINE": "x"}
    assert github.for_user_code({**told, **kept}) == kept
