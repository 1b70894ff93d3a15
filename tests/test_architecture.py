"""The shape of the house: floors, light imports, stage pages, names. Each guard is seen to bite below."""

import ast
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from backburn import catalog
from backburn.report import Generated

PACKAGE = Path(catalog.__file__).parent
REPOSITORY = PACKAGE.parents[1]

# Higher may import lower. Within floor 1, `process` starts programs for those that need one.
FLOORS = {
    "report": 0,
    "errors": 0,
    "tolerance": 0,
    "visible": 0,
    "": 0,
    "config": 1,
    "evidence": 1,
    "process": 1,
    "github": 1,
    "installers": 1,
    "received": 1.1,
    "references": 1.1,
    "comparison": 1.2,
    "counts": 1.2,
    "timings": 1,
    "linters": 1,
    "junit": 1,
    "charts": 1,
    "toolkit": 1,
    "git": 1.2,
    "commits": 1.25,
    "worktree": 1.26,
    "completion": 1.3,
    "dependencies": 1.2,
    "environment": 1.3,
    "collection": 1.3,
    "precommit": 1.3,
    "reach": 1.2,
    "kept": 1.4,
    "training": 1.4,
    "memorization": 1.5,
    "reproduction": 1.5,
    "stages": 2,
    "renderers": 2,
    "catalog": 3,
    "pipeline": 4,
    "epochs": 1.3,
    "review": 2,
    "bless": 4.5,
    "blame": 4.5,
    "pages": 4.6,
    "api": 5.1,  # it fits in this process, by the probe
    "cli": 5,
    "pytest_plugin": 5.2,  # its fixture of a module asks the function
    "probes": 5,
    "__main__": 6,
}
WINGS = {"rehearse", "history", "pool"}
HEAVY = {"torch", "lightning", "pytorch_lightning", "numpy", "pandas", "docker"}
OWNERS = {"docker": {"probes", "pool"}}  # of what is heavy; else the probes
LAZY = {"rich", "jinja2"}
POOLS = {"httpx", "jwt", "prometheus_client", "sqlite3"}  # what only the pool needs
NAMES_THAT_SAY_NOTHING = {"util", "utils", "helper", "helpers", "common", "misc", "base"}


