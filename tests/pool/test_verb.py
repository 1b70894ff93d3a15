import click
import pytest
from click.testing import CliRunner

from backburn.errors import UserError
from backburn.pool import verb
from backburn.pool.store import Full


def test_a_database_that_cannot_be_written_is_no_bug():
    @click.command(cls=verb.Verb)
    def order():
        raise Full("pool.sqlite3: database or disk is full")

    done = CliRunner().invoke(order, standalone_mode=False)
    assert done.return_value == verb.NOT_YET and "Nothing was ordered" in done.stderr


def test_what_is_not_installed_is_said_with_the_command():
    verb.expect("json")
    with pytest.raises(UserError, match="not installed: no_such_library") as raised:
        verb.expect("json", "no_such_library")
    assert "pip install 'backburn[pool]'" in raised.value.hint
