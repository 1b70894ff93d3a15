"""Record what the pinned linters really print: `.venv/bin/python -m tests.stages.record` (30 s; installs the hooks).

Lays a project with every defect that the hooks in recordings/pre-commit-config.yaml know, lets hygiene's engine start
them, and keeps its log. Run it when a version in that file moves, look at the difference, and mend the table of
expectations in tests/test_linters.py where a tool now speaks otherwise.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from backburn import precommit

RECORDINGS = Path(__file__).parent / "recordings"
CONFIG = RECORDINGS / "pre-commit-config.yaml"
RECORDED = RECORDINGS / "hooks.log"

ODD = "odd, dir/é clair.py"  # a space, a comma and a letter outside ASCII
FILES = {
    ODD: '"""M."""\n\nimport os\nimport pdb\n\n\n'
    'def f(x: int) -> str:\n    """F."""\n    # FORBIDDEN\n    return x\n\n\n'
    'def g( y = [] ):\n    breakpoint()\n    z = dict()\n    return  y + f("a")  \n',
    "broken.py": "def f(:\n",
    "tests/late.py": 'import os\n"""late."""\n\nx: int = "a"\nclass A:\n    def m(self) -> int: return 1\nclass B(A):\n'
    '    def m(self) -> str: return "x"\nn: list[int] = [1]\nm: list[float] = n',
    "my script.sh": "#!/bin/sh\nif [ $1 = a ]; then\n\techo `ls $2`  $3\nfi\nread x\ncat $x | grep a\n",
    "bad.yaml": "a: [1, 2\nb: {c: 3\n",
    "dup key.yaml": "a: 1\na: 2\n",
    "at.yaml": "a: @b\n",
    "bad.toml": "a = \n",
    "bad.json": '{"b": 1, "a": }\n',
    "ugly.json": '{"b": 1, "a": 2}',
    "bad.xml": "<a><b></a>\n",
    "big file.bin": "\0" * 700_000,
    "Case.txt": "x",
    "case.txt": "x\n",
    "merge é.txt": "a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> x\n",
    "key.pem": "-----BEGIN RSA " + "PRIVATE KEY-----\nx\n",
    "run.txt": "echo hi\n",
    "requirements.txt": "b\na\n",
    "mixed.txt": "a\r\nb\nc\n",
    "bom.txt": "\ufeffx\n",
}


def lay(folder: Path) -> None:
    """Write the project and stage it."""
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode())
    (folder / "run.txt").chmod(0o755)
    (folder / "link").symlink_to("nowhere")
    (folder / precommit.FILE).write_bytes(CONFIG.read_bytes())
    for words in (["init", "-q", "-b", "main"], ["add", "--all"]):
        subprocess.run(["git", *words], cwd=folder, check=True)


def scrubbed(text: str) -> str:
    """`text` without what differs between machines."""
    home = os.environ.get("PRE_COMMIT_HOME", str(Path.home() / ".cache/pre-commit"))
    text = re.sub(re.escape(home) + r"/repo\w+", "~/.cache/pre-commit/repo", text)
    return text.replace(sys.base_prefix, "/usr")


def main() -> None:
    """Record, and say where."""
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name, "project").resolve(), Path(name, "out")
        folder.mkdir()
        out.mkdir()
        lay(folder)
        precommit.run(folder / precommit.FILE, folder, out, files=None, skip=(), timeout=600)
        log = (out / precommit.LOG).read_text(encoding="utf-8")
    RECORDED.write_text(scrubbed(log[log.index("black-check.") :]), encoding="utf-8")
    print(f"{RECORDED}: {len(log.splitlines())} lines; see `git diff {RECORDINGS}`")


if __name__ == "__main__":
    main()
