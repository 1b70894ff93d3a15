"""actions/cache, rehearsed: entries live as long as the rehearsal, and a key is written once."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

if TYPE_CHECKING:
    from backburn.rehearse.standins import globs, step
else:  # served beside this file
    import globs
    import step

_KEY_LENGTH = 512  # GitHub's limit, in characters


def version(paths: List[str]) -> str:
    """An entry answers only for the very same paths."""
    return hashlib.sha256("\n".join(paths).encode()).hexdigest()[:16]


def entries(paths: List[str]) -> List[Path]:
    """The entries for these paths, the newest first."""
    found = step.place("cache").glob(f"{version(paths)}/*/entry.json")
    return [one.parent for one in sorted(found, key=lambda one: one.stat().st_mtime_ns, reverse=True)]


def find(paths: List[str], keys: List[str]) -> Optional[Path]:
    """The entry of the first key, else the newest whose key begins with it, then the same for the next key."""
    named = {key_of(one): one for one in reversed(entries(paths))}
    for key in keys:
        if key in named:
            return named[key]
        for one in entries(paths):
            if key_of(one).startswith(key):
                return one
    return None


def key_of(entry: Path) -> str:
    """The key that an entry was saved under."""
    return str(json.loads((entry / "entry.json").read_text(encoding="utf-8"))["key"])


def restore() -> None:
    """Copy back what was kept, and say whether it was the very key."""
    key, paths = step.given("key"), step.lines("path")
    keys = [key, *step.lines("restore-keys")]
    check(keys, paths)
    step.append("GITHUB_STATE", "key", key)
    step.put("cache-primary-key", key)
    entry = find(paths, keys)
    if entry is None:
        if step.yes("fail-on-cache-miss"):
            step.fail(f"Failed to restore cache entry. Exiting as fail-on-cache-miss is set. Input key: {key}")
        print(f"Cache not found for input keys: {', '.join(keys)}")
        return
    matched = key_of(entry)
    step.append("GITHUB_STATE", "matched", matched)
    step.put("cache-hit", str(matched == key).lower())
    step.put("cache-matched-key", matched)
    if not step.yes("lookup-only"):
        for name in json.loads((entry / "entry.json").read_text(encoding="utf-8"))["files"]:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(f"{entry}/files/{name}", name)
    print(f"Cache restored from key: {matched}")


def save() -> None:
    """Keep the files under the key that `restore` was asked for; a key that exists is left as it is."""
    key, paths = os.environ.get("STATE_key") or step.given("key"), step.lines("path")
    check([key], paths)
    if os.environ.get("STATE_matched") == key:
        print(f"Cache hit occurred on the primary key {key}, not saving cache.")
        return
    folder = step.place("cache") / version(paths) / hashlib.sha256(key.encode()).hexdigest()[:16]
    if folder.exists():
        step.warn(f"Failed to save: Unable to reserve cache with key {key}, another job may be creating this cache.")
        return
    search = globs.Search(paths, os.getcwd())
    # Relative to the workspace, which is another folder in another job. What lies outside it is this machine's own
    # (`~/.cache/pre-commit`, say): the steps have it already, and a rehearsal must not write there.
    own = [one for one in search.paths if not globs.is_below(one, os.getcwd())]
    files = [os.path.relpath(one) for one in search.files(hidden=True) if globs.is_below(str(one), os.getcwd())]
    if own:
        print(f"Left as it is, outside the workspace: {', '.join(own)}")
    if not files and not own:
        step.warn("Path Validation Error: Path(s) specified in the action for caching do(es) not exist.")
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=step.place("cache")))
    for name in files:
        to = Path(f"{draft}/files/{name}")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, to)
    (draft / "entry.json").write_text(json.dumps({"key": key, "files": files}), encoding="utf-8")
    draft.rename(folder)
    print(f"Cache saved with key: {key}")


def check(keys: List[str], paths: List[str]) -> None:
    """Fail for what the real action refuses."""
    if not paths or not keys[0]:
        step.fail(f"Input required and not supplied: {'key' if paths else 'path'}")
    for key in keys:
        if len(key) > _KEY_LENGTH or "," in key:
            step.fail(f"Key Validation Error: {key} cannot be larger than 512 characters or contain commas.")


if __name__ == "__main__":
    {"restore": restore, "save": save}[sys.argv[1]]()
    if sys.argv[2:] == ["unsaved"]:
        print("::notice::this rehearsal saves no cache: only a node action can, and there is no node on the PATH")
