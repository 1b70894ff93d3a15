"""Where the actions and the template are found; tests/test_distribution.py has a wheel for it."""

import zipfile

import pytest

from backburn import toolkit
from tests.conftest import REPOSITORY


def packed(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "toolkit.zip", "w") as archive:
        archive.writestr("backburn/", "")
        for name, text in files.items():
            archive.writestr(f"backburn/{name}", text)
    return folder / "toolkit.zip"


def test_a_checkout_is_the_toolkit_itself():
    assert toolkit.place() == REPOSITORY


@pytest.mark.parametrize("carried", [True, False])
def test_a_wheel_has_its_zip_and_what_an_action_installs_has_nothing(tmp_path, monkeypatch, carried):
    package = tmp_path / "lib" / "site-packages" / "backburn"
    zipped = packed(package) if carried else None
    monkeypatch.setattr(toolkit, "_PACKAGE", package)
    assert toolkit.place() == zipped


def test_it_is_unpacked_with_its_commit_where_that_is_known(tmp_path):
    known = packed(tmp_path / "known", COMMIT="a" * 40, LICENSE="…")
    assert toolkit.unpack(known, tmp_path / "one") == "a" * 40
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["COMMIT", "LICENSE"]
    assert toolkit.unpack(packed(tmp_path / "unknown", LICENSE="…"), tmp_path / "other") == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["known", "one", "other", "unknown"]
