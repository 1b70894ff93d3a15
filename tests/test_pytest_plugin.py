"""The fixtures as a project's own tests use them: a pytest of their own, real trainings on the CPU."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

pytest_plugins = ["pytester"]

PROJECT = """
[tool.backburn.trainings.net]
command = "python train.py"
env = { CUDA_VISIBLE_DEVICES = "" }
[tool.backburn.trainings.gone]
command = "python gone.py"
"""
TRAIN = """
import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))

    def training_step(self, batch, batch_idx):
        x, y = batch
        return SIGN * nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.03)


x, y = torch.randn(64, 8), torch.randint(4, (64,))
L.Trainer(max_epochs=3).fit(Net(), DataLoader(TensorDataset(x, y), batch_size=16))
"""


@pytest.fixture
def project(pytester):
    """`project(body, sign=1)`: the outcome of one test with that body beside a training of that sign."""
    pytester.makepyprojecttoml(PROJECT)

    def run(body, fixture="memorize", sign=1):
        pytester.makepyfile(train=TRAIN.replace("SIGN", str(sign)), gone="print('no fit here')")
        lines = "\n    ".join(body.splitlines())
        pytester.makepyfile(test_it=f"def test_it({fixture}):\n    {lines}\n")
        return pytester.runpytest_subprocess("-q", "-rfs", "test_it.py")

    return run


def test_a_pass_returns_the_report(project, pytester):
    done = project("""report = memorize("net", steps=200)
assert report.verdict == "pass"
assert {one.name for one in report.figures} >= {"steps", "device"}
assert {one.training for one in report.outcomes} == {"net"}""")
    done.assert_outcomes(passed=1)
    assert (pytester.path / "build" / "backburn" / "memorize" / "report.json").exists()


def test_a_fail_has_the_report_as_its_text_and_no_traceback(project):
    done = project('memorize("net")', sign=-1)
    done.assert_outcomes(failed=1)
    text = done.stdout.str()
    assert "✗ memorize: fail" in text
    done.stdout.fnmatch_lines(["FAILED *::test_it - Failed: memorize/loss-sign [[]net]: *"])
    assert "error: memorize/loss-sign [net]" in text and "minimised with the wrong sign" in text
    assert "test_it.py:2" not in text and "pytest_plugin.py" not in text


def test_what_could_not_be_judged_is_a_skip_with_the_reason_or_a_fail(project):
    done = project('memorize("gone")')
    done.assert_outcomes(skipped=1)
    assert "backburn memorize: unjudged: no Trainer.fit was seen" in done.stdout.str()
    done = project('memorize("gone", unjudged="fail")')
    done.assert_outcomes(failed=1)
    assert "? memorize: unjudged" in done.stdout.str()
    done.stdout.fnmatch_lines(["FAILED *::test_it - Failed: memorize/training-ran [[]gone]: no *"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('memorize("nett")', "no training is called 'nett'"),
        ('memorize("net", unjudged="maybe")', 'unjudged is "skip" or "fail", got \'maybe\''),
        ('memorize("net", stepz=3)', "backburn memorize: memorize has no 'stepz'\n  Did you mean 'steps'?"),
        (
            'memorize("net", steps="many")',
            "backburn memorize: given to memorize: Expected `int`, got `str` - at `steps`",
        ),
        ('memorize("net", steps=2)', "backburn memorize: given to memorize: steps (2) must be more than running (3)"),
        ('memorize("net", seed=-1)', "backburn memorize: given to memorize: seed must be at least 0"),
    ],
)
def test_asked_wrongly_fails_and_says_how(project, body, said):
    done = project(body)
    done.assert_outcomes(failed=1)
    text = done.stdout.str()
    assert said in text
    assert "another exception" not in text and "pipeline.py" not in text


@pytest.mark.parametrize("fixture", ["reproduce", "profile"])
def test_the_other_stages_have_a_fixture_too(project, pytester, fixture):
    reference = pytester.path / "references" / fixture / "net" / "cpu-avx2.json"
    reference.parent.mkdir(parents=True)
    reference.write_text("{")
    done = project(f"{fixture}()", fixture)
    done.assert_outcomes(failed=1)
    assert re.search(rf"backburn {fixture}: .*cpu-avx2.json: not readable as JSON", done.stdout.str())


def test_an_interrupt_ends_pytest(project, pytester):
    pytester.makepyfile(train="import time\ntime.sleep(60)\n")
    pytester.makepyfile(test_it="def test_it(memorize):\n    memorize('net')\n")
    command = [sys.executable, "-m", "pytest", "-q", "test_it.py"]
    child = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True)
    while not (pytester.path / "build/backburn/memorize/net/output.txt").exists():
        assert child.poll() is None, child.communicate()
        time.sleep(0.05)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    assert "interrupted by SIGINT" in child.communicate(timeout=20)[0]
    assert child.returncode == pytest.ExitCode.INTERRUPTED


def test_two_that_ask_at_once_take_turns(pytester):
    pytester.makepyprojecttoml(PROJECT)
    pytester.makepyfile(train="import time\ntime.sleep(1)\n")
    pytester.makepyfile(test_it="def test_a(memorize):\n    memorize('net')\n\n\ntest_b = test_a\n")
    done = pytester.runpytest_subprocess("-q", "-rs", "-n", "2", "test_it.py")
    done.assert_outcomes(skipped=2)
    done.stdout.fnmatch_lines(["SKIPPED [[]2] *unjudged: no Trainer.fit was seen"])


ONCE = """
from pathlib import Path