def modules(package=PACKAGE):
    """Every module of ours as (dotted parts below the package, path)."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if "standins" not in parts and "onpath" not in parts:
            yield (parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(parts, path):
    """(dotted parts of ours, line) for each import of ours, and (top-level name, line, at import time) of others."""
    own, foreign = [], []
    tree = ast.parse(path.read_text())
    package = parts if path.name == "__init__.py" else parts[:-1]
    late = {
        id(node) for outer in ast.walk(tree) if isinstance(outer, (ast.FunctionDef, ast.If)) for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            origin = package[: len(package) - node.level + 1] + tuple(
                (node.module or "").split(".") if node.module else ()
            )
            names = [(*origin, alias.name) for alias in node.names] if not node.module or not origin else [origin]
            own += [(name, node.lineno) for name in names]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for name in names:
                top, *rest = name.split(".")
                if top == "backburn":
                    own.append((tuple(rest), node.lineno))
                else:
                    foreign.append((top, node.lineno, id(node) not in late))
    return own, foreign


def breaches(package=PACKAGE):
    for parts, path in modules(package):
        here = parts[0] if parts else ""
        own, foreign = imports(parts, path)
        for target, line in own:
            there = target[0] if target and (target[0] in FLOORS or target[0] in WINGS) else ""
            where = f"{path.relative_to(package)}:{line}"
            if here in WINGS:
                if there != here and FLOORS.get(there, 9) >= 2:
                    yield f"{where}: a wing stands on floors 0 and 1, not on {there}"
            elif here in ("stages", "renderers", "probes") and there == here:
                if here != "probes" and target[1:2] != parts[1:2]:
                    yield f"{where}: never a sibling"
            elif there in WINGS:
                if here != "cli":
                    yield f"{where}: only a door opens a wing"
            elif here not in FLOORS:
                yield f"{where}: {here} has no floor"
            elif FLOORS[there] >= FLOORS[here] and there != here and here != "":
                yield f"{where}: {here} imports {there}, which is not below it"
        for name, line, at_import in foreign:
            if name in HEAVY and here not in OWNERS.get(name, {"probes"}):
                yield f"{path.relative_to(package)}:{line}: {name} outside the probes"
            if name in (HEAVY | LAZY) and at_import:
                yield f"{path.relative_to(package)}:{line}: {name} at import time"


def test_imports_point_down_only_and_nothing_is_heavy():
    assert list(breaches()) == []


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("report.py", "from . import process", "not below it"),
        ("config.py", "from .stages import unit", "not below it"),
        ("stages/unit.py", "from . import hygiene", "never a sibling"),
        ("stages/unit.py", "from ..renderers import summary", "not below it"),
        ("renderers/summary.py", "import rich", "rich at import time"),
        ("pipeline.py", "from . import cli", "not below it"),
        ("pipeline.py", "from . import rehearse", "only a door opens a wing"),
        ("rehearse/__init__.py", "from ..stages import unit", "a wing stands on floors 0 and 1"),
        ("git.py", "def f():\n    import torch", "torch outside the probes"),
        ("probes/memorize.py", "import torch", "torch at import time"),
        ("pool/connection.py", "import docker", "docker at import time"),
        ("pool/docker.py", "def f():\n    import torch", "torch outside the probes"),
        ("pipeline.py", "def f():\n    import docker", "docker outside the probes"),
        ("pool/door.py", "from .. import pipeline", "a wing stands on floors 0 and 1"),
        ("pipeline.py", "def f():\n    from .pool import door", "only a door opens a wing"),
        ("attic.py", "from . import report", "attic has no floor"),
    ],
)
def test_the_floors_are_seen_to_bite(tmp_path, file, line, said):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)
    assert [breach for breach in breaches(tmp_path) if said in breach]


def test_one_module_of_the_pool_has_the_docker_sdk():
    having = [
        parts
        for parts, path in modules()
        if parts[:1] == ("pool",) and "docker" in {n for n, *_ in imports(parts, path)[1]}
    ]
    assert having == [("pool", "connection")]


def test_names_say_something():
    assert [path for _, path in modules() if path.stem in NAMES_THAT_SAY_NOTHING] == []


def test_every_module_has_the_test_file_of_its_name():
    missing = []
    for parts, path in modules():
        if parts and path.name != "__init__.py" and not path.name.startswith("__"):
            test = REPOSITORY.joinpath("tests", *parts[:-1], f"test_{parts[-1]}.py")
            if not test.exists():
                missing.append(str(test.relative_to(REPOSITORY)))
    assert sorted(missing) == []


def test_no_function_is_over_fifty_lines():
    long = []
    for path in (*PACKAGE.rglob("*.py"), *REPOSITORY.glob("actions/*.py"), *REPOSITORY.glob("scripts/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno - node.lineno >= 50:
                long.append(f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}")
    assert long == []


ORDER = ("Config", "Evidence", "gather", "measured", "CHECKS")


@pytest.mark.parametrize("name", catalog.STAGES)
class TestStageShape:
    def test_the_first_line_is_a_question(self, name):
        assert catalog.STAGES[name].__doc__.strip().splitlines()[0].endswith("?")

    def test_the_page_is_in_order(self, name):
        body = ast.parse(Path(catalog.STAGES[name].__file__).read_text()).body
        names = [getattr(node, "name", None) or _target(node) for node in body]
        stage = catalog.STAGES[name]
        # An engine that outgrew the page (memorization) brings its Evidence and most of its checks along.
        own = [one for one in ORDER if one == "CHECKS" or getattr(stage, one).__module__ == stage.__name__]
        places = [names.index(one) for one in own]
        assert places == sorted(places) and {"Config", "gather", "measured"} <= set(own)
        assert names[-1] == "CHECKS"
        checks = [names.index(one.__name__) for one in plain_checks(name) if one.__module__ == stage.__name__]
        assert all(names.index("gather") < place < names.index("measured") for place in checks)

    def test_config_and_evidence_are_frozen_and_refuse_unknown_fields(self, name):
        stage = catalog.STAGES[name]
        for struct in (stage.Config, stage.Evidence):
            assert struct.__struct_config__.frozen
            assert struct.__struct_config__.forbid_unknown_fields
        stage.Config()
        fields = {field.name: field.default for field in msgspec.structs.fields(stage.Evidence)}
        assert fields["kind"] == name and fields["schema"] >= 1

    def test_every_check_makes_a_claim(self, name):
        for check in plain_checks(name):
            assert check.__doc__.strip().splitlines()[0].endswith("."), check.__name__
            assert list(check.__code__.co_varnames[:2]) == ["seen", "config"], check.__name__

    def test_one_word_names_it_everywhere(self, name):
        for place in (f"tests/stages/test_{name}.py", f"actions/{name}/action.yml", f"docs/{name}.md"):
            assert (REPOSITORY / place).exists(), place


def plain_checks(name):
    return [check for check in catalog.STAGES[name].CHECKS if not isinstance(check, Generated)]


def _target(node):
    if isinstance(node, ast.AnnAssign):
        return getattr(node.target, "id", None)
    return getattr(node.targets[0], "id", None) if isinstance(node, ast.Assign) else None


def test_help_stays_light():
    """What it takes is in `python -m benchmarks.startup`; what would make it heavy is not loaded."""
    code = "import sys, backburn.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "click" in loaded
    assert not set(loaded) & (HEAVY | LAZY | POOLS | {"yaml", "packaging"})


def test_the_list_of_verbs_opens_no_wing():
    """`backburn --help` shows `pool` and imports none of it."""
    code = "import sys, backburn.cli as c; c._guarded(['--help']); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = said.splitlines()[-1].split()
    assert "\n  pool " in said and "backburn.cli" in loaded
    assert [name for name in loaded if name.startswith(("backburn.pool", "backburn.rehearse."))] == []
    assert not {name.split(".")[0] for name in loaded} & (HEAVY | POOLS)


@pytest.mark.parametrize("verb", ["", "status", "drain", "logs"])
def test_the_pools_own_doors_are_light_too(verb):
    """A look at the pool takes neither its libraries nor the tables of rich before there is a table."""
    code = f"import sys, backburn.cli as c; c._guarded({['pool', *verb.split(), '--help']!r}); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "Usage: backburn pool" in said
    assert not {name.split(".")[0] for name in said.splitlines()[-1].split()} & (HEAVY | LAZY | POOLS)
