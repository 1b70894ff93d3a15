import pytest

from backburn.rehearse.standins import globs

TREE = ["a/one.txt", "a/two.log", "a/.hidden/x.txt", "a/deep/er/three.txt", "a/.env", "b/four.txt", "b[1]/five.txt"]


@pytest.fixture
def found(tmp_path):
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)

    def find(*patterns, hidden=False):
        search = globs.Search(list(patterns), str(tmp_path))
        listed = [one.relative_to(tmp_path).as_posix() for one in search.files(hidden)]
        root = search.root.removeprefix(str(tmp_path)).lstrip("/") if search.paths else None
        return sorted(listed), root

    return find


@pytest.mark.parametrize(
    ("patterns", "files", "root"),
    [
        (["a"], ["a/deep/er/three.txt", "a/one.txt", "a/two.log"], "a"),
        (["a/"], ["a/deep/er/three.txt", "a/one.txt", "a/two.log"], "a"),
        (["a/one.txt"], ["a/one.txt"], "a"),
        (["./a/*.txt"], ["a/one.txt"], "a"),
        (["a/**/*.txt"], ["a/deep/er/three.txt", "a/one.txt"], "a"),
        (["a/**"], ["a/deep/er/three.txt", "a/one.txt", "a/two.log"], "a"),
        (["a/t?o.[kl]og"], ["a/two.log"], "a"),
        (["a/[!o]*.*"], ["a/two.log"], "a"),
        (["a", "b/four.txt"], ["a/deep/er/three.txt", "a/one.txt", "a/two.log", "b/four.txt"], ""),
        (["a", "a/deep"], ["a/deep/er/three.txt", "a/one.txt", "a/two.log"], "a"),
        (["a", "!a/deep"], ["a/one.txt", "a/two.log"], "a"),
        (["a", "!a/**/*.txt"], ["a/two.log"], "a"),
        (["a", "!a/**/*.txt", "a/one.txt"], ["a/one.txt", "a/two.log"], "a"),
        (["# a comment", "b"], ["b/four.txt"], "b"),
        (["nowhere", "nor/*"], [], ""),
        (["!a"], [], None),
        (["a/.env"], [], "a"),
    ],
)
def test_files_and_the_folder_they_are_relative_to(found, patterns, files, root):
    assert found(*patterns) == (files, root)


def test_hidden_files_are_found_where_they_are_asked_for(found):
    assert found("a/*", hidden=True)[0] == [
        "a/.env",
        "a/.hidden/x.txt",
        "a/deep/er/three.txt",
        "a/one.txt",
        "a/two.log",
    ]


def test_a_hidden_folder_above_the_search_path_does_not_hide_it(found):
    """As @actions/glob: only names from the search path down count."""
    assert found("a/.hidden/x.txt")[0] == ["a/.hidden/x.txt"]
    assert found("a/.hidden")[0] == []


def test_a_home_and_a_broken_link(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "broken").symlink_to("nowhere")
    names = [one.name for one in globs.Search(["~"], "/").files(hidden=False)]
    assert names == ["link", "real"]
