import pytest

from backburn.pool.arc.losses import ALWAYS, GPUS, losses
from backburn.pool.arc.values import offer
from tests.pool import scene
from tests.pool.arc.test_values import pool


def said(config):
    return list(losses(config, offer(config)))


def test_what_is_lost_with_every_pool_is_always_said(tmp_path):
    assert said(pool(tmp_path, gpus=(), cpu=1, text=scene.TEXT.replace("[docker]", "")))[-len(ALWAYS) :] == [*ALWAYS]


def test_what_a_gpu_loses_is_said_where_there_is_one(tmp_path):
    assert set(GPUS) <= set(said(pool(tmp_path)))
    assert not set(GPUS) & set(said(pool(tmp_path, gpus=(), cpu=1)))


def test_the_plainest_pool_loses_nothing_of_its_own(tmp_path):
    text = scene.TEXT.replace('"runner:1"', '"ghcr.io/acme/gpu-runner@sha256:{}"'.format("ab" * 32)).replace(
        "cpu = 2", ""
    )
    assert said(pool(tmp_path, text=text)) == [*GPUS, *ALWAYS]


@pytest.mark.parametrize(
    ("shape", "word"),
    [
        ({"image": "ghcr.io/acme/gpu-runner:latest"}, "is no digest"),
        ({"cpu": 2}, "[slots] cpu = 2"),
        ({}, "[docker] mounts"),
        ({"text": scene.TEXT, "more": "[docker]\nread-only = true\n"}, "[docker] read-only"),
        ({"text": scene.TEXT, "more": '[cache]\nroot = "/srv/cache"\n'}, "PersistentVolumeClaim lab1-data"),
        ({"text": scene.TEXT, "more": '[cache]\nroot = "/srv/cache"\n'}, "begin empty in each runner"),
        ({"text": scene.TEXT, "more": '[limits]\nmemory = "4g"\n'}, "8Gi in memory"),
        ({"text": scene.TEXT.replace("token =", 'api-url = "https://git.lab/api/v3"\ntoken =')}, "[github] api-url"),
    ],
)
def test_what_this_pool_loses_is_said(shape, word, tmp_path):
    assert any(word in one for one in said(pool(tmp_path, **shape)))
