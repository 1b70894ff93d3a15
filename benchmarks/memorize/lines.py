"""The verdicts on disk, one line of JSON each, so that a run that was interrupted goes on."""

import hashlib
import json
import os
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src" / "backburn"
# What no verdict of the function depends on.
ASIDE = {"renderers", "rehearse", "history", "pool", "cli.py", "pytest_plugin.py", "pages.py", "bless.py", "onpath"}
MATERIAL = {"programs", "mutants", "held_out", "task.py", "soundness.py"}


class Lines:
    """Lines by key, of one state of the sources (`of`). Every process adds to a file of its own and reads all."""

    def __init__(self, folder, of, further=()):
        """`further` are files from elsewhere (another machine's shard); their lines count where they are `of` it."""
        self.of, self.known = of, {}
        self.folder = Path(folder, of)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / f"{os.getpid()}.jsonl"
        self.read(*further)

    def read(self, *further):
        """Take in what other processes wrote."""
        for path in [*sorted(self.folder.glob("*.jsonl")), *map(Path, further)]:
            for line in map(_parsed, path.read_text().splitlines()):
                if line.get("of") == self.of:
                    self.known[line["key"]] = line
        return self

    def once(self, key, make):
        """The line that has this key, made now where there is none."""
        if key not in self.known:
            line = {"key": key, "of": self.of} | make()
            with self.file.open("a") as file:
                file.write(json.dumps(line) + "\n")
            self.known[key] = line
        return self.known[key]


def _parsed(text):
    try:
        return json.loads(text)
    except ValueError:  # cut short when its process ended
        return {}


def material():
    """The state of the programs and of the mutants."""
    return _digest(path for path in HERE.rglob("*.py") if set(path.relative_to(HERE).parts) & MATERIAL)


def aside():
    """The state of all that decides what does not depend on us: whether a mutant changes anything, the baselines."""
    return f"aside-{_digest((HERE / 'baselines').glob('*.py'))}-{material()}"


def engine(device):
    """The state of all that decides a verdict of ours, on that device."""
    own = [path for path in SOURCE.rglob("*.py") if not ASIDE & set(path.relative_to(SOURCE).parts)]
    return f"{device}-{_digest([*own, HERE / 'verdicts.py'])}-{material()}"


def _digest(paths):
    found = hashlib.sha256()
    for path in sorted(paths):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]
