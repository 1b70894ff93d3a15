"""What a release needs of the files here: docs/release.md has the order. Standard library and git only.

python scripts/release.py prepare 1.2.3    the version and the CHANGELOG's heading; a person commits and tags
python scripts/release.py check v1.2.3     nothing where tag, versions and CHANGELOG agree, else what does not (exit 1)
python scripts/release.py notes v1.2.3     the CHANGELOG's section and how to pin the release
python scripts/release.py pin v1.2.3       the tag's commit into every `uses:` that the documentation shows
"""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHANGELOG = ROOT / "CHANGELOG.md"
VERSIONS = {ROOT / "pyproject.toml": "version", ROOT / "src/backburn/__init__.py": "__version__"}
NUMBER = r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
SHOWN = ("README.md", "docs/*.md", "actions/*/README.md")  # where a reader copies a `uses:` from
USES = re.compile(r"(backburn-ci/backburn/actions/[a-z-]+@)(?:<commit>|[0-9a-f]{40}) # (?:<version>|v[0-9.]+)")


class Refused(Exception):
    """What was asked cannot be done, or must not."""


def prepare(version: str) -> Iterator[str]:
    """Write `version` where it stands, date its section; yields what a person does next. Raises Refused."""
    if problem := next(unfit(version), ""):
        raise Refused(problem)
    for path, name in VERSIONS.items():
        path.write_text(re.sub(rf'(?m)^{name} = "[^"]+"', f'{name} = "{version}"', path.read_text("utf-8")), "utf-8")
    heading = f"## Unreleased\n\n## {version} - {datetime.date.today()}\n"
    CHANGELOG.write_text(CHANGELOG.read_text("utf-8").replace("## Unreleased\n", heading, 1), "utf-8")
    tag = f"v{version}"
    yield f"git commit -m 'release: {tag}' -- pyproject.toml src/backburn/__init__.py CHANGELOG.md"
    yield f"git push origin HEAD   # through a pull request; then, on main:\ngit tag -a {tag} -m {tag}"
    yield f"git push origin {tag}  # .github/workflows/release.yml does the rest"


def unfit(version: str) -> Iterator[str]:
    """Why this cannot be the next version."""
    if not re.fullmatch(NUMBER, version):
        yield f"{version!r} is no version: three numbers, such as 1.2.3, and no v"
        return
    released = re.findall(rf"(?m)^## {NUMBER} - ", CHANGELOG.read_text("utf-8"))
    asked = tuple(map(int, version.split(".")))
    if released and asked <= (last := max(tuple(map(int, one)) for one in released)):
        yield f"{version} does not come after {'.'.join(map(str, last))}, which is released"
    if not section("Unreleased"):
        yield "CHANGELOG.md: nothing under Unreleased"


def check(tag: str) -> Iterator[str]:
    """What does not agree with the tag."""
    if not re.fullmatch(f"v{NUMBER}", tag):
        yield f"tag {tag!r}: a release is a full version, such as v1.2.3"
        return
    version = tag[1:]
    for path, name in VERSIONS.items():
        found = re.search(rf'(?m)^{name} = "([^"]+)"', path.read_text("utf-8"))
        if not found or found[1] != version:
            yield f"{path.relative_to(ROOT)}: {name} is {found[1] if found else 'not there'}, the tag is {tag}"
    if not re.search(rf"(?m)^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$", CHANGELOG.read_text("utf-8")):
        yield f"CHANGELOG.md: no heading `## {version} - <date>`"
    elif not section(version):
        yield f"CHANGELOG.md: nothing under {version}"
    if commit(tag) != commit("HEAD"):
        yield f"{tag} is not what is checked out"


def section(name: str) -> str:
    """The CHANGELOG's section of a version, without its heading."""
    found = re.search(rf"(?ms)^## {re.escape(name)}(?: - \S+)?\n(.*?)(?=^## |\Z)", CHANGELOG.read_text("utf-8"))
    return found[1].strip() if found else ""


def notes(tag: str) -> Iterator[str]:
    """The words of the release: what changed, and the line to copy."""
    yield section(tag[1:])
    yield f"\n### To use it\n\n```yaml\n- uses: backburn-ci/backburn/actions/memorize@{commit(tag)} # {tag}\n```"


def pin(tag: str) -> Iterator[str]:
    """Write the tag's commit into what readers copy; yields the files. No commit holds its own name: the next does."""
    known = commit(tag)
    for path in sorted(path for pattern in SHOWN for path in ROOT.glob(pattern)):
        text = path.read_text("utf-8")
        if (pinned := USES.sub(rf"\g<1>{known} # {tag}", text)) != text:
            path.write_text(pinned, "utf-8")
            yield str(path.relative_to(ROOT))


def commit(revision: str) -> str:
    """The full hash. Raises Refused where git does not know the revision."""
    words = ["git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"{revision}: no such revision here")
    return done.stdout.strip()


def main(arguments: list[str]) -> int:
    """Print what the verb yields; 1 for what check finds and for what is refused, 2 for what is no verb."""
    verbs = {one.__name__: one for one in (prepare, check, notes, pin)}
    if len(arguments) != 2 or arguments[0] not in verbs:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        said = list(verbs[arguments[0]](arguments[1]))
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(said))
    return 1 if said and arguments[0] == "check" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
