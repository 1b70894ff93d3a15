"""Small projects with workflows of their own, and rehearsals of them by the real act (0.5 s each)."""

import subprocess
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backburn import rehearse

CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
UPLOAD = "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a"
DOWNLOAD = "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c"
NOBODY = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com", "-c", "commit.gpgsign=false")


def git(folder, *words):
    done = subprocess.run(["git", *NOBODY, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass
class Place:
    """A git repository with one commit; `rehearse` plays its workflows and keeps what was said."""

    folder: Path
    said: list[str] = field(default_factory=list)

    def write(self, name, text):
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    def commit(self):
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "-q", "-m", "more")

    def rehearse(self, *workflows, root=None, **options):
        return rehearse.rehearse(root or self.folder, workflows, rehearse.Options(**options), self.said.append)

    def log(self, stem="push"):
        return (self.folder / "build" / "rehearsal" / stem / "log.txt").read_text()

    def artifacts(self, stem="push"):
        """Every file of every artifact, relative, sorted."""
        folder = self.folder / "build" / "rehearsal" / stem / "artifacts"
        return sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file())


@pytest.fixture
def place(tmp_path):
    """`place(push="…workflow…")` makes a repository; other files are in the dictionary `files`."""

    def make(*, files=None, folder="project", **workflows):
        made = Place(tmp_path / folder)
        made.folder.mkdir(parents=True)
        git(made.folder, "init", "-q", "-b", "main")
        made.write(".gitignore", "build/\n")
        for stem, text in workflows.items():
            made.write(f".github/workflows/{stem}.yml", text)
        for name, text in (files or {}).items():
            made.write(name, text)
        made.commit()
        return made

    return make


@pytest.fixture
def steps(place):
    """A repository whose push workflow has one job of these steps, written as YAML list items."""

    def make(text, files=None):
        head = f"on: push\njobs:\n  one:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: {CHECKOUT}\n"
        return place(push=head + textwrap.indent(textwrap.dedent(text), "      "), files=files)

    return make
