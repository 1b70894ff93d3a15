import signal

from backburn.errors import Interrupted, UserError


def test_user_error_says_where_what_and_what_to_do():
    error = UserError("unknown key", where="pyproject.toml", hint="Remove it.")
    assert str(error) == "pyproject.toml: unknown key\n  Remove it."
    assert str(UserError("no")) == "no"


def test_interrupted_exits_as_a_shell_reports_the_signal():
    assert Interrupted(signal.SIGINT).exit_code == 130
    assert Interrupted(signal.SIGTERM).exit_code == 143
    assert not isinstance(Interrupted(signal.SIGINT), Exception)
