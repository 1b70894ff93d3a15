"""What a recorder writes, in a Python of its own: a line where something is reached, and none where it is not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backburn import training
from backburn.probes import reach
from tests.conftest import REPOSITORY


@pytest.fixture
def noted(tmp_path):
    """`noted(code)`: the lines that a script of that code leaves, less what every Python reaches."""
    root = tmp_path / "repo"
    (root / "out").mkdir(parents=True)
    (root / "rows.csv").write_text("1,2\n")

    def run(code, *options, env=None, check=True, file="out/seen", **more):
        script = root / "train.py"
        script.write_text(code)
        target = root / file
        target.touch()
        asked = {"file": str(target), "root": str(root), "without": [str(root / "out")], "part": "command"}
        asked |= more
        given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(training.ONPATH), "HOME": str(tmp_path)}
        given |= {reach.VARIABLE: json.dumps(asked)} | (env or {})
        command = [sys.executable, *options, "train.py"]
        done = subprocess.run(command, cwd=root, env=given, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stderr
        if not target.exists():
            return None
        lines = dict.fromkeys(target.read_text().replace(f"{root}/", "").replace(str(root), ".").splitlines())
        usual = {"began command", "read train.py", "searched .", f"searched {REPOSITORY}/src"}
        usual |= {"variable BACKBURN_PROBE", "variable BACKBURN_REACH", "variable LANGUAGE", "variable PATH"}
        return [line for line in lines if line not in usual and not line.startswith("sought ")]

    run.root = root
    return run


READ = "read rows.csv"
ASKED = ["asked a", "asked b", "asked c"]


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("open('rows.csv').read()", [READ]),
        ("import pathlib; pathlib.Path('rows.csv').read_text()", [READ]),
        ("open(b'rows.csv').read(); open('./rows.csv'); open('rows.csv')", [READ]),
        ("import os; os.close(os.open('rows.csv', os.O_RDONLY))", [READ]),
        ("open('rows.csv', 'r+').close()", [READ]),
        ("import os; os.mkdir('a'); os.chdir('a'); open('../rows.csv')", ["wrote a", READ]),
        ("import mmap; f = open('rows.csv', 'r+'); m = mmap.mmap(f.fileno(), 0)", [READ]),
        ("open('new.csv', 'w').close()", ["wrote new.csv"]),
        ("open('new.csv', 'x').close(); open('new.csv')", ["wrote new.csv", "read new.csv"]),
        ("open('rows.csv', 'a').close()", ["wrote rows.csv"]),
        ("import tempfile; tempfile.TemporaryFile(dir='.').close()", []),
        ("import os; os.rename('rows.csv', 'b.csv')", ["read rows.csv", "wrote b.csv"]),
        ("import os; os.makedirs('out/x', exist_ok=True); os.makedirs('.', exist_ok=True)", []),
        ("import contextlib\nwith contextlib.suppress(OSError): open('more.csv')", ["missed more.csv"]),
        ("import os; os.listdir(); os.listdir('.')", ["listed ."]),
        ("import glob; glob.glob('*.csv')", ["listed ."]),
        ("import os; list(os.walk('.'))", ["listed ."]),
        ("import os; os.listdir(os.open('.', os.O_RDONLY))", ["read .", "listed ."]),
        ("import importlib.metadata as one; list(one.distributions())", []),
        ("import os; os.path.exists('a'); os.path.isfile(b'b'); os.path.isdir('c'); os.path.exists('.')", ASKED),
        (
            "from pathlib import Path; [Path('a').exists(), Path('b').is_file(), Path('c').is_dir(), Path().exists()]",
            ASKED,
        ),
        ("import os, pickle; assert pickle.loads(pickle.dumps(os.path.exists))('rows.csv')", []),
        ("import os; os.path.exists(9); os.path.exists('a\\nb'); os.path.exists('\\0')", []),
        ("import sqlite3; sqlite3.connect('a.db'); sqlite3.connect(':memory:')", ["missed a.db"]),
        ("import sqlite3; sqlite3.connect('file:a.db?mode=rwc', uri=True)", ["missed a.db"]),
        ("open('/proc/self/status'); open('out/mine', 'w'); open('/dev/null')", []),
        (
            "import os; os.getenv('ONE'); os.environ.get('TWO'); 'THREE' in os.environ",
            [f"variable {name}" for name in ("ONE", "TWO", "THREE")],
        ),
        ("import os; list(os.environ.items())", ["variable *"]),
        ("import subprocess; subprocess.run(['true'])", ["program true"]),
        ("import os; os.system('true')", ["program sh"]),
        ("import os; os.execvp('true', ['true'])", ["program true"]),
        ("import subprocess; subprocess.run(['git', '--version'])", []),
        (
            "import sys; sys.audit('subprocess.Popen', None, ['git', '-C', 'd', 'lfs', 'pull'], None, None)",
            ["program git"],
        ),
        ("import subprocess, sys; sys.audit('subprocess.Popen', None, ['openssl', 'sha512', 'a.h'], None, None)", []),
        ("import sys; sys.audit('subprocess.Popen', None, ['openssl', 'enc'], None, None)", ["program openssl"]),
        ("import socket; socket.getaddrinfo('localhost', 80); socket.getaddrinfo(None, 80)", []),
        ("import socket; s = socket.socket(); s.settimeout(1); s.connect_ex(('127.0.0.1', 9))", []),
        (
            "import socket; s = socket.socket(); s.settimeout(.01); s.connect_ex(('192.0.2.1', 9))",
            ["network 192.0.2.1"],
        ),
    ],
)
def test_each_way_to_reach_something_is_noted_once(noted, code, lines):
    assert noted(code) == lines


def test_a_module_is_its_source_and_its_name_is_looked_for(noted):
    (noted.root / "net").mkdir()
    (noted.root / "net" / "__init__.py").touch()
    (noted.root / "net" / "model.py").touch()
    code = "import net.model\ntry:\n    import net.local\nexcept ImportError:\n    import elsewhere"
    for _ in range(2):  # without a .pyc, and with one
        lines = noted(code, check=False)
        assert {"read net/__init__.py", "read net/model.py", "searched net"} <= {*lines}
        assert not any("__pycache__" in line for line in lines)
    sought = (noted.root / "out" / "seen").read_text().splitlines()
    assert {"sought net", "sought model", "sought local", "sought elsewhere"} < {*sought}


@pytest.mark.parametrize(("name", "line"), [("tqdm", None), ("net", "variable *")])
def test_to_walk_through_all_variables_is_to_reach_them_but_for_a_habit(noted, name, line):
    (noted.root / f"{name}.py").write_text("import os\nfound = {k for k, _ in os.environ.items() if k[:2] == 'X_'}")
    lines = noted(f"import {name}, os\nos.getenv('HOME')")
    assert ("variable *" in lines) is (line is not None)
    assert "variable HOME" in lines and "variable PYTHONPATH" not in lines


def test_a_package_that_reads_past_python_is_told_of_where_it_is_found(noted):
    code = "try:\n    import h5py\nexcept ImportError:\n    pass"
    assert not any(line.startswith("module") for line in noted(code))
    (noted.root / "h5py.py").touch()
    assert "module h5py" in noted(code)


WORKERS = """
import multiprocessing, os

