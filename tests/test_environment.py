"""Real pip, real uv, real virtual environments, with the smallest real packages."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backburn import environment, process
from backburn.errors import Unjudged, UserError

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "tiny"
version = "1"
requires-python = ">=3.10"
dependencies = ["iniconfig>=1"]
[project.scripts]
tiny = "tiny:main"
[project.optional-dependencies]
dev = ["an-extra-that-a-group-hides==99"]
[dependency-groups]
dev = ["pluggy", "pytest"]
"""
CODE = "import iniconfig\n\n\ndef main():\n    print(iniconfig.__file__)\n"
PREPARE = """
import sys
from pathlib import Path
from backburn import environment, errors, process
try:
    with process.watched_by(lambda label, seconds: print(label, flush=True) if seconds > 0.1 else None):
        environment.prepare(Path(sys.argv[1]), "auto", Path(sys.argv[2]))
except errors.Interrupted as error:
    sys.exit(error.exit_code)
"""


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """A cache of this module's own, and a PATH whose Python is the one that runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("BACKBURN_CACHE", str(folder))
        patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        yield folder / "environments"


def project(folder, **files):
    """A checkout: `pyproject` is written to pyproject.toml, `src__tiny____init__` to src/tiny/__init__.py."""
    for name, content in files.items():
        path = folder / (name if "." in name else f"{name}.toml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def tiny(folder, **more):
    return project(folder, **{"pyproject": PYPROJECT, "src/tiny/__init__.py": CODE, **more})


def start(root):
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE, root, root / "install.log"], stdout=subprocess.PIPE, text=True, cwd="/"
    )


def output(found, root, *command):
    done = subprocess.run(command, env=found.variables(), cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_one_build_serves_two_checkouts_and_an_interrupted_one_serves_none(cached, tmp_path):
    a, b = (tiny(tmp_path / name, **{"constraints.txt": "iniconfig==2.0.0\n"}) for name in "ab")
    first = start(a)
    while not list(cached.glob("*/pyvenv.cfg")):
        assert first.poll() is None, first.stdout.read()
        time.sleep(0.02)
    first.send_signal(signal.SIGINT)
    assert first.wait(5) == 130
    assert not list(cached.glob("*/.complete"))

    both = [start(a), start(b)]
    printed = [one.communicate(timeout=60)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], printed
    assert sorted("waiting for another job" in one for one in printed) == [False, True]
    assert len(list(cached.glob("*/.complete"))) == 1

    logs = [(root / "install.log").read_text() for root in (a, b)]
    assert sum("Successfully installed iniconfig-2.0.0" in log for log in logs) == 1, "built once, with the constraint"
    for root in (a, b):
        started = time.monotonic()
        found = environment.prepare(root, "auto", root / "again.log")
        assert time.monotonic() - started < 2
        assert not (root / "again.log").exists(), "nothing was installed again"
        assert output(found, root, "python", "-c", "import tiny; print(tiny.__file__)") == str(
            root / "src/tiny/__init__.py"
        )
        assert output(found, root, "tiny").startswith(str(cached))
        # An entry point of a dependency runs in the checkout's Python too, and so sees the project.
        assert "1 passed" in output(
            found, project(root, **{"test_it.py": "import tiny\ndef test(): pass"}), "pytest", "-q"
        )
        assert found.variables()["VIRTUAL_ENV"] == str(found.prefix) == str(root / "build/backburn/environment")

    stamp = (a / "build/backburn/environment/.complete").read_text()
    project(a, pyproject=PYPROJECT.replace("tiny =", "small ="))
    found = environment.prepare(a, "auto", a / "again.log")
    assert output(found, a, "small") and (a / "build/backburn/environment/.complete").read_text() != stamp


@pytest.mark.slow
def test_dependencies_that_only_the_build_knows(cached, tmp_path):
    text = PYPROJECT.replace("hatchling.build", "setuptools.build_meta").replace("hatchling", "setuptools>=77")
    text = text.replace('dependencies = ["iniconfig>=1"]', 'dynamic = ["dependencies"]').partition("[project.opt")[0]
    text += '[project.optional-dependencies]\ndev = ["tiny[more]"]\nmore = ["pluggy"]\n'
    text += '[tool.setuptools.dynamic]\ndependencies = {file = ["requirements.txt"]}\n'
    root = tiny(tmp_path, pyproject=text, **{"requirements.txt": "iniconfig\n"})
    found = environment.prepare(root, "auto", root / "install.log")
    assert output(found, root, "python", "-c", "import tiny, pluggy; print(tiny.__file__)").startswith(
        str(root / "src")
    )
    (shared,) = (one for one in found.folders if cached in one.parents)
    alone = subprocess.run([shared / "python", "-c", "import tiny"], capture_output=True, text=True, check=False)
    assert "No module named 'tiny'" in alone.stderr, "the shared environment must not hold a copy of the project"


def test_a_lock_of_uv_is_obeyed(cached, tmp_path, monkeypatch):
    root = tiny(tmp_path / "project")
    environment_of_pip = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--target", tmp_path / "uv", "uv"]
    subprocess.run(pip, check=True, capture_output=True, env=environment_of_pip)
    project(root, pyproject=PYPROJECT.replace("an-extra-that-a-group-hides==99", "pluggy"))
    lock = [tmp_path / "uv" / "bin" / "uv", "lock", "--upgrade-package", "iniconfig==2.0.0"]
    subprocess.run(lock, check=True, capture_output=True, cwd=root)
    with pytest.raises(UserError, match="uv is not on PATH"):
        environment.prepare(root, "auto", root / "install.log")
    monkeypatch.setenv("PATH", f"{tmp_path / 'uv' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    for name in ("UV_LOCKED", "UV_SYSTEM_PYTHON"):
        monkeypatch.setenv(name, "1")
    found = environment.prepare(root, "auto", root / "install.log")
    assert output(found, root, "tiny").startswith(str(cached))
    assert "iniconfig==2.0.0" in (root / "install.log").read_text()
    assert output(found, root, "python", "-c", "import tiny; print(tiny.__file__)") == str(
        root / "src/tiny/__init__.py"
    )


@pytest.mark.slow
def test_requirements_of_a_project_that_is_no_package(cached, tmp_path):
    root = project(tmp_path, **{"requirements.txt": "-r more.txt\n", "more.txt": "iniconfig==2.0.0\n"})
    found = environment.prepare(root, "pip", root / "install.log")
    assert output(found, root, "python", "-c", "import iniconfig; print(iniconfig.__file__)").startswith(str(cached))


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["iniconfig==99"], UserError, "No matching distribution found for iniconfig==99"),
        (["iniconfig>=2", "iniconfig<1"], UserError, "conflicting"),
        (["no such name"], UserError, "Invalid requirement"),
        (["--index-url=http://127.0.0.1:9/", "--retries=1", "iniconfig==1.1.1"], Unjudged, "could not be reached"),
    ],
)
def test_what_a_failed_install_means(arguments, kind, words, tmp_path):
    env = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")} | {
        "PIP_CONFIG_FILE": os.devnull
    }
    env |= {"PIP_CERT": os.environ["PIP_CERT"]} if "PIP_CERT" in os.environ else {}
    command = [sys.executable, "-m", "pip", "install", "--target", str(tmp_path), *arguments]
    done = process.run(command, cwd=tmp_path, log=tmp_path / "log", env=env)
    error = environment.failure("installing", done)
    assert type(error) is kind
    assert words in str(error).partition("\n")[0]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", 1, "disk"),
        ("pip._vendor.requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: x", 1, "answered"),
        ("ERROR: HTTP error 403 while getting https://x", 1, "credentials"),
        ("ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate", 1, "certificate"),
        ("ensurepip is not available.  On Debian/Ubuntu systems, you need to install the python3-venv", 1, "virtual"),
        ("Building wheel for torch", -9, "signal 9"),
    ],
)
def test_the_machine_is_not_the_project(line, code, words, tmp_path):
    log = tmp_path / "log"
    log.write_text(f"what was before: Connection refused\n{line}\n")
    done = process.Finished(command=("pip",), code=code, seconds=1.0, timed_out=False, log=log)
    error = environment.failure("installing", done, start=len("what was before: Connection refused\n"))
    assert isinstance(error, Unjudged) and words in str(error)


@pytest.mark.parametrize(
    ("files", "install", "words"),
    [
        ({}, "yes", '"auto", "pip", "uv", "none"'),
        ({}, "auto", "nothing says what to install"),
        ({}, "uv", "uv.lock"),
        ({"poetry.lock": ""}, "auto", 'install = "none"'),
        ({"pixi.lock": "", "pyproject": PYPROJECT}, "auto", "Pixi"),
        ({"pyproject": PYPROJECT.replace(">=3.10", ">=3.99")}, "auto", "requires-python '>=3.99' (found 3."),
        ({"pyproject": PYPROJECT.replace(">=3.10", "newest")}, "auto", "requires-python"),
    ],
)
def test_asked_wrongly(files, install, words, cached, tmp_path):
    with pytest.raises(UserError) as caught:
        environment.prepare(project(tmp_path, **files), install, tmp_path / "log")
    assert words in str(caught.value)
    assert not (tmp_path / "log").exists(), "nothing was started"


def test_a_cache_that_cannot_be_written_is_unjudged(cached, tmp_path, monkeypatch):
    monkeypatch.setenv("BACKBURN_CACHE", os.devnull)
    with pytest.raises(Unjudged, match="cannot be written"):
        environment.prepare(tiny(tmp_path), "auto", tmp_path / "log")


def test_none_is_the_python_on_path_and_never_the_toolkits_private_one(cached, tmp_path, monkeypatch):
    found = environment.prepare(tmp_path, "none", tmp_path / "log")
    assert found.python.parent == Path(sys.executable).parent
    private = cached.parent / "toolkit" / "abc" / "bin"
    private.mkdir(parents=True)
    (private / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{private}{os.pathsep}{os.environ['PATH']}")
    assert environment.prepare(tmp_path, "none", tmp_path / "log") == found
    assert str(private) not in found.variables()["PATH"]
    monkeypatch.setenv("PATH", str(private))
    with pytest.raises(UserError, match="on PATH"):
        environment.prepare(tmp_path, "none", tmp_path / "log")


def test_nothing_of_ours_and_no_command_file_reaches_user_code(monkeypatch, tmp_path):
    leaks = ["BACKBURN_CACHE", "INPUT_NAME", "GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE"]
    leaks += ["GITHUB_STEP_SUMMARY", "PYTHONHOME"]
    for name in leaks:
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("GITHUB_SHA", "kept")
    monkeypatch.setenv("VIRTUAL_ENV", "/toolkit")
    monkeypatch.setenv("PATH", f"{Path(sys.prefix, 'bin')}{os.pathsep}/usr/bin")
    found = environment.Environment(python=tmp_path / "bin/python", folders=(tmp_path / "bin",), prefix=tmp_path)
    variables = found.variables({"BACKBURN_PROBE": "ours, on purpose"})
    assert not set(leaks) & set(variables)
    assert variables["PATH"] == f"{tmp_path / 'bin'}{os.pathsep}/usr/bin"
    assert (variables["VIRTUAL_ENV"], variables["GITHUB_SHA"]) == (str(tmp_path), "kept")
    assert variables["BACKBURN_PROBE"] == "ours, on purpose"
    outside = environment.Environment(python=Path("/usr/bin/python"), folders=(Path("/usr/bin"),))
    assert "VIRTUAL_ENV" not in outside.variables()


def test_what_no_job_used_for_30_days_is_removed(cached, tmp_path):
    (tmp_path / "requirements.txt").write_text("a-package-that-is-not-there==1\n")
    for name in ("old", "busy", "young"):
        (cached / name).mkdir(parents=True)
        (cached / name / ".complete").touch()
        if name != "young":
            os.utime(cached / name / ".complete", (time.time() - 31 * 86400,) * 2)
    with environment._locked(cached / "busy.lock", tmp_path / "log"):
        environment._prune(cached)
    assert [(cached / name).exists() for name in ("old", "busy", "young")] == [False, True, True]
    for name in ("busy", "young"):
        with contextlib.suppress(FileNotFoundError):
            (cached / name / ".complete").unlink()
