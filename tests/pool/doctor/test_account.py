"""What a user may, by owner, group and mode: not by access(2), which says yes to root."""

import os
import pwd

import msgspec
import pytest

from backburn.pool.config import Cache, Config, Docker, Pool
from backburn.pool.doctor.account import look, may_read, may_write, namesake

NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.mark.parametrize(
    ("mode", "uid", "groups", "may"),
    [
        (0o700, os.geteuid(), (), True),
        (0o700, NOBODY, (), False),
        (0o1777, NOBODY, (), True),
        (0o770, NOBODY, (os.getegid(),), True),
        (0o707, NOBODY, (os.getegid(),), False),
        (0o775, NOBODY, (), False),
    ],
)
def test_the_mode_decides(tmp_path, mode, uid, groups, may):
    tmp_path.chmod(mode)
    assert may_write(tmp_path / "not" / "yet", uid, frozenset(groups)) is may


@pytest.mark.parametrize(
    ("user", "name"), [(f"{NOBODY}:1", "nobody"), ("4123456789:1", ""), ("99999999999999999999:1", ""), ("runner", "")]
)
def test_an_account_with_the_number_of_the_jobs(user, name):
    assert namesake(Config(docker=Docker(user=user))) == name


def config(tmp_path):
    return Config(
        pool=Pool(state=str(tmp_path / "state"), locks=str(tmp_path)), docker=Docker(host=f"unix://{tmp_path}")
    )


def test_it_is_the_pools_user_or_who_asks_or_still_to_come(tmp_path):
    file = tmp_path / "pool.toml"
    file.touch(mode=0o600)
    here = look(config(tmp_path), file, "no-such-user")
    assert here.exists and here.engine and here.state and here.locks and here.name == pwd.getpwuid(os.geteuid()).pw_name
    assert not look(config(tmp_path), None, "no-such-user").exists
    tmp_path.chmod(0o700)
    other = look(config(tmp_path), file, "nobody")
    assert other.name == "nobody" and not (other.engine or other.file or other.state or other.locks)


def test_caches_elsewhere_are_looked_at_too(tmp_path):
    tmp_path.chmod(0o700)
    with_caches = msgspec.structs.replace(config(tmp_path), cache=Cache(root=str(tmp_path / "cache")))
    assert not look(with_caches, None, "nobody").caches and look(config(tmp_path), None, "nobody").caches


def test_an_engine_elsewhere_has_no_socket_to_look_at(tmp_path):
    remote = Config(pool=Pool(state=str(tmp_path), locks=str(tmp_path)), docker=Docker(host="tcp://10.0.0.1:2376"))
    assert look(remote, None, "nobody").engine


def test_a_file_is_read_where_its_folder_may_be_entered(tmp_path):
    file = tmp_path / "pool.toml"
    file.touch(mode=0o644)
    tmp_path.chmod(0o750)
    assert may_read(file, NOBODY, frozenset({os.getegid()})) and not may_read(file, NOBODY, frozenset())
    file.chmod(0o600)
    assert not may_read(file, NOBODY, frozenset({os.getegid()})) and may_read(file, 0, frozenset())
