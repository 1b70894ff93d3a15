"""actions/bootstrap.py as an action starts it: a process, real venv and pip, a toolkit small enough to vary."""

import ast
import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backburn import environment
from tests.conftest import REPOSITORY

BOOTSTRAP = REPOSITORY / "actions" / "bootstrap.py"
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["src"]

[project]
name = "backburn"
version = "0"
"""
# As small as a build backend can be, so that an install takes two seconds; the real toolkit is installed below, once.
BACKEND = """\
import os, pathlib, zipfile

FILES = {"METADATA": "Metadata-Version: 2.1\\nName: backburn\\nVersion: 0\\n",
         "WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n", "RECORD": ""}

def build_wheel(folder, config_settings=None, metadata_directory=None):
    pathlib.Path("src/built_here").touch()
    with zipfile.ZipFile(os.path.join(folder, "backburn-0-py3-none-any.whl"), "w") as wheel:
        for path in pathlib.Path("src/backburn").glob("*.py"):
            wheel.write(path, "backburn/" + path.name)
        for name, text in FILES.items():
            wheel.writestr("backburn-0.dist-info/" + name, text)
    return "backburn-0-py3-none-any.whl"
"""
MAIN = """\
import json, os, signal, sys, time
print(json.dumps([sys.argv[1:], os.getpid(), dict(os.environ)]), flush=True)
if sys.argv[1:] == ["wait"]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(77))
    print("waiting", flush=True)
    time.sleep(30)
sys.exit(5 if sys.argv[1:] == ["five"] else 0)
"""


def write_toolkit(folder):
    files = {"pyproject.toml": PYPROJECT, "src/backend.py": BACKEND, "src/backburn/__init__.py": ""}
    for name, text in {**files, "src/backburn/__main__.py": MAIN, "README.md": "", "LICENSE": ""}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name in ("constraints.txt", "hatch_build.py"):
        (folder / name).touch()
    (folder / "actions").mkdir()
    shutil.copy(BOOTSTRAP, folder / "actions")
    return folder


@pytest.fixture
def toolkit(tmp_path):
    return write_toolkit(tmp_path / "the toolkit, é")


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A toolkit and a cache where it is installed already."""
    folder = tmp_path_factory.mktemp("warm")
    toolkit, cache = write_toolkit(folder / "toolkit"), folder / "cache"
    done = start(toolkit, cache, "unit")
    assert done.returncode == 0, done.stderr
    return toolkit, cache


@pytest.fixture
def bootstrap():
    spec = importlib.util.spec_from_file_location("bootstrap", BOOTSTRAP)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environ(cache, **more):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "BACKBURN_", "RUNNER_"))}
    return {**kept, "BACKBURN_CACHE": str(cache), **more}


def command(toolkit, *words):
    return [sys.executable, str(toolkit / "actions" / "bootstrap.py"), *words]


def start(toolkit, cache, *words, **more):
    return subprocess.run(
        command(toolkit, *words), env=environ(cache, **more), capture_output=True, text=True, cwd=toolkit.parent
    )


def versions(cache):
    return sorted(path.name for path in (cache / "toolkit").iterdir() if path.is_dir())


