"""The fixtures as a project's own tests use them: a pytest of their own, real trainings on the CPU."""

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
        return pytester.runpytest_subprocess("-q", "-rs", "test_it.py")

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
    assert "error: memorize/loss-above-bound [net]" in text and "minimised with the wrong sign" in text
    assert "test_it.py:" not in text and "pytest_plugin.py" not in text


def test_what_could_not_be_judged_is_a_skip_with_the_reason_or_a_fail(project):
    done = project('memorize("gone")')
    done.assert_outcomes(skipped=1)
    assert "backburn memorize: unjudged: no Trainer.fit was seen" in done.stdout.str()
    done = project('memorize("gone", unjudged="fail")')
    done.assert_outcomes(failed=1)
    assert "? memorize: unjudged" in done.stdout.str()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('memorize("nett")', "no training is called 'nett'"),
        ('memorize("net", unjudged="maybe")', 'unjudged is "skip" or "fail", got \'maybe\''),
        ('memorize("net", stepz=3)', "stepz"),
    ],
)
def test_asked_wrongly_fails_and_says_how(project, body, said):
    done = project(body)
    done.assert_outcomes(failed=1)
    assert said in done.stdout.str()


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
        time.sleep(0.05)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    assert "interrupted by SIGINT" in child.communicate(timeout=20)[0]
    assert child.returncode == pytest.ExitCode.INTERRUPTED


def test_two_that_ask_at_once_take_turns(pytester):
    """As pytest-xdist's workers do: each is a pytest of its own."""
    pytester.makepyprojecttoml(PROJECT)
    pytester.makepyfile(train="import time\ntime.sleep(2)\n")
    pytester.makepyfile(test_it="def test_it(memorize):\n    memorize('net')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "test_it.py"]
    both = [subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate(timeout=60)[0] for one in both]
    assert all("unjudged: no Trainer.fit was seen" in one for one in said), said


def test_a_pytest_that_asks_nothing_loads_nothing(pytester):
    pytester.makepyfile(test_it="""
        import sys

        def test_it(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("backburn")
            ours = {name for name in sys.modules if name.startswith("backburn")}
            assert ours == {"backburn", "backburn.pytest_plugin"}
            assert not {"torch", "lightning", "click", "rich", "msgspec"} & set(sys.modules)
        """)
    pytester.runpytest_subprocess("-q", "test_it.py").assert_outcomes(passed=1)


def test_it_costs_a_pytest_next_to_nothing():
    code = "import pytest, time; t = time.process_time(); import backburn.pytest_plugin; print(time.process_time() - t)"
    seconds = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3)]
    assert min(seconds) < 0.01
