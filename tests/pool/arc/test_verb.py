"""As somebody types it."""

import pytest
import yaml

from backburn import cli
from tests.pool import scene
from tests.pool.arc.test_values import DIGEST, pool


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """`typed("--image", …)` -> (exit code, stdout, stderr), with a pool.toml here."""
    pool(tmp_path)
    monkeypatch.chdir(tmp_path)

    def type_(*words):
        code = cli._guarded(["pool", "export-arc", *words])
        return code, *capsys.readouterr()

    type_.folder = tmp_path
    return type_


def test_values_go_out_and_what_is_lost_beside_them(typed):
    code, out, err = typed()
    assert code == 0 and yaml.safe_load(out)["runnerScaleSetName"] == "lab1"
    assert "GPU health gate" in err and "mounts: hostPath" in err and "costs: no ledger" in err


def test_into_a_file(typed):
    code, out, err = typed("--output", "values.yaml")
    assert (code, out) == (0, "") and "values.yaml: written" in err
    assert (typed.folder / "values.yaml").read_text() == typed()[1]


def test_a_file_that_cannot_be_written_is_said(typed):
    code, out, err = typed("--output", "no/such/values.yaml")
    assert code == 2 and "no/such/values.yaml" in err and "--output" in err and out == ""


def test_an_id_is_refused_until_an_image_is_said(typed):
    pool(typed.folder, image="sha256:" + "ab" * 32)
    code, out, err = typed()
    assert code == 2 and out == "" and "no node can pull" in err and "--image" in err
    code, out, _ = typed("--image", DIGEST)
    assert code == 0 and DIGEST in out


def test_a_file_with_a_mistake_is_no_bug_of_ours(typed):
    scene.written(typed.folder, "[poool]\n")
    code, _, err = typed()
    assert code == 2 and "[poool]" in err and "Traceback" not in err


def test_no_library_of_the_pools_is_needed(typed, monkeypatch):
    """On a laptop with the file alone."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert typed()[0] == 0