def work(name):
    open(name).read()
    os._exit(0)

if __name__ == "__main__":
    one = multiprocessing.get_context("HOW").Process(target=work, args=("rows.csv",))
    one.start()
    one.join()
"""


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_workers_are_noted_however_they_begin_and_end(noted, how):
    assert READ in noted(WORKERS.replace("HOW", how))


def test_another_python_loads_the_recorder_itself_or_is_a_program(noted):
    code = "import subprocess, sys; subprocess.run([sys.executable, OPTIONS '-c', 'open(\"rows.csv\")'])"
    assert READ in noted(code.replace("OPTIONS", "'-u', "))
    assert any(line.startswith("program python") for line in noted(code.replace("OPTIONS", "'-I', ")))
    assert any(
        line.startswith("program python") for line in noted(code.replace("OPTIONS", "").replace("])", "], env={})"))
    )


MAPPED = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.open(b"rows.csv", 0)
"""


def test_what_c_holds_open_at_the_end_is_noted(noted):
    assert noted(MAPPED) == [READ]
    assert noted(MAPPED + "\nlibc.close(3); libc.close(4)\n", file="out/again") == []


def test_what_it_cannot_note_it_says_nothing_of(noted):
    assert noted("open('a\\nb', 'w').close()") is None
    assert noted("import os; os.unlink('out/seen'); open('rows.csv').read(); print('goes on')") is None


