"""The files that a training read, as they are held against a reference's."""

import os

import pytest

from backburn.reproduction import manifest
from backburn.reproduction.manifest import Manifest


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest.tempfile, "gettempdir", lambda: "/nowhere")  # these lie in the system's
    root = tmp_path / "home" / "it"
    (root / "data").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return root


def noted(root, *lines):
    (root / "reached.txt").write_text("".join(f"{line}\n" for line in lines))
    return root / "reached.txt"


def test_a_file_by_its_content_wherever_the_project_lies(project):
    one, other = project / "data/train.csv", project.parent / "shared.csv"
    one.write_text("1,2\n")
    other.write_text("1,2\n")
    found = Manifest(root=project).of(noted(project, f"read {one}", f"read {other}", f"read {other}"))
    assert [*found] == ["file data/train.csv", "file ~/shared.csv"]
    assert {*found.values()} == {"4 bytes 52186c933993da4082b3cdc7c40bb4bf"}
    one.write_text("1,3\n")
    assert Manifest(root=project).of(noted(project, f"read {one}")) != {
        "file data/train.csv": found["file ~/shared.csv"]
    }


def test_what_is_no_data(project):
    for name in ("net.py", "pyproject.toml", "build/cache.bin", "data/made.bin"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).touch()
    lines = [f"read {project / name}" for name in ("net.py", "pyproject.toml", "build/cache.bin", "data", "gone.csv")]
    lines += [f"wrote {project}/data/made.bin", f"read {project}/data/made.bin", "read /etc/hosts", "listed /home"]
    assert Manifest(root=project).of(noted(project, *lines)) == {}
    assert Manifest(root=project).of(project / "nothing.txt") == {}


def test_many_of_a_folder_are_one_entry_that_each_of_them_changes(project):
    paths = [project / "data" / f"{number:02}.png" for number in range(30)]
    for path in paths:
        path.write_text(path.name)
    lines = [f"read {path}" for path in paths]
    whole = Manifest(root=project)
    (before,) = whole.of(noted(project, *lines)).items()
    assert before[0] == "file data/*" and before[1].startswith("30 files, 180 bytes ")
    paths[17].write_text("17.PNG")
    os.utime(paths[17], (1, 1))
    (after,) = whole.of(noted(project, *lines)).items()
    assert after[0] == before[0] and after[1] != before[1]


def test_folders_without_end_end(project):
    for number in range(150):
        folder = project / "data" / f"{number:03}"
        folder.mkdir()
        (folder / "x.npy").touch()
    lines = [f"read {project}/data/{number:03}/x.npy" for number in range(150)]
    found = Manifest(root=project).of(noted(project, *lines))
    assert len(found) == 101 and [*found][-1] == "file 50 more"


def test_what_a_training_made_itself_is_no_data_of_it(project):
    made = project / "runs/2026/best.pt"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"weights")
    assert Manifest(root=project).of(noted(project, f"wrote {made.parent}", f"read {made}")) == {}
    (project / "data/x.csv").touch()  # a script that makes the folder that it runs in is no reason
    assert Manifest(root=project).of(noted(project, f"wrote {project}", f"read {project}/data/x.csv"))


def test_beyond_so_many_bytes_both_ends_of_a_file_count(project, monkeypatch):
    monkeypatch.setattr(manifest, "_MOST", 1000)
    monkeypatch.setattr(manifest, "_END", 100)
    for name in "ab":
        (project / "data" / name).write_bytes(b"x" * 700)
    noted(project, *(f"read {project}/data/{name}" for name in "ab"))
    first, second = Manifest(root=project).of(project / "reached.txt").values()
    assert first != second and first[:10] == second[:10] == "700 bytes "


def test_a_long_file_counts_by_its_size_and_both_ends(project, monkeypatch):
    monkeypatch.setattr(manifest, "_WHOLE", 1000)
    monkeypatch.setattr(manifest, "_END", 100)
    path, found = project / "data/long.bin", []
    for content in (b"a" * 2000, b"a" * 2001, b"a" * 1999 + b"b", b"b" + b"a" * 1999):
        path.write_bytes(content)
        found.append(Manifest(root=project).of(noted(project, f"read {path}"))["file data/long.bin"])
    assert len({*found}) == 4
