"""What a user installs: an sdist and a wheel of what lies here, looked into, and installed where nothing else is."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.version import Version

import backburn
from backburn import toolkit
from tests.conftest import REPOSITORY, commit

PARTS = ("actions", "runner", "src", "templates")
MIB = 1 << 20


def git(folder, *words):
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """This repository as it lies, in one commit."""
    folder = tmp_path_factory.mktemp("source") / "backburn"
    for name in git(REPOSITORY, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    commit(folder)
    return folder


def build(source, to, *words):
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(to), *words], cwd=source, check=True)
    return to


@pytest.fixture(scope="session")
def built(source, tmp_path_factory):
    """The folder with both."""
    return build(source, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def wheel(built):
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def sdist(built, tmp_path_factory):
    """The sdist, unpacked."""
    (found,) = built.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        archive.extractall(to := tmp_path_factory.mktemp("sdist"), filter="data")
    return to / found.name.removesuffix(".tar.gz")


@pytest.fixture(scope="session")
def carried(wheel, tmp_path_factory):
    """The toolkit that the wheel brings, unpacked by the package's own means; and the commit it tells."""
    with zipfile.ZipFile(wheel) as archive:
        file = archive.extract("backburn/toolkit.zip", tmp_path_factory.mktemp("wheel"))
    to = tmp_path_factory.mktemp("carried") / "toolkit"
    return to, toolkit.unpack(Path(file), to)


def tracked(folder, *parts):
    return {name: (folder / name).read_bytes() for name in git(folder, "ls-files", "--", *parts).splitlines()}


