"""Which files are the user's."""

import functools
import json

import pytest
import torch

from backburn.probes.memorize import frames, session


def test_the_innermost_frame_of_the_users_is_told():
    path, line = frames.here()
    assert (path, open(path).readlines()[line - 1].strip()) == (__file__, "path, line = frames.here()")
    assert torch.nn.Identity().apply(lambda module: None) is not None
    (inside,) = [frames.here() for _ in torch.utils.data.DataLoader([1])]
    assert inside[0] == __file__


def test_a_class_and_a_function_have_a_place_where_they_are_theirs():
    path, line = frames.of(Own)
    assert path == __file__ and "class Own" in open(path).readlines()[line - 1]
    assert frames.of(wrapped)[0] == __file__
    assert [frames.of(one) for one in (torch.nn.Linear, json.dumps, session.Session, len, 3)] == [("", 0)] * 5


class Own:
    pass


@functools.wraps(test_the_innermost_frame_of_the_users_is_told)
def wrapped():
    pass


@pytest.mark.parametrize(
    ("path", "theirs"),
    [
        (__file__, True),
        (torch.__file__, False),
        (json.__file__, False),
        (frames.__file__, False),
        ("<stdin>", False),
        ("", False),
    ],
)
def test_libraries_and_probes_are_not_theirs(path, theirs):
    assert frames.is_theirs(path) is theirs


def test_who_called_the_fit_is_no_part_of_the_step():
    """A step of a library's, whose innermost frame of the user's would be the line of `trainer.fit`."""
    outside = compile("def run(step):\n    return step()\n", session.__file__, "exec")
    scope = {}
    exec(outside, scope)
    library = {"here": frames.here}
    exec(compile("def step():\n    return here()\n", torch.__file__, "exec"), library)
    assert scope["run"](library["step"]) == ("", 0)
    assert scope["run"](lambda: frames.here())[0] == __file__
