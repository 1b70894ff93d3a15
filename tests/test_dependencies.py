"""The key changes with what an environment holds, and with nothing else."""

import pytest

from backburn.dependencies import Project

PYPROJECT = """
[build-system]
requires = ["hatchling"]
[project]
name = "tiny"
version = "1"
dependencies = ["iniconfig>=1"]
[project.optional-dependencies]
dev = ["pluggy"]
[tool.black]
line-length = 100
"""
FILES = {"pyproject.toml": PYPROJECT, "requirements.txt": "-r deep/more.txt\n", "deep/more.txt": "iniconfig\n"}


def key(folder, files=None, python="CPython 3.11.7"):
    for name, content in (FILES | (files or {})).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return Project(root=folder).key(python)


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": PYPROJECT.replace("iniconfig>=1", "iniconfig>=2")},
        {"pyproject.toml": PYPROJECT.replace('"pluggy"', '"pluggy>1"')},
        {"pyproject.toml": PYPROJECT.replace('"hatchling"', '"hatchling>1"')},
        {"pyproject.toml": PYPROJECT + '[dependency-groups]\ndev = ["pytest"]\n'},
        {"deep/more.txt": "iniconfig>2\n"},
        {"constraints.txt": "iniconfig==2\n"},
    ],
)
def test_a_changed_dependency_is_another_key(files, tmp_path):
    assert key(tmp_path / "a") != key(tmp_path / "b", files)


def test_other_checkouts_and_other_settings_share_a_key(tmp_path):
    assert key(tmp_path / "a") == key(tmp_path / "b", {"pyproject.toml": PYPROJECT.replace("100", "120")})


def test_another_python_or_index_is_another_key_but_a_renewed_token_is_not(tmp_path, monkeypatch):
    plain = key(tmp_path)
    assert key(tmp_path, python="CPython 3.12.1") != plain
    keys = []
    for url in ("https://me:one@index.example/simple", "https://me:two@index.example/simple", "https://other.example"):
        monkeypatch.setenv("PIP_INDEX_URL", url)
        keys.append(key(tmp_path))
    assert keys[0] == keys[1] and len({plain, *keys}) == 3
    monkeypatch.setenv("PIP_INDEX_URL", "")  # what a workflow hands over for a variable that is not set
    assert key(tmp_path) == plain


@pytest.mark.parametrize("line", ["-e .", "./beside", "../beside", "beside @ file:///somewhere", "--editable lib", "."])
def test_a_path_is_for_one_checkout_only(line, tmp_path):
    files = {"requirements.txt": f"{line}\n"}
    assert key(tmp_path / "a", files) != key(tmp_path / "b", files)


@pytest.mark.parametrize(
    ("pyproject", "expected"),
    [
        (PYPROJECT, ["iniconfig>=1", "pluggy", "-c", "constraints.txt"]),
        (PYPROJECT + "[dependency-groups]\ndev = []", ["iniconfig>=1", "--group", "dev", "-c", "constraints.txt"]),
        (PYPROJECT.replace('"pluggy"', '"tiny[more]"'), [".[dev]", "-c", "constraints.txt"]),
        (
            PYPROJECT.replace('dependencies = ["iniconfig>=1"]', 'dynamic = ["dependencies"]'),
            [".[dev]", "-c", "constraints.txt"],
        ),
        ("[tool.black]", ["-rrequirements.txt", "-c", "constraints.txt"]),
    ],
)
def test_what_pip_is_told(pyproject, expected, tmp_path):
    key(tmp_path, {"pyproject.toml": pyproject, "constraints.txt": ""})
    assert Project(root=tmp_path).arguments() == expected


def test_what_uv_is_told(tmp_path):
    key(tmp_path)
    assert Project(root=tmp_path, uv="/bin/uv").arguments() == ["--extra", "dev"]
    key(tmp_path, {"pyproject.toml": PYPROJECT + '[dependency-groups]\ndev = ["pytest"]\n'})
    assert Project(root=tmp_path, uv="/bin/uv").arguments() == []
