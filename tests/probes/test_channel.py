import json
import os

import pytest

from backburn.probes import channel


def test_no_variable_asks_nothing(monkeypatch):
    monkeypatch.delenv(channel.VARIABLE, raising=False)
    assert channel.asked() is None


def test_what_is_asked_is_read_back(monkeypatch, tmp_path):
    text = {"stage": "memorize", "settings": {"steps": 3}, "evidence": str(tmp_path / "probe.json")}
    monkeypatch.setenv(channel.VARIABLE, json.dumps(text))
    asked = channel.asked()
    assert (asked.stage, asked.settings, asked.answered) == ("memorize", {"steps": 3}, False)


def test_an_answer_is_whole_or_absent(tmp_path):
    asked = channel.Asked("memorize", {}, str(tmp_path / "probe.json"))
    with pytest.raises(TypeError):
        channel.answer(asked, {"losses": [object()]})
    assert not asked.answered
    channel.answer(asked, {"losses": (0.1 + 0.2, float("nan"), float("inf"), -0.0)})
    assert asked.answered
    assert (tmp_path / "probe.json").read_text() == '{"losses": [0.30000000000000004, "nan", "inf", -0.0]}'


def test_a_folder_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(OSError, match="gone"):
        channel.answer(channel.Asked("memorize", {}, os.fspath(tmp_path / "gone" / "probe.json")), {})


def test_all_in_a_process_are_asked_the_same(monkeypatch):
    """A note made by one of them (a Trainer's arguments) reaches the next (its callback)."""
    monkeypatch.setenv(channel.VARIABLE, json.dumps({"stage": "memorize", "settings": {}, "evidence": "x"}))
    channel.asked().settings["accumulated"] = 4
    assert channel.asked().settings == {"accumulated": 4}
    monkeypatch.setenv(channel.VARIABLE, json.dumps({"stage": "memorize", "settings": {}, "evidence": "y"}))
    assert channel.asked().settings == {}
