"""The program itself, with the real nvidia-ml-py and a driver that is told what to say: a line for each line."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import backburn.pool.health as package
from tests.pool.health.virtual import SOUND
from tests.pool.scene import GPU

OTHER = "GPU-6f1a0b2c-0000-4000-8000-000000000002"


class Program:
    """It, and a line asked of it."""

    def __init__(self, driver, *uuids, words=("-m", "backburn.pool.health.nvml")):
        env = {**os.environ, "LD_LIBRARY_PATH": str(driver.path)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": env}
        self.child = subprocess.Popen([sys.executable, *words, *uuids], text=True, **pipes)

    def look(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return self.line()

    def line(self):
        return json.loads(self.child.stdout.readline())


@pytest.fixture
def program(driver):
    started = []

    def start(*uuids, **more):
        started.append(Program(driver, *uuids, **more))
        return started[-1]

    yield start
    for one in started:
        one.child.communicate(timeout=10)  # its stdin is closed: it ends


def test_a_sound_card(program):
    (reading,) = program(GPU).look()["readings"]
    expected = {"device": GPU, **SOUND, "compute": [], "graphics": []}
    assert reading == expected


def test_each_device_answers_for_itself(program, driver):
    driver.set(**{f"{OTHER}/device": 15, f"{GPU}/compute": 7, f"{GPU}/graphics": 9})
    one, two = program(GPU, OTHER).look()["readings"]
    assert (one["compute"], one["graphics"], "error" in one) == ([7], [9], False)
    assert (two["device"], two["error"]) == (OTHER, 15) and "recovery" not in two


@pytest.mark.parametrize("code", [3, 13, 4, 2])
def test_a_value_that_is_not_supported_is_left_out_alone(program, driver, code):
    driver.set(ecc=f"!{code}", recovery=f"!{code}", remap_pending=f"!{code}", inforom=f"!{code}")
    (reading,) = program(GPU).look()["readings"]
    assert set(SOUND) - set(reading) == {"ecc_uncorrected", "recovery", "remap_pending", "remap_failed", "inforom"}
    assert "error" not in reading


def test_what_was_read_before_the_card_was_lost_is_told(program, driver):
    driver.set(recovery=1, ecc="!16")
    (reading,) = program(GPU).look()["readings"]
    assert (reading["recovery"], reading["error"]) == (1, 16) and "throttle" not in reading


def test_a_uuid_that_is_not_there_and_then_is(program, driver):
    driver.set(handle="!6")
    looking = program(GPU)
    assert looking.look()["readings"][0]["error"] == 6
    driver.sound()
    assert "error" not in looking.look()["readings"][0]


def test_events_come_without_being_asked_for(program, driver):
    driver.set(event_types=0xC008)
    looking = program(GPU, OTHER)
    looking.look()
    driver.event(OTHER, 79)
    assert looking.line() == {"type": "event", "device": OTHER, "kind": "xid", "code": 79, "at": 0.0, "passed": 0.0}
    driver.event(GPU, 1, kind=0x8000)
    assert (told := looking.line())["kind"] == "change" and told["device"] == GPU


def test_without_events_the_kernels_log_is_read(program, driver, tmp_path):
    driver.set(register="!3")
    log = tmp_path / "kmsg"
    log.touch()
    text = f"import sys; from backburn.pool.health import nvml; nvml.main(sys.argv[1:], nvml._teller(), {str(log)!r})"
    looking = program(GPU, words=("-c", text))
    assert looking.look()["readings"][0]["xids"] == 1
    log.write_text("4,1;NVRM: Xid (PCI:0000:10:1c): 119, pid=7\n")
    assert (told := looking.line())["code"] == 119 and told["device"] == GPU


def test_a_driver_that_refuses_ends_it(program, driver):
    driver.set(init="!18")
    looking = program(GPU)
    told = looking.look()
    assert (told["type"], told["kind"], told["code"]) == ("trouble", "driver", 18)
    assert looking.child.wait(5) == 1


def test_without_the_binding_it_says_what_to_install(program):
    text = (
        "import sys; sys.modules['pynvml'] = None; from backburn.pool.health import nvml; nvml.main([], nvml._teller())"
    )
    told = program(words=("-c", text)).look()
    assert told["code"] == -1 and "pip install 'backburn[pool]'" in told["said"]


def test_older_drivers_have_other_names(program, driver):
    """What R535 and R510 renamed, by a driver that lacks the new names."""
    text = (
        "import sys, pynvml; from backburn.pool.health import nvml\n"
        "def gone(*given): raise pynvml.NVMLError(13)\n"
        "pynvml.nvmlDeviceGetCurrentClocksThrottleReasons = pynvml.nvmlDeviceGetCurrentClocksEventReasons\n"
        "pynvml.nvmlDeviceGetComputeRunningProcesses_v2 = pynvml.nvmlDeviceGetComputeRunningProcesses_v3\n"
        "pynvml.nvmlDeviceGetGraphicsRunningProcesses_v2 = pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3\n"
        "whole = pynvml.nvmlDeviceGetMemoryInfo\n"
        "pynvml.nvmlDeviceGetMemoryInfo = lambda d, v=None: gone() if v else whole(d, pynvml.nvmlMemory_v2)\n"
        "for name in ('CurrentClocksEventReasons', 'ComputeRunningProcesses_v3', 'GraphicsRunningProcesses_v3'):\n"
        "    setattr(pynvml, f'nvmlDeviceGet{name}', gone)\n"
        "nvml.main(sys.argv[1:], nvml._teller())"
    )
    driver.set(compute=7)
    (reading,) = program(GPU, words=("-c", text)).look()["readings"]
    assert (reading["throttle"], reading["compute"], reading["memory_used"]) == (1, [7], 4 << 20)


def test_for_a_lost_card_it_makes_room_for_another(program, driver):
    text = "import sys; from backburn.pool.health import nvml; nvml._ANEW = 0; nvml.main(sys.argv[1:], nvml._teller())"
    looking = program(GPU, words=("-c", text))
    driver.set(device=15)
    assert looking.look()["readings"][0]["error"] == 15
    assert looking.line()["kind"] == "anew" and looking.child.wait(5) == 0


def test_one_module_has_the_binding_and_late():
    having = []
    for path in Path(package.__file__).parents[1].rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        having += [path.name] if "pynvml" in names else []
        assert not any(isinstance(node, ast.Import) and node.names[0].name == "pynvml" for node in tree.body)
    assert having == ["nvml.py"]
