"""Pin the toolkit's own commit in the workflows. Asks nothing, downloads nothing; the standard library and git only."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ANSWERS = json.loads({{ cookiecutter | tojson | tojson }})
LANDMARK = "actions/memorize/action.yml"  # what tells the toolkit's repository from one that merely holds a copy


def git(folder, *arguments):
    """Run git in `folder`, whatever repository a surrounding git hook has put into the environment."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, env=clean)
    if done.returncode:
        raise OSError(done.stderr.strip() or f"git {arguments[0]} exited {done.returncode}")
    return done.stdout.strip()


def toolkit():
    """Find the folder the template was read from; a relative one is relative to where cookiecutter was called."""
    given = Path(ANSWERS["_repo_dir"])
    seen = Path(f"/proc/{os.getppid()}/cwd")  # cookiecutter stands in the template while it calls this
    for folder in [given] if given.is_absolute() else [seen, Path(os.environ.get("PWD", ""), given)]:
        if (folder / "cookiecutter.json").is_file():
            return folder
    raise OSError(f"no template at {ANSWERS['_repo_dir']!r}: give cookiecutter an absolute path")


def pin():
    """Return the toolkit's commit and version. Raises OSError when there is no commit to pin."""
    folder = toolkit()
    top = folder.parents[1]
    if (top / "COMMIT").is_file():  # unpacked from a wheel, which was told its commit when it was built
        commit, project = (top / "COMMIT").read_text(), (top / "pyproject.toml").read_text(encoding="utf-8")
    else:
        commit = git(folder, "rev-parse", "--verify", "HEAD^{commit}")
        git(folder, "cat-file", "-e", f"{commit}:{LANDMARK}")
        project = git(folder, "show", f"{commit}:pyproject.toml")
    version = re.search(r'^version = "([^"]+)"', project, re.MULTILINE)
    if not re.fullmatch("[0-9a-f]{40}", commit) or not version:
        raise OSError(f"commit {commit!r} of {folder} has no version in its pyproject.toml")
    return commit, version[1]


def write(commit, version):
    """Put them into the workflows. Raises OSError if any placeholder is left anywhere."""
    for path in Path(".github/workflows").glob("*.yml"):
        text = path.read_text(encoding="utf-8")
        text = text.replace("__TOOLKIT_COMMIT__", commit).replace("__TOOLKIT_VERSION__", version)
        path.write_text(text, encoding="utf-8")
    for path in (path for path in Path().rglob("*") if path.is_file()):
        if "__TOOLKIT_" in path.read_text(encoding="utf-8"):
            raise OSError(f"{path} still has a placeholder")


try:
    write(*pin())
except OSError as error:
    print(f"error: the toolkit's commit could not be pinned: {error}", file=sys.stderr)
    print("  Bake from a git clone of the toolkit: cookiecutter <its URL> --directory templates/project", file=sys.stderr)
    sys.exit(1)

print(f"""
{ANSWERS["__folder"]} is ready. Next:
  cd {ANSWERS["__folder"]} && git init -b main && git add . && git commit -m "Begin"
  git remote add origin git@github.com:{ANSWERS["github_owner"]}/{ANSWERS["__folder"]}.git
  git push -u origin main
""".rstrip())
