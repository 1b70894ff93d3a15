"""actions/upload-artifact, rehearsed: the files go to the rehearsal's folder, one folder per artifact."""

import hashlib
import json
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List

if TYPE_CHECKING:
    from backburn.rehearse.standins import globs, step
else:  # served beside this file
    import globs
    import step

_NONE = "No files were found with the provided path: {}. No artifacts will be uploaded."
_WAYS = ("warn", "error", "ignore")
LEG = os.environ.get("RUNNER_TEMP", "")  # each job, and each leg of a matrix, has its own
_CONFLICT = (
    "Failed to CreateArtifact: Received non-retryable error: Failed request: (409) Conflict: "
    "an artifact with this name already exists on the workflow run"
)


def checked(name: str) -> str:
    """Fail for a name that the service refuses."""
    bad = re.search(r'[":<>|*?\r\n\\/]', name)
    if bad:
        step.fail(f"The artifact name is not valid: {name}. Contains the following character: {bad[0]!r}")
    return name


def missing(patterns: str) -> None:
    """No file was found: what `if-no-files-found` says of it."""
    way = step.given("if-no-files-found", "warn")
    if way not in _WAYS:
        step.fail(f"Unrecognized if-no-files-found input. Provided: {way}. Available options: {', '.join(_WAYS)}")
    message = _NONE.format(patterns)
    if way == "error":
        step.fail(message)
    if way == "warn":
        step.warn(message)
    else:
        print(message)


def claim(name: str) -> Path:
    """The artifact's new, empty folder; a name that is taken fails, unless `overwrite` says so."""
    for folder in candidates(name):
        if step.yes("overwrite") and folder.is_dir():
            shutil.rmtree(folder)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    step.fail(_CONFLICT)


def candidates(name: str) -> List[Path]:
    """The folder of that name. A name that ends in `-` lacks its `strategy.job-index`, which act leaves empty inside
    an action: it gets a number of this leg of the matrix, so that legs do not meet but a second upload does.
    """
    folder = step.place("artifacts")
    if not name.endswith("-"):
        return [folder / name]
    mine = [one["name"] for one in entries() if one["leg"] == LEG and one["name"][: len(name)] == name]
    return [folder / mine[0]] if mine else [folder / f"{name}{number}" for number in range(256)]


def entries() -> List[Dict[str, str]]:
    """What was uploaded before, by every job."""
    index = step.place("index")
    return [json.loads(line) for line in index.read_text().splitlines()] if index.is_file() else []


def store(folder: Path, files: List[Path], root: str) -> str:
    """Copy, and return the digest of all paths and contents."""
    digest = hashlib.sha256()
    for file in files:
        inside = os.path.relpath(file, root)
        to = folder / inside
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to)  # as after a zip: no permissions
        digest.update(inside.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def main() -> None:
    """Find, name, store and announce."""
    if not step.lines("path"):
        step.fail("Input required and not supplied: path")
    search = globs.Search(step.lines("path"), os.environ["GITHUB_WORKSPACE"])
    files = sorted(set(search.files(step.yes("include-hidden-files")))) if search.paths else []
    if not files:
        missing("%0A".join(step.lines("path")))
        return
    name = step.given("name", "artifact")
    if step.given("archive", "true") == "false":
        if len(files) > 1:
            step.fail("When 'archive' is set to false, only a single file can be uploaded.")
        name = files[0].name
    folder = claim(checked(name))
    digest = store(folder, files, search.root)
    number = 10**9 + secrets.randbelow(10**9)
    with step.place("index").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"id": number, "name": folder.name, "leg": LEG, "digest": digest}) + "\n")
    step.put("artifact-id", number)
    step.put("artifact-url", folder.as_uri())
    step.put("artifact-digest", digest)
    print(f"Artifact {folder.name} has been successfully uploaded! {len(files)} file(s) in {folder}")


if __name__ == "__main__":
    main()
