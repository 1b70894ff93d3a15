"""Which jobs wait for this pool; how a look meets GitHub's moods is in test_queue.py."""

import pytest

from backburn.pool.config import Config, Queue
from backburn.pool.queued import Queued, names
from backburn.pool.repositories import Job, Named, Run

from .moments import config

LABELS = ("self-hosted", "Linux", "GPU")


def job(**more):
    about = {"id": 1, "name": "train", "status": "queued", "created_at": "2026-11-18T12:00:00Z", "labels": ["gpu"]}
    return Job(**{**about, **more})


@pytest.mark.parametrize(
    ("more", "ours"),
    [
        ({}, True),
        ({"labels": ["GPU", "self-hosted"]}, True),
        ({"labels": ["gpu", "a100"]}, False),
        ({"labels": []}, False),
        ({"status": "in_progress"}, False),
        ({"status": "waiting"}, False),
        ({"status": "completed"}, False),
        ({"created_at": "yesterday"}, False),
        ({"created_at": ""}, False),
    ],
)
def test_one_that_waits_for_us(more, ours):
    since = Queued(None, ["acme/digits"], LABELS, 900.0)._since(job(**more))
    assert (since is not None) is ours


@pytest.mark.parametrize(
    ("url", "given", "looked_at"),
    [
        ("https://github.com/acme/digits", (), ("acme/digits",)),
        ("https://github.com/acme/digits.git", (), ("acme/digits",)),
        ("https://github.com/acme", (), ()),
        ("https://github.com/acme", ("acme/words",), ("acme/words",)),
        ("https://github.com/enterprises/acme", (), ()),
        ("https://github.com/enterprises/acme", ("one/words",), ("one/words",)),
    ],
)
def test_which_repositories_are_looked_at(url, given, looked_at):
    assert names(Config(github=config(url).github, queue=Queue(repositories=given))) == looked_at


def test_a_run_that_moves_from_one_list_to_the_other_is_there_once():
    class Both:
        def runs(self, name, status, before):
            yield Run(id=7, event="push", head_sha="", repository=Named(1, name))

        def jobs(self, name, run):
            yield job()

    some = Queued(None, ["acme/digits"], LABELS, 900.0)
    some._repositories = Both()
    look = some.look(2e9)
    assert len(look.waiting) == 1 and look.whole == {"acme/digits"}