import pytest
from flaky import flaky


def judged(memorize):
    tries = Path("tries")
    tries.write_text((tries.read_text() if tries.exists() else "") + "x")
    if tries.read_text() == "x":
        memorize("gone", unjudged="fail")

"""


class TestBesideOtherPlugins:
    """The two are installed here, so all tests of this file have both beside ours; by each other they are lamed."""

    @pytest.mark.parametrize(
        ("mark", "words"),
        [
            ("", ["-p", "no:flaky", "--reruns", "1"]),
            ("@pytest.mark.flaky(reruns=1)", ["-p", "no:flaky"]),
            ("@flaky(max_runs=2)", ["-p", "no:rerunfailures"]),
        ],
        ids=["--reruns", "mark.flaky", "@flaky"],
    )
    def test_a_test_that_fails_is_run_again_and_asks_again(self, project, pytester, mark, words):
        project("pass")
        pytester.makepyfile(test_it=f"{ONCE}\n{mark}\ndef test_it(memorize): judged(memorize)\n")
        done = pytester.runpytest_subprocess("-q", "--strict-markers", *words, "test_it.py")
        assert done.parseoutcomes()["passed"] == 1 and "failed" not in done.parseoutcomes()
        assert (pytester.path / "tries").read_text() == "xx"

    @pytest.mark.slow
    def test_a_training_that_fails_fails_again(self, project, pytester):
        project("pass", sign=-1)
        pytester.makepyfile(test_it="def test_it(memorize): memorize('net')")
        done = pytester.runpytest_subprocess("-q", "-p", "no:flaky", "--reruns", "1", "test_it.py")
        assert done.parseoutcomes() == {"failed": 1, "rerun": 1}
        assert "minimised with the wrong sign" in done.stdout.str()


class TestAFixtureOfTheSameName:
    OTHER = "import pytest\n@pytest.fixture\ndef profile(): return 'theirs'\n"
    ASKS = "def test_it(profile, request):\n    assert profile == 'theirs' and not list(request.node.iter_markers())\n"

    def test_the_projects_own_wins(self, pytester):
        pytester.makeconftest(self.OTHER)
        pytester.makepyfile(test_it=self.ASKS)
        pytester.runpytest_subprocess("-q", "test_it.py").assert_outcomes(passed=1)

    def test_without_ours_another_plugins_is_left(self, pytester):
        pytester.makepyfile(other=self.OTHER, test_it=self.ASKS)
        done = pytester.runpytest_subprocess("-q", "-p", "other", "-p", "no:backburn", "test_it.py")
        done.assert_outcomes(passed=1)

    def test_a_conftest_chooses_ours_and_may_build_upon_it(self, pytester):
        pytester.makepyfile(other=self.OTHER)
        pytester.makeconftest("from backburn.pytest_plugin import profile")
        pytester.makepyfile(test_it="""
            import pytest

            @pytest.fixture
            def profile(profile): return ("built", profile)

            def test_it(profile, request):
                assert profile[0] == "built" and profile[1].__module__ == "backburn.pytest_plugin"
                assert request.node.get_closest_marker("memorize")
            """)
        pytester.runpytest_subprocess("-q", "-p", "other", "test_it.py").assert_outcomes(passed=1)


class TestMarkers:
    GPU = "import pytest\n@pytest.fixture\ndef dear(): print('dear')\n@pytest.mark.gpu\ndef test_it(dear): pass\n"

    @pytest.fixture(autouse=True)
    def hidden(self, monkeypatch):
        """The same on a machine that has a GPU."""
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        monkeypatch.delenv("BACKBURN_REQUIRE_GPU", raising=False)

    def test_they_are_registered(self, pytester):
        marks = "\n".join(f"@pytest.mark.{name}" for name in ("memorize", "slow"))
        pytester.makepyfile(test_it=f"import pytest\n{marks}\ndef test_it(): pass\n")
        pytester.runpytest_subprocess("--strict-markers", "-W", "error", "test_it.py").assert_outcomes(passed=1)

    def test_one_the_project_registers_is_listed_once(self, pytester):
        pytester.makeini("[pytest]\nmarkers =\n    slow: ours\n    gpu(count): ours\n")
        listed = pytester.runpytest_subprocess("--markers").stdout.str()
        assert listed.count("@pytest.mark.slow") == listed.count("@pytest.mark.gpu") == 1 and "slow: ours" in listed

    @pytest.mark.parametrize("fixture", ["memorize", "reproduce", "profile"])
    def test_what_trains_can_be_left_out(self, pytester, fixture):
        pytester.makepyfile(test_it=f"""
            import pytest

            @pytest.fixture
            def by_another({fixture}): {fixture}("gone")

            def test_it({fixture}): {fixture}("gone")
            def test_through(by_another): pass
            def test_plain(): pass
            """)
        done = pytester.runpytest_subprocess("-q", "-m", "not memorize", "test_it.py")
        done.assert_outcomes(passed=1, deselected=2)

    def test_gpu_is_a_skip_with_the_reason_at_the_test(self, pytester):
        pytester.makepyfile(test_it=self.GPU)
        done = pytester.runpytest_subprocess("-q", "-rs", "test_it.py")
        done.assert_outcomes(skipped=1)
        done.stdout.fnmatch_lines(["SKIPPED [[]1] test_it.py:4: no GPU: CUDA_VISIBLE_DEVICES is ''"])

    @pytest.mark.parametrize("by", ["environment", "ini"])
    def test_gpu_fails_where_one_is_required(self, pytester, monkeypatch, by):
        pytester.makepyfile(test_it=self.GPU)
        if by == "environment":
            monkeypatch.setenv("BACKBURN_REQUIRE_GPU", "true")
        words = ["-o", "backburn_require_gpu=true"] if by == "ini" else []
        done = pytester.runpytest_subprocess("-q", *words, "test_it.py")
        done.assert_outcomes(errors=1)
        assert "no GPU: CUDA_VISIBLE_DEVICES is '', and one is required" in done.stdout.str()
        assert "dear" not in done.stdout.str()

    @pytest.mark.parametrize("words", [[], ["-o", "backburn_require_gpu=true"]])
    def test_gpu_runs_where_there_is_one(self, pytester, monkeypatch, words):
        """A program of that name is what WSL shows of a GPU."""
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        program = pytester.path / "bin" / "nvidia-smi"
        program.parent.mkdir()
        program.touch(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
        pytester.makepyfile(test_it=self.GPU)
        pytester.runpytest_subprocess("-q", *words, "test_it.py").assert_outcomes(passed=1)

    @pytest.mark.parametrize("by", ["ini", "conftest"])
    def test_a_gpu_marker_of_the_projects_own_is_left_alone(self, pytester, by):
        if by == "ini":
            pytester.makeini("[pytest]\nmarkers = gpu(count): ours\n")
        else:
            line = 'def pytest_configure(config): config.addinivalue_line("markers", "gpu: ours")'
            pytester.makeconftest(line)
        pytester.makepyfile(test_it=self.GPU)
        done = pytester.runpytest_subprocess("-q", "-o", "backburn_require_gpu=true", "test_it.py")
        done.assert_outcomes(passed=1)

    def test_an_option_of_the_projects_own_is_left_alone(self, pytester):
        pytester.makeconftest('def pytest_addoption(parser): parser.addoption("--require-gpu", action="store_true")')
        pytester.makepyfile(test_it="def test_it(pytestconfig): assert pytestconfig.getoption('--require-gpu')")
        pytester.runpytest_subprocess("-q", "--require-gpu", "test_it.py").assert_outcomes(passed=1)


def test_a_pytest_that_asks_nothing_loads_nothing(pytester):
    """What it takes is in `python -m benchmarks.pytest_plugin`."""
    pytester.makepyfile(test_it="""
        import sys

        def test_it(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("backburn")
            ours = {name for name in sys.modules if name.startswith("backburn")}
            assert ours == {"backburn", "backburn.pytest_plugin"}
            assert not {"torch", "lightning", "click", "rich", "msgspec"} & set(sys.modules)
        """)
    pytester.runpytest_subprocess("-q", "test_it.py").assert_outcomes(passed=1)


@pytest.mark.slow
def test_a_second_session_reuses_and_a_second_ask_trains(project, pytester, monkeypatch, tmp_path):
    monkeypatch.delenv("BACKBURN_FORCE")
    monkeypatch.delenv("GITHUB_RUN_ATTEMPT", raising=False)
    monkeypatch.setenv("BACKBURN_CACHE", str(tmp_path / "cache"))
    body = """reused = [memorize("net", force=FORCE).reused for _ in range(2)]
assert reused == WANTED"""
    for force, wanted in ((False, [(), ()]), (False, [("net",), ()]), (True, [(), ()])):
        project(body.replace("FORCE", str(force)).replace("WANTED", str(wanted))).assert_outcomes(passed=1)


# Of a module and its data, in this process

IN_PROCESS = """
import torch
from torch import nn
from train import Net, samples


class Turned(Net):
    def training_step(self, batch, batch_idx):
        return -super().training_step(batch, batch_idx)


class Frozen(Net):
    def __init__(self):
        super().__init__()
        self.net[0].requires_grad_(False)


def test_sound(memorize):
    module = Net()
    assert memorize(module, samples(), steps=200, trainer={"gradient_clip_val": 10.0}).verdict == "pass"
    assert memorize(module=module, data=samples()).cause is None


def test_turned(memorize):
    memorize(Turned(), samples())


def test_allowed(memorize):
    memorize(Turned(), samples(), allow=["loss-*"])


def test_against_a_report(memorize):
    memorize(Frozen(), samples(), reference=memorize(Net(), samples()))


def test_declared(memorize):
    memorize(Frozen(), samples(), reference=memorize(Net(), samples()), frozen=["net.0.*"])


def test_no_such_reference(memorize):
    memorize(Net(), samples(), reference="references/none.json")


def test_no_module(memorize):
    memorize(3, samples())
"""


def test_a_module_and_its_data_are_judged_in_this_process(pytester, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # for the cause in the short summary
    body = TRAIN.replace("SIGN", "1").partition("x, y = torch.randn")[0]
    body += """
def samples():
    torch.manual_seed(0)
    return DataLoader(TensorDataset(torch.randn(64, 8), torch.randint(4, (64,))), batch_size=16)
"""
    pytester.makepyprojecttoml("[tool.pytest.ini_options]\n")
    pytester.makepyfile(train=body, test_it=IN_PROCESS)
    done = pytester.runpytest_subprocess("-q", "-rA", "test_it.py")
    text = done.stdout.str()
    lines = [line for line in text.splitlines() if re.match("(PASSED|FAILED|SKIPPED) ", line)]
    said = {line.partition("::")[2].partition(" ")[0]: line for line in lines}
    failed = {name for name, line in said.items() if line.startswith("FAILED")}
    assert failed == {"test_turned", "test_against_a_report", "test_no_such_reference", "test_no_module"}, text
    assert re.search(r"Failed: memorize/loss-sign: training_step returned -1.00 ×", said["test_turned"])
    assert "memorize/parameters-stay-trainable" in said["test_against_a_report"]
    assert re.search(r"error: memorize/loss-sign train\.py:\d+$", text, re.M)
    assert "then `pytest test_it.py::test_turned`." in text and "pytest_plugin.py" not in text
    assert "references/none.json" in said["test_no_such_reference"]
    assert "module must be a LightningModule, got int" in said["test_no_module"]
    assert not (pytester.path / "build").exists() and not (pytester.path / "lightning_logs").exists()
