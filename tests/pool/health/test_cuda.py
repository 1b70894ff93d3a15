"""The probe: what one try, and two, come to. The work is cuda_work's."""

import json
import sys
import time

from backburn.pool.health import cuda
from backburn.pool.health.cuda import probe
from backburn.pool.health.symptom import Blame, Severity

SLOT = "GPU-6f1a0b2c-0000-4000-8000-000000000001"


def said(text):
    return [sys.executable, "-c", f"import os; {text}"]


def answer(**worked):
    return said(f"print('noise'); print({json.dumps(worked)!r})")


def test_a_gpu_that_works_has_no_symptom():
    assert probe(SLOT, words=answer(memory=1, seconds=2.5)) is None


def test_it_sees_the_one_device_and_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "ghs_canary")
    path = tmp_path / "env"
    assert probe(SLOT, words=said(f"open({str(path)!r}, 'w').write(str(dict(os.environ))); print('{{}}')")) is None
    text = path.read_text()
    assert f"'CUDA_VISIBLE_DEVICES': '{SLOT}'" in text and "canary" not in text


def test_one_failure_is_tried_again_and_two_make_it_unfit(tmp_path):
    path = tmp_path / "tries"
    once = f"f = open({str(path)!r}, 'a'); f.write('x'); f.close(); n = os.path.getsize(f.name); "
    assert probe(SLOT, words=said(once + """print('{"failed": "odd"}' if n < 2 else '{}')""")) is None
    assert path.read_text() == "xx"
    found = probe(SLOT, words=answer(failed="cuMemAlloc: \x1b[31mNO"), now=lambda: 7.0)
    assert (found.check, found.device, found.severity, found.blame) == (
        "gpu/probe",
        SLOT,
        Severity.UNFIT,
        Blame.MACHINE,
    )
    assert "2 times: cuMemAlloc" in found.said and "\x1b" not in found.said and found.at == 7.0


def test_without_cuda_it_is_noted_only():
    found = probe(SLOT, words=answer(absent="libcuda.so.1: no such file"))
    assert (found.severity, found.blame) == (Severity.NOTED, Blame.CODE) and "libcuda.so.1" in found.said
    assert probe(SLOT, words=["/nowhere/python"]).severity is Severity.NOTED


def test_a_crash_and_a_hang_are_failures():
    assert "exit code -6" in probe(SLOT, words=said("os.abort()")).said
    assert "exit code 0" in probe(SLOT, words=said("print('[1]')")).said
    begun = time.monotonic()
    assert "not done within 0 s" in probe(SLOT, words=said("import time; time.sleep(60)"), limit=0.3).said
    assert time.monotonic() - begun < 5


def test_what_is_started_is_the_work_by_this_python():
    assert cuda.command() == [sys.executable, "-P", "-m", "backburn.pool.health.cuda_work"]