def listing(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_it_installs_once_and_leaves_its_folder_as_it_was(toolkit, tmp_path):
    for path in (toolkit, *toolkit.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = listing(toolkit)
    cold = start(toolkit, tmp_path / "cache", "five")
    assert (cold.returncode, cold.stderr) == (5, "installing backburn (once per version) …\n")
    again = start(toolkit, tmp_path / "cache", "unit", "a b", "--json")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith('[["unit", "a b", "--json"], ')
    assert listing(toolkit) == before
    assert len(list((tmp_path / "cache" / "toolkit").iterdir())) == 2  # the environment and its lock
    for path in (toolkit, *toolkit.rglob("*")):
        path.chmod(0o755)


@pytest.mark.slow
def test_of_two_at_once_one_installs_over_what_a_killed_job_left(warm, tmp_path):
    toolkit, cache = warm
    (name,) = versions(cache)
    half = tmp_path / "cache" / "toolkit" / name / "bin"
    half.mkdir(parents=True)
    (half / "python").write_text("half of one")
    both = [
        subprocess.Popen(command(toolkit, "five"), env=environ(tmp_path / "cache"), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [one.communicate(timeout=60)[1] for one in both]
    assert [one.returncode for one in both] == [5, 5]
    assert sorted(said) == ["", "installing backburn (once per version) …\n"]


def test_only_a_whole_environment_counts(bootstrap, tmp_path):
    (tmp_path / "bin").mkdir()
    assert not bootstrap.is_complete(tmp_path)
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    assert not bootstrap.is_complete(tmp_path)  # cut short
    (tmp_path / ".complete").touch()
    assert bootstrap.is_complete(tmp_path)
    (tmp_path / "bin" / "python").unlink()
    (tmp_path / "bin" / "python").symlink_to("/nowhere/python")
    assert not bootstrap.is_complete(tmp_path)  # the tool cache has moved on to another patch version


def test_another_source_is_another_version_and_old_ones_go(warm, toolkit):
    _, cache = warm
    for name, days in (("0123-py3.11.0-x86_64", 31), ("4567-py3.11.0-x86_64", 29)):
        (cache / "toolkit" / name).mkdir()
        (mark := cache / "toolkit" / name / ".complete").touch()
        os.utime(mark, (time.time() - days * 86400,) * 2)
    before = set(versions(cache))
    (toolkit / "src" / "backburn" / "__main__.py").write_text("print('changed')")
    assert start(toolkit, cache, "unit").stdout == "changed\n"
    assert before - set(versions(cache)) == {"0123-py3.11.0-x86_64"}
    assert len(set(versions(cache)) - before) == 1


def test_nothing_of_the_job_leaks_into_the_toolkit_and_all_of_it_reaches_the_project(warm, tmp_path):
    toolkit, _ = warm
    (tmp_path / "backburn.py").write_text("raise SystemExit('a module of the project')")
    (tmp_path / "venv.py").write_text("raise SystemExit('a module of the project')")
    job = {"PYTHONPATH": str(tmp_path), "PIP_REQUIRE_VIRTUALENV": "1", "PIP_TARGET": str(tmp_path / "astray")}
    job |= {"PIP_USER": "1", "PIP_NO_DEPS": "1", "PIP_DRY_RUN": "1", "PYTHONHOME": "", "VIRTUAL_ENV": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-P", *command(toolkit, "unit")[1:]],
        env=environ(tmp_path / "cache", **job),
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    words, _, seen = json.loads(done.stdout)
    assert words == ["unit"] and seen["PATH"] == os.environ["PATH"]
    assert {name: seen[name] for name in job} == job


def test_signals_arrive_at_the_toolkit(warm):
    toolkit, cache = warm
    child = subprocess.Popen(command(toolkit, "wait"), env=environ(cache), stdout=subprocess.PIPE, text=True)
    assert json.loads(child.stdout.readline())[1] == child.pid
    assert child.stdout.readline() == "waiting\n"
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == 77


def test_interrupted_while_it_installs_it_leaves_nothing_behind(toolkit, tmp_path):
    tells = f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))"
    (toolkit / "src" / "backend.py").write_text(f"import os, pathlib, time\n{tells}\ntime.sleep(60)\n")
    child = subprocess.Popen(command(toolkit, "unit"), env=environ(tmp_path / "cache"), stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    assert child.wait(5) == 143
    assert versions(tmp_path / "cache") == []
    builder = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:  # a zombie until init has seen it
            os.kill(builder, 0)
            if Path(f"/proc/{builder}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                break
            time.sleep(0.05)
        else:
            pytest.fail("the build goes on")


def on_github(toolkit, cache, outputs, **more):
    done = start(toolkit, cache, "unit", GITHUB_ACTIONS="true", GITHUB_OUTPUT=str(outputs), **more)
    return done, outputs.read_text()


def test_a_toolkit_that_cannot_be_installed_is_unjudged(toolkit, tmp_path):
    (toolkit / "src" / "backend.py").write_text("raise OSError('No space left on device: 100%')\n")
    done, outputs = on_github(toolkit, tmp_path / "cache", tmp_path / "outputs")
    assert (done.returncode, outputs) == (3, "verdict=unjudged\n")
    assert re.match(
        r"::error title=backburn::backburn could not be installed.*No space left on device: 100%25", done.stdout
    )
    assert done.stdout.count("\n") == 1 and "No space left on device: 100%\n" in done.stderr
    assert versions(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written_is_unjudged_and_a_warning_where_the_job_said_so(warm, tmp_path):
    done, outputs = on_github(warm[0], "/dev/null/cache", tmp_path / "outputs")
    assert (done.returncode, outputs) == (3, "verdict=unjudged\n")
    assert (
        done.stdout.startswith("::error title=backburn::backburn could not be installed") and "/dev/null" in done.stdout
    )
    done, _ = on_github(warm[0], "/dev/null/cache", tmp_path / "outputs", BACKBURN_UNJUDGED="warn")
    assert done.returncode == 0 and done.stdout.startswith("::warning title=backburn::")


OLD = """import runpy, sys
sys.version_info, sys.argv = (3, 6, 15), sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_an_old_python_is_told_so(toolkit, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", OLD, *command(toolkit, "unit")[1:]],
        env=environ(tmp_path / "cache", GITHUB_ACTIONS="true", GITHUB_OUTPUT=str(tmp_path / "outputs")),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and not (tmp_path / "outputs").exists()
    assert re.search(r"needs Python 3\.11 or newer, but `python3` is 3\.6\.15 \(.*Put a setup-python step", done.stderr)
    assert done.stdout.startswith("::error title=backburn::backburn needs Python 3.11")


def test_an_old_python_can_parse_it():
    tree = ast.parse(BOOTSTRAP.read_text(), feature_version=(3, 6))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert names <= sys.stdlib_module_names
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "__future__"]


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ({"BACKBURN_CACHE": "/a", "RUNNER_TOOL_CACHE": "/b", "XDG_CACHE_HOME": "/c"}, "/a"),
        ({"BACKBURN_CACHE": "", "RUNNER_TOOL_CACHE": "/b", "XDG_CACHE_HOME": "/c"}, "/b/backburn"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/backburn"),
        ({"HOME": "/home/x"}, "/home/x/.cache/backburn"),
    ],
)
def test_the_cache_is_where_the_toolkit_looks_too(bootstrap, monkeypatch, given, folder):
    for name in ("BACKBURN_CACHE", "RUNNER_TOOL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert bootstrap.cache() == environment.cache() == Path(folder)


def test_the_real_toolkit(tmp_path):
    done = start(REPOSITORY, tmp_path / "cache", "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("backburn, version ")
