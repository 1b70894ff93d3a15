"""Refuse answers that would bake a broken project. Asks nothing, reaches nothing; the standard library only."""

import json
import keyword
import re
import sys

# Twice through JSON: a quote, a backslash or an emoji in an answer must not end up as Python.
ANSWERS = json.loads({{ cookiecutter | tojson | tojson }})
TAKEN = {"jsonargparse", "lightning", "numpy", "pytest", "pytorch_lightning", "scipy", "sklearn", "src", "tests", "torch"}
TAKEN_NAMES = {name.replace("_", "-") for name in TAKEN} | {"scikit-learn"}


def problems():
    """Yield a sentence per answer that cannot work."""
    package, folder = ANSWERS["package_name"], ANSWERS["__folder"]
    if keyword.iskeyword(package):
        yield f"package_name {package!r} cannot be imported: it is a keyword of Python, choose another"
    elif not re.fullmatch(r"[a-z_][a-z0-9_]*", package):
        yield f"package_name {package!r} cannot be imported: use a-z, 0-9 and _, and begin with a letter"
    if package in TAKEN or package in sys.stdlib_module_names:
        yield f"package_name {package!r} would hide a module of that name: choose another"
    if folder in TAKEN_NAMES:
        yield f"project_name {ANSWERS['project_name']!r} makes the distribution name {folder!r}: choose another"
    if not re.fullmatch(r"[A-Za-z0-9](-?[A-Za-z0-9])*", ANSWERS["github_owner"]):
        yield f"github_owner {ANSWERS['github_owner']!r} is no GitHub name: use letters, digits and single hyphens"
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", ANSWERS["gpu_runner_label"]):
        yield f"gpu_runner_label {ANSWERS['gpu_runner_label']!r} is no runner label: use letters, digits and . _ -"
    for name in ("project_name", "description", "author_name"):
        if not ANSWERS[name].strip() or not ANSWERS[name].isprintable():
            yield f"{name} {ANSWERS[name]!r} must be one line of text"


found = list(problems())
for problem in found:
    print(f"error: {problem}", file=sys.stderr)
sys.exit(1 if found else 0)
