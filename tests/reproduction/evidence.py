"""Folders of evidence as `backburn reproduce` leaves them, of symbolic trainings."""

import json

import msgspec

from backburn import references
from backburn.references import Machine, Reference

MACHINE = Machine(hardware="cpu-avx2", hard={"torch": "2.13.0", "threads": "1"}, soft={"kernel": "6.1"})
TOLD = {
    "kind": "reproduce-probe",
    "schema": 1,
    "ended": "fit",
    "seeded": [42],
    "steps": 12,
    "planned": 12,
    "losses": [[1, 2.5], [2, 2.0], [3, 1.5]],
    "means": [[1, 2.5], [2, 2.0]],
    "rates": [[1, 0.01]],
    "metrics": {"val_loss": 0.3, "epoch_time": 3.5},
    "validations": {"val_loss": [[4, 0.5], [8, 0.4], [12, 0.3]], "epoch_time": [[4, 1.0]]},
    "samples": 100,
    "settings": {"hparams.lr": "0.01"},
    "data": {"train batches": "0123456789abcdef0123456789abcdef"},
    "machine": msgspec.to_builtins(MACHINE),
}


def folder(path, steps=(), training="digits", **told):
    """Evidence in `path`: the probe's answer, the recorded steps, and a candidate."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "probe.json").write_text(json.dumps(TOLD | told))
    lines = [{"kind": "steps", "schema": 1}, *map(msgspec.to_builtins, steps)]
    if steps:
        (path / "steps.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if training:
        references.write(reference(training=training), path / "candidate.json")
    return path


def reference(**changed):
    figures = {"steps": (12, 12), "samples": (100, 100), "final val_loss": (0.3, 0.31), "final recall@5": (0.5, 0.5)}
    about = {
        "stage": "reproduce",
        "training": "digits",
        "machine": MACHINE,
        "seeds": (42, 43),
        "figures": figures | {"loss@1": (2.5, 2.6), "loss@2": (2.0, 2.1), "loss@3": (1.5, 1.6)},
        "settings": {"hparams.lr": "0.01"},
        "data": {"train batches": "0123456789abcdef0123456789abcdef"},
        "commit": "0123456789abcdef",
    }
    return Reference(**about | changed)
