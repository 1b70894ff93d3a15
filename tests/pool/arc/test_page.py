import re
import subprocess

import pytest
import yaml

from backburn.pool.arc.losses import losses
from backburn.pool.arc.page import render
from backburn.pool.arc.values import offer, values
from tests.pool import scene
from tests.pool.arc.test_values import pool


def page(config):
    return render(config, offer(config))


def plain(text):
    """The comments of a page as running words."""
    comments = [one.removeprefix("#").strip() for one in text.splitlines() if one.startswith("#")]
    return " ".join(" ".join(comments).split())


def test_it_is_the_values_below_comments(tmp_path):
    config = pool(tmp_path)
    assert yaml.safe_load(page(config)) == values(config, offer(config))
    assert page(config).endswith("Directory\n")


def test_all_that_is_lost_is_in_it(tmp_path):
    config = pool(tmp_path, cpu=1)
    words = plain(page(config))
    assert all(f"- {one}" in words for one in losses(config, offer(config)))


def commands(text):
    """What the page tells to type, as one script."""
    lines = [one.removeprefix("#").strip() for one in text.splitlines() if one.startswith("#")]
    return re.findall(r"(?:^|\n)((?:kubectl|helm|tr) (?:[^\n]*\\\n)*[^\n]*)", "\n".join(lines))


WAYS = {
    "an App": ({}, ["github_app_id=123456", "github_app_installation_id=ID", "=/etc/backburn/app.pem", "lab1-proxy"]),
    "an App that is installed": (
        {"text": scene.TEXT.replace("token =", 'app-id = "Iv1"\ninstallation-id = 7\nprivate-key =')},
        ["github_app_id=Iv1", "github_app_installation_id=7", "github_app_private_key=FILE"],
    ),
    "a token in a file": (
        {"text": scene.TEXT.replace("env:TOKEN", "file:/etc/back burn/token")},
        ["tr -d '\\n' < '/etc/back burn/token'", "github_token=/dev/stdin"],
    ),
    "a token elsewhere": ({"text": scene.TEXT}, ["tr -d '\\n' < FILE", "github_token=/dev/stdin"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_commands_are_shells_and_hold_no_secret(way, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "canary")
    shape, words = WAYS[way]
    text = page(pool(tmp_path, **shape))
    script = "\n".join(commands(text))
    assert all(word in script for word in words) and "canary" not in text
    assert script.count("helm install") == 2 and script.count("kubectl create") >= 2
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_of_the_file_ends_a_comment(tmp_path):
    config = pool(tmp_path, image="ghcr.io/acme/runner:1\\nmaxRunners: 99")
    assert yaml.safe_load(page(config))["maxRunners"] == 1
