"""What the build adds to the package: toolkit.zip, this repository as an action's ref would deliver it, and its commit.

From the wheel alone `backburn rehearse` can then serve the actions, and cookiecutter bake the template. A zip and not
a folder: pip compiles every .py that it installs, and the bake would hold the leavings. What is not there is left out
(an action's own install has no actions/), so that a part of the toolkit joins by its name in PARTS.
"""

import os
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PARTS = ("actions", "runner", "src", "templates")
FILES = ("LICENSE", "README.md", "constraints.txt", "hatch_build.py", "pyproject.toml")
LEAVINGS = {"__pycache__", "node_modules"}


class Toolkit(BuildHookInterface):
    """hatchling's hook. An editable install has the repository itself, and gets nothing."""

    def initialize(self, version, build_data):
        """Put into an sdist the commit, which is known only here, and into a wheel the zip."""
        root, self.scratch = Path(self.root), Path(tempfile.mkdtemp(prefix="backburn-build-"))
        commit = revision(root)
        if self.target_name == "sdist" and commit:
            (self.scratch / "COMMIT").write_text(commit)
            build_data["force_include"][str(self.scratch / "COMMIT")] = "COMMIT"
        if self.target_name == "wheel" and version != "editable" and (root / "actions").is_dir():
            pack(root, commit, self.scratch / "toolkit.zip")
            build_data["force_include"][str(self.scratch / "toolkit.zip")] = "backburn/toolkit.zip"

    def finalize(self, version, build_data, artifact):
        """Remove what the build has taken in."""
        shutil.rmtree(self.scratch)


def revision(root):
    """Return the commit that these files are: an sdist's own, or HEAD where none of them differs; else nothing."""
    if (root / "COMMIT").is_file():
        return (root / "COMMIT").read_text()
    if not (root / ".git").exists() or git(root, "status", "--porcelain", "--", *present(root)):
        return ""
    return git(root, "rev-parse", "--verify", "HEAD").decode().strip()


def present(root):
    """Return those of PARTS and FILES that are there."""
    return [name for name in (*PARTS, *FILES) if (root / name).exists()]


def names(root):
    """Return the files of the toolkit, relative: those that git has, or in an sdist all."""
    if (root / ".git").exists():
        listed = git(root, "ls-files", "-z", "--", *present(root)).split(b"\0")
        return sorted(os.fsdecode(name) for name in listed if name and (root / os.fsdecode(name)).is_file())
    found = [path for name in present(root) for path in ((root / name), *(root / name).rglob("*")) if path.is_file()]
    return sorted(path.relative_to(root).as_posix() for path in found if not LEAVINGS & set(path.parts))


def pack(root, commit, to):
    """Write the zip: one folder, as cookiecutter wants it, and the same bytes from the same files."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(entry("backburn/", 0o40755), b"")
        for name in names(root):
            mode = 0o100755 if os.access(root / name, os.X_OK) else 0o100644
            archive.writestr(entry(f"backburn/{name}", mode), (root / name).read_bytes(), zipfile.ZIP_DEFLATED)
        if commit:
            archive.writestr(entry("backburn/COMMIT", 0o100644), commit)


def entry(name, mode):
    """Return a zip's entry without a date."""
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return made


def git(root, *words):
    """Return what git says. Raises CalledProcessError with its words on stderr."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run(["git", *words], cwd=root, env=clean, stdout=subprocess.PIPE, check=True).stdout
