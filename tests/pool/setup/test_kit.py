"""The files of runner/, from the checkout or from the zip that a wheel brings."""

import zipfile

import pytest

from backburn import toolkit
from backburn.errors import UserError
from backburn.pool.setup import kit
from backburn.pool.setup.service import UNIT
from tests.conftest import REPOSITORY


def test_the_checkout_has_all_that_setup_takes():
    found = kit.files()
    assert {"Dockerfile", "pool.example.toml", UNIT} <= set(found)
    assert found["setup.sh"] == (REPOSITORY / "runner/setup.sh").read_bytes()


def test_the_zip_has_the_same(tmp_path, monkeypatch):
    archive = tmp_path / "toolkit.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name, content in kit.files().items():
            packed.writestr(f"backburn/runner/{name}", content)
        packed.writestr("backburn/src/x.py", "")
    lying = kit.files()
    monkeypatch.setattr(toolkit, "place", lambda: archive)
    assert kit.files() == lying


@pytest.mark.parametrize("place", [None, REPOSITORY / "tests"])
def test_an_install_without_it_says_so(monkeypatch, place):
    monkeypatch.setattr(toolkit, "place", lambda: place)
    with pytest.raises(UserError, match="no runner/"):
        kit.files()