def files(folder, *parts):
    found = [path for part in parts for path in (folder / part).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_the_wheel_is_the_package_and_what_git_has_of_the_toolkit(source, wheel, carried):
    with zipfile.ZipFile(wheel) as archive:
        package = {f"src/{name}": archive.read(name) for name in archive.namelist() if name.startswith("backburn/")}
    del package["src/backburn/toolkit.zip"]
    assert package == tracked(source, "src") and "src/backburn/py.typed" in package
    folder, known = carried
    assert known == git(source, "rev-parse", "HEAD")
    assert files(folder, *PARTS) == tracked(source, *(part for part in PARTS if (source / part).exists()))
    assert not [name for name in package if re.search(r"(^|/)(build|tests|dist|__pycache__|\..*_cache)/", name)]
    print(f"\nwheel: {wheel.stat().st_size / MIB:.2f} MiB")
    assert wheel.stat().st_size < 2 * MIB  # the sources twice: as the package, and in toolkit.zip for actions


def test_the_sdist_makes_the_same_wheel(sdist, wheel, tmp_path):
    assert not any((sdist / name).exists() for name in ("build", "tests", ".venv", ".github"))
    (again,) = build(sdist, tmp_path, "-t", "wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert {name: one.read(name) for name in one.namelist()} == {
            name: other.read(name) for name in other.namelist()
        }


def test_its_metadata_is_valid_and_says_what_pyproject_says(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if re.fullmatch(r"backburn-[^/]*/METADATA", name))
        told = Metadata.from_email(archive.read(name), validate=True)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert (told.name, str(told.version), told.license_expression) == ("backburn", backburn.__version__, "Apache-2.0")
    assert project["version"] == backburn.__version__
    assert told.description and told.description_content_type == "text/markdown"
    assert {str(one) for one in told.requires_dist or () if not one.marker} == {
        str(Requirement(one)) for one in project["dependencies"]
    }


def test_the_toolkit_it_brings_is_installed_as_the_checkout_is(source, carried):
    """Its bootstrap names the environment by the same hash: what rehearse serves is what an action's ref delivers."""
    keys = []
    for folder in (source, carried[0]):
        spec = importlib.util.spec_from_file_location("bootstrap", folder / "actions" / "bootstrap.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        keys.append(module.key(module.sources()))
    assert keys[0] == keys[1]


def test_a_bake_from_it_pins_the_commit_it_was_built_from(bake, source, wheel, carried, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        file = archive.extract("backburn/toolkit.zip", tmp_path)
    baked = bake(template=file)
    assert (
        f"actions/unit@{carried[1]} # v{backburn.__version__}\n" in (baked / ".github/workflows/push.yml").read_text()
    )
    theirs = files(bake(template=source), ".")
    assert {name: theirs[name] for name in theirs} == files(baked, ".")


def test_what_was_built_from_changed_files_knows_no_commit(source, tmp_path):
    changed = shutil.copytree(source, tmp_path / "changed")
    (changed / "actions" / "new.md").write_text("not committed")
    (made,) = build(changed, tmp_path / "dist", "-t", "wheel").glob("*.whl")
    with zipfile.ZipFile(made) as archive:
        file = archive.extract("backburn/toolkit.zip", tmp_path)
    assert toolkit.unpack(Path(file), tmp_path / "toolkit") == ""
    assert not (tmp_path / "toolkit" / "actions" / "new.md").exists()  # as a ref would not have it


# Installed where nothing else is.


def lowest():
    """A pin of each dependency to the lowest version that is allowed, those of the extra included."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for text in (*project["dependencies"], *project["optional-dependencies"]["rehearse"]):
        one = Requirement(text)
        (bound,) = (part.version for part in one.specifier if part.operator in (">=", "=="))
        yield f"{one.name}=={bound}"


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel; `run` starts its backburn in `folder` with the tests' own Python on the PATH."""

    folder: Path

    def run(self, *words, folder, code=0, **more):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "PYTHON"))}
        done = subprocess.run(
            [self.folder / "bin" / "backburn", *words],
            cwd=folder,
            env={**kept, "PATH": path, **more},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def versions(self):
        done = subprocess.run([self.folder / "bin" / "pip", "freeze"], capture_output=True, text=True, check=True)
        return dict(line.lower().replace("_", "-").split("==") for line in done.stdout.splitlines() if "==" in line)


@pytest.fixture(scope="session", params=["lowest", "newest"])
def installed(request, wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    venv.create(folder / "env", with_pip=True)
    (folder / "constraints.txt").write_text("\n".join(lowest()) if request.param == "lowest" else "")
    words = ["install", "--quiet", "--disable-pip-version-check", "--constraint", str(folder / "constraints.txt")]
    done = subprocess.run(
        [folder / "env" / "bin" / "pip", *words, f"{wheel}[rehearse]"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = Installed(folder / "env")
    found = made.versions()
    print(f"\n{request.param}: {found}")
    pins = {pin.lower().partition("==")[0]: pin.partition("==")[2] for pin in lowest()}
    same = {name for name, pin in pins.items() if Version(found[name]) == Version(pin)}
    assert same == set(pins) if request.param == "lowest" else same < set(pins)
    return made


HOOKS = """\
repos:
  - repo: local
    hooks: [{id: sound, name: sound, entry: "true", language: system, pass_filenames: false}]
"""


@pytest.fixture
def trained(own_bake):
    """A bake that uses the Python on the PATH."""
    text = (own_bake / "pyproject.toml").read_text()
    command = 'command = "python -m digits.train fit"\n'
    assert text.count('install = "auto"') == text.count(command) == 1
    text = text.replace('install = "auto"', 'install = "none"').replace(
        command, f'{command}env = {{ PYTHONPATH = "src" }}\n'
    )
    (own_bake / "pyproject.toml").write_text(text)
    return own_bake


@pytest.mark.slow
def test_with_the_lowest_and_the_newest_of_each_dependency_it_does_its_work(installed, trained, tmp_path):
    assert "memorize" in installed.run("--help", folder=tmp_path)
    assert installed.run("--version", folder=tmp_path).endswith(f"{backburn.__version__}\n")
    assert "_backburn_completion" in installed.run("completion", "bash", folder=tmp_path)
    protocol = {"_BACKBURN_COMPLETE": "bash_complete", "COMP_WORDS": "backburn memorize ", "COMP_CWORD": "2"}
    assert installed.run(folder=trained, **protocol) == "plain,digits\n"
    for stage in ("unit", "memorize"):
        assert json.loads(installed.run(stage, "--json", folder=trained))["verdict"] == "pass"
    (trained / ".pre-commit-config.yaml").write_text(HOOKS)  # one that needs no download
    git(trained, "commit", "-qam", "Use what is here")
    assert json.loads(installed.run("hygiene", "--json", folder=trained))["verdict"] == "pass"
    on_github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    installed.run("report", folder=trained, **on_github)
    assert "memorize" in (tmp_path / "summary.md").read_text()
    assert "<svg" in (trained / "build" / "backburn" / "report.html").read_text()


@pytest.mark.slow
def test_alone_it_rehearses_a_push_with_what_it_brought(installed, baked, tmp_path):
    folder = shutil.copytree(baked, tmp_path / "digits", symlinks=True)
    told = installed.run("rehearse", "push", folder=folder)
    assert re.search(r"push +hygiene +hygiene +pass", told) and re.search(r"push +unit +unit +pass", told)


@pytest.mark.slow
def test_alone_it_brings_a_template_to_bake(installed, bake, carried, tmp_path):
    place = installed.run("toolkit", folder=tmp_path).strip()
    assert place.startswith(str(installed.folder)) and place.endswith("/backburn/toolkit.zip")
    assert f"@{carried[1]} # v" in (bake(template=place) / ".github/workflows/gpu.yml").read_text()


CONSUMER = """\
from backburn.report import Report, Verdict
from backburn.pytest_plugin import Ask


def judged(report: Report) -> str:
    return report.stage if report.verdict is Verdict.PASS else ""


def test_digits(memorize: Ask) -> None:
    reveal_type(memorize("digits").figures[0].name)
"""


@pytest.mark.slow
def test_a_program_that_imports_it_is_type_checked(installed, tmp_path):
    (tmp_path / "consumer.py").write_text(CONSUMER)
    (tmp_path / "broken.py").write_text(CONSUMER + "\n\nx: int = judged(3)\n")
    python = ["--python-executable", str(installed.folder / "bin" / "python"), "--cache-dir", str(tmp_path / "cache")]
    words = [sys.executable, "-m", "mypy", "--strict", *python]
    done = [
        subprocess.run([*words, name], cwd=tmp_path, capture_output=True, text=True)
        for name in ("consumer.py", "broken.py")
    ]
    assert done[0].returncode == 0 and 'Revealed type is "str"' in done[0].stdout, done[0].stdout
    assert 'incompatible type "int"; expected "Report"' in done[1].stdout
