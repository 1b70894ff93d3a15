"""actions/download-artifact, rehearsed: from the rehearsal's folder, for this workflow only."""

import json
import os
import shutil
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List

if TYPE_CHECKING:
    from backburn.rehearse.standins import step
else:  # served beside this file
    import step


def known() -> Dict[str, str]:
    """Every artifact of this workflow: name -> number. The last upload of a name counts (`overwrite`)."""
    index = step.place("index")
    entries = [json.loads(line) for line in index.read_text().splitlines()] if index.is_file() else []
    return {entry["name"]: str(entry["id"]) for entry in entries}


def chosen(artifacts: Dict[str, str]) -> List[str]:
    """The names to take; a name or number that is not there fails, as does asking for both."""
    name, numbers = step.given("name"), [one.strip() for one in step.given("artifact-ids").split(",") if one.strip()]
    if name and numbers:
        step.fail("Inputs 'name' and 'artifact-ids' cannot be used together. Please specify only one.")
    if name:
        if name not in artifacts:
            step.fail(f"Unable to download artifact(s): Artifact not found for name: {name}")
        return [name]
    if numbers:
        absent = [one for one in numbers if one not in artifacts.values()]
        if absent:
            step.fail(f"Unable to download artifact(s): no artifact has the number {', '.join(absent)}")
        return [one for one in artifacts if artifacts[one] in numbers]
    pattern = step.given("pattern", "*")
    return [one for one in sorted(artifacts) if fnmatchcase(one, pattern)]


def main() -> None:
    """Choose and copy: one by name straight into `path`, several into a folder each unless they are merged."""
    if step.given("run-id"):
        step.fail("run-id: a rehearsal has no other runs to download from")
    artifacts = known()
    names = chosen(artifacts)
    to = Path(os.environ["GITHUB_WORKSPACE"], os.path.expanduser(step.given("path", ".")))
    straight = bool(step.given("name")) or step.yes("merge-multiple")
    straight = straight or (bool(step.given("artifact-ids")) and len(names) == 1)
    for name in names:
        shutil.copytree(step.place("artifacts") / name, to if straight else to / name, dirs_exist_ok=True)
    step.put("download-path", to)
    print(f"Total of {len(names)} artifact(s) downloaded to {to}")


if __name__ == "__main__":
    main()