def test_a_data_set_of_very_many_files_is_not_noted(noted):
    code = "import contextlib\nfor i in range(20_001):\n    with contextlib.suppress(OSError): open(f'{i}.png')"
    assert noted(code) is None


@pytest.mark.parametrize(
    ("without", "path", "left_out"),
    [
        ((), "/repo/src/net.py", False),
        ((), "/repo/.git/HEAD", True),
        ((), "/elsewhere/lib/python3.11/site-packages/torch/nn.py", True),
        ((), "/repo/src/net.egg-info/PKG-INFO", True),
        ((), "/etc/hosts", True),
        ((), "/tmp/torchinductor_me/fxgraph/gu/fgu", True),
        ((), "/home/me/.triton/cache/A/kernel.cubin", True),
        ((), os.__file__, True),
        (("/repo/build/backburn",), "/repo/build/backburn/memorize", True),
        (("/repo/build/backburn",), "/repo/build/backburn2", False),
        (("/", "/repo"), "/repo/src/net.py", False),  # a home, or a virtual environment, that holds the project
    ],
)
def test_what_is_left_out(without, path, left_out):
    assert reach.Recorder("/repo/out", "/repo", without, "command").is_left_out(path) is left_out


def test_a_project_among_packages_is_noted_all_the_same():
    recorder = reach.Recorder("/x/out", "/opt/site-packages/repo", (), "command")
    assert not recorder.is_left_out("/opt/site-packages/repo/net.py")
    assert recorder.is_left_out("/opt/site-packages/torch/nn.py")


def test_a_step_costs_next_to_nothing(noted):
    """What no step can avoid: an event that is heard of by nobody, and a file that is read again."""
    code = """
import sys, time
def cost(work, count=20_000):
    started = time.thread_time()
    for _ in range(count): work()
    return (time.thread_time() - started) / count
if cost(lambda: sys.audit("unknown")) > 5e-6 or cost(lambda: sys.audit("open", "rows.csv", "r", 0)) > 50e-6:
    sys.exit("slow")
"""
    assert Path(noted.root, "rows.csv").exists() and noted(code) == [READ]


def test_a_python_that_starts_once_it_gave_up_is_probed_all_the_same(noted):
    """`prepare` may have opened more files than are noted: the command after it is no worse for that."""
    (noted.root / "sitecustomize.py").write_text("print('of the user')")
    python = "[sys.executable, '-c', 'print(__import__(\\'sitecustomize\\').__file__)']"
    code = f"import os, subprocess, sys; os.unlink('out/seen'); done = subprocess.run({python}, capture_output=True)"
    path = os.pathsep.join([str(training.ONPATH), str(noted.root)])
    assert noted(f"{code}\nopen('said', 'wb').write(done.stdout + done.stderr)", env={"PYTHONPATH": path}) is None
    said = (noted.root / "said").read_text()
    assert said.split() == ["of", "the", "user", f"{noted.root}/sitecustomize.py"]


def test_whether_a_package_is_there_may_be_asked(noted):
    (noted.root / "h5py.py").touch()
    (noted.root / "lmdb").mkdir()
    (noted.root / "lmdb" / "__init__.py").write_text("import lmdb.core")
    (noted.root / "lmdb" / "core.py").touch()
    ask = "from importlib.util import find_spec, module_from_spec; found = find_spec('NAME')\n"
    assert "module h5py" not in noted(ask.replace("NAME", "h5py"))
    lazily = "module = module_from_spec(found); import sys; sys.modules['lmdb'] = module\n"
    assert "module lmdb.core" in noted(ask.replace("NAME", "lmdb") + lazily + "found.loader.exec_module(module)")


def test_packages_that_a_project_brings_along_are_no_environments(noted):
    (noted.root.parent / "team" / "site-packages").mkdir(parents=True)
    (noted.root.parent / "team" / "site-packages" / "team.py").touch()
    path = os.pathsep.join([str(training.ONPATH), "../team/site-packages"])
    assert f"read {noted.root.parent}/team/site-packages/team.py" in noted("import team", env={"PYTHONPATH": path})


def test_another_environment_is_a_program(noted):
    assert not any(line.startswith("program") for line in noted("", python=reach.here()))
    assert any(line.startswith("program python") for line in noted("", python="/elsewhere"))
