"""Note what a training reaches, as it reaches it: files, folders, modules, variables, and what nobody can look after.

Python's own audit hooks tell (PEP 578); one line per thing goes to a file at once, since a worker of a DataLoader ends
by os._exit. `backburn.reach` reads the file, and says in which words.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

VARIABLE = "BACKBURN_REACH"
_MOST = 20_000  # lines of one process; a data set of more files is not looked after
_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/lib", "/lib64", "/usr/lib", "/usr/lib64")
_NOT_OURS = ("/.git/", "/site-packages/", "/dist-packages/", ".dist-info/", ".egg-info/")  # the environment's, git's
_COMPILED = ("/torchinductor_", "/.triton/cache/")  # by torch.compile, under the digest of what it was compiled from
_NOT_READ = os.O_WRONLY | os.O_TRUNC | os.O_EXCL
# Packages that read files or the network by code that no audit hook sees.
_BLIND = frozenset(
    """annoy av cv2 decord deeplake duckdb faiss fasttext ffcv grpc h5py hnswlib kenlm librosa lmdb netCDF4 nvidia.dali
    onnxruntime openslide osgeo polars pyarrow.csv pyarrow.dataset pyarrow.feather pyarrow.fs pyarrow.json
    pyarrow.orc pyarrow.parquet pycurl pysam pyvips rasterio rdkit s3torchconnector safetensors sentencepiece SimpleITK
    soundfile streaming tables tensorflow tensorstore tokenizers torchaudio torchcodec uvloop vtk""".split()
)
# Programs that say something of the machine or of git, or compile what was seen already.
_HARMLESS = (
    frozenset(
        """c++ cc clang clang++ g++ gcc git hostname ld ldconfig lscpu ninja nvcc nvidia-smi objdump ptxas rocm-smi
    rocminfo uname""".split()
    )
    | {"openssl sha512"}
)
_FETCHES = frozenset({"annex", "clone", "fetch", "lfs", "pull", "submodule"})  # git, from beyond this machine
_PYTHON = re.compile(r"python[\d.]*$")
_ALONE = re.compile(r"-[A-Za-z]*[EIS]")  # options of Python that leave PYTHONPATH or sitecustomize out
_METADATA = ("importlib.metadata", "importlib_metadata", "pkg_resources", "site")
# tqdm looks for TQDM_…, fsspec for FSSPEC_…; those of torch are known without (`kept`), and programs are told of.
_HABITS = (
    "fsspec",
    "lightning",
    "lightning_fabric",
    "multiprocessing",
    "pytorch_lightning",
    "subprocess",
    "torch",
    "tqdm",
)
_ASKING = ("exists", "isdir", "isfile")  # of os.path; of pathlib, which asks by itself, the same
_exists, _isdir, _isfile = os.path.exists, os.path.isdir, os.path.isfile  # our own questions are not the training's
_HERE = ("", "localhost", "0.0.0.0", "::", "::1", "broadcasthost", os.uname().nodename)  # noqa: S104


def record() -> None:
    """Begin, where the environment asks for it: `{"file", "root", "without", "part", "python"}`, as JSON."""
    text = os.environ.get(VARIABLE)
    if text:
        recorder = Recorder(**json.loads(text))
        recorder.begin()


def here() -> str:
    """The environment of this Python: its folder, or for one that is no venv the program."""
    return os.path.realpath(sys.prefix if sys.prefix != sys.base_prefix else sys.executable)


class Recorder:
    """Writes to `file`, which is there. Not noted is what lies in the folders `without`, unless they hold `root`.

    `python` is the environment (as of `here`) whose packages are known; those of another are not.
    """

    def __init__(self, file: str, root: str, without: Sequence[str], part: str, python: str = "") -> None:
        self.file, self.root, self.part, self.python = file, root + "/", part, python
        own = [os.path.dirname(os.__file__), f"{sys.base_exec_prefix}/lib", *without]
        own += [sys.prefix] if sys.prefix != sys.base_prefix else []
        folders = [f"{os.path.abspath(one)}/" for one in (*_SYSTEM, *own)]
        self.without = tuple(one for one in folders if not self.root.startswith(one))
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        self.given = tuple(f"{os.path.abspath(one)}/" for one in given if one.rstrip("/").endswith("-packages"))
        self.seen: set[tuple[str, str]] = set()
        self.variables: set[str] = set()
        self.heard: dict[str, Callable[..., None]] = {
            "open": self.opened,
            "os.listdir": self.listed,
            "os.scandir": self.listed,
            "os.mkdir": self.made,
            "os.rename": self.renamed,
            "import": self.loaded,
            "sqlite3.connect": self.connected_to_file,
            "socket.connect": self.connected,
            "socket.sendto": self.connected,
            "socket.getaddrinfo": self.asked_for,
            "socket.gethostbyname": self.asked_for,
            "subprocess.Popen": self.started,
            "os.exec": self.replaced,
            "os.posix_spawn": self.replaced,
            "os.system": self.by_shell,
        }

    def begin(self) -> None:
        """Put everything in place, for as long as this process and what it forks live."""
        try:
            self.write("began", self.part)
            if self.python and self.python != here():  # `uv run`, `conda run`, a path
                self.write("program", os.path.basename(sys.executable))
        except OSError:  # another process gave up before this one began
            return self.give_up()
        sys.meta_path.insert(0, _Sought(self))
        self._watch_variables()
        self._watch_questions()
        atexit.register(self.look_at_memory)
        sys.addaudithook(self._hook())

    def _hook(self) -> Callable[[str, tuple[Any, ...]], None]:
        """What Python calls with each audit event, a hundred a step of `id` alone: a third of what a method costs.

        What goes wrong here is never the training's business: then nothing is kept.
        """
        heard = self.heard

        def hear(event: str, args: tuple[Any, ...]) -> None:
            if event in heard:
                try:
                    heard[event](*args)
                except Exception:
                    self.give_up()

        return hear

    def give_up(self) -> None:
        """Without its file a training is trained again."""
        self.heard.clear()
        with contextlib.suppress(OSError):  # another process was first
            os.unlink(self.file)

    # Writing

    def write(self, word: str, what: str) -> None:
        """One line, now; opened each time, as a program may close every file that it did not open."""
        if "\n" in what:
            return self.give_up()
        number = os.open(self.file, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(number, os.fsencode(f"{word} {what}\n"))
        finally:
            os.close(number)

    def note(self, word: str, path: Any) -> None:
        """One file or folder, once."""
        path = _absolute(path)
        if (word, path) in self.seen:
            return
        clean = os.path.normpath(path)
        if self.is_left_out(clean):
            return
        if len(self.seen) >= _MOST:
            return self.give_up()
        self.seen.add((word, path))
        if "/__pycache__/" not in f"{clean}/":
            self.write("missed" if word == "read" and not _exists(path) else word, clean)
        elif word == "read":
            self.write(word, _source(clean))

    def is_left_out(self, path: str) -> bool:
        """Whether it belongs to the machine, to an environment, to git or to us."""
        path += "/"
        if path.startswith((*self.without, *self.given)):
            return path.startswith(self.without)
        below = path[len(self.root) - 1 :] if path.startswith(self.root) else path
        return any(one in below for one in (*_NOT_OURS, *_COMPILED))

    def say(self, word: str, what: str) -> None:
        """Something that is no path, once."""
        if (word, what) not in self.seen:
            self.seen.add((word, what))
            self.write(word, what)

    # Files

    def opened(self, path: Any, mode: Any, flags: int) -> None:
        """`open`, `os.open`. What is opened for reading and writing may be read."""
        if isinstance(path, int):
            return
        if not flags & _NOT_READ:
            self.note("read", path)
        elif not _isdir(path):  # that is a file without a name in it, as tempfile makes
            self.note("wrote", path)

    def listed(self, path: Any = None) -> None:
        """`os.listdir`, `os.scandir`, and so glob and walk. The import system only looks for certain names."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        caller = sys._getframe(2).f_globals.get("__name__", "")
        if caller.partition("._")[0] not in _METADATA:
            looking = caller in ("importlib._bootstrap_external", "_frozen_importlib_external")
            self.note("searched" if looking else "listed", "." if path is None else path)

    def made(self, path: Any, *_: Any) -> None:
        """`os.mkdir`: what lies in it is the training's own, unless it was there (`exist_ok`)."""
        if not _exists(path):
            self.note("wrote", path)

    def _watch_questions(self) -> None:
        """A file that is only asked for, and is not there, no hook is told of: a later run may find it."""
        import genericpath
        import pathlib

        for name in _ASKING:
            asking = self._asking(getattr(os.path, name))
            setattr(genericpath, name, asking)  # by this name it is pickled
            setattr(os.path, name, asking)
        for name in ("exists", "is_dir", "is_file"):
            setattr(pathlib.Path, name, self._asking(getattr(pathlib.Path, name)))

    def _asking(self, ask: Callable[..., bool]) -> Callable[..., bool]:
        @functools.wraps(ask)
        def asking(path: Any, *args: Any, **given: Any) -> bool:
            found = ask(path, *args, **given)
            if not found and self.heard and not isinstance(path, int):
                try:
                    self.asked_for_file(os.fsdecode(path))
                except Exception:
                    self.give_up()
            return found

        return asking

    def asked_for_file(self, path: str) -> None:
        """It is not there. Some programs ask so whether a text is a file's name or the content itself."""
        if len(path) < 4096 and "\n" not in path and "\0" not in path:
            self.note("asked", path)

    def renamed(self, source: Any, target: Any, *_: Any) -> None:
        """`os.rename`, `os.replace`: how files are written atomically, or what was there is moved."""
        if ("wrote", _absolute(source)) not in self.seen:
            self.note("read", source)
        self.note("wrote", target)

    def loaded(self, module: Any, path: Any, *_: Any) -> None:
        """`import` of an extension module."""
        if path:
            self.note("read", path)

    def connected_to_file(self, database: Any) -> None:
        """`sqlite3.connect`."""
        name = os.fsdecode(database)
        if name not in ("", ":memory:"):
            self.note("read", re.sub(r"^file:(//(localhost)?(?=/))?|\?.*", "", name))

    def look_at_memory(self) -> None:
        """At the end: files that are mapped or still open, which code that is no Python may have opened."""
        with contextlib.suppress(OSError):  # no /proc: macOS
            for path in _mapped() if self.heard else ():
                if _isfile(path) and not os.path.samefile(path, sys.executable):
                    self.note("read", path)

    # Modules and variables

    def sought(self, name: str, path: Iterable[str] | None, caller: str) -> None:
        """A module that is being looked for: another that comes to lie before it would be found instead.

        `importlib.util` only asks whether there is one, for `h5py` and others at each start of some libraries.
        """
        if path is None or not all(map(self.is_left_out, path)):
            self.say("sought", name.rpartition(".")[2])
        if caller != "importlib.util" and (name in _BLIND or name.partition(".")[0] in _BLIND):
            from importlib.machinery import PathFinder

            if PathFinder.find_spec(name, None if path is None else list(path)) is not None:
                self.say("module", name)

    def _watch_variables(self) -> None:
        """Python reads a variable through one method, be it `os.getenv`, `.get` or `in`; `*` is all of them."""
        kind: Any = type(os.environ)
        read, walk = kind.__getitem__, kind.__iter__
        walking = None

        def getitem(environ: Any, name: Any) -> Any:
            if name not in self.variables and name is not walking:
                self.asked_for_variable(name)
            return read(environ, name)

        def pass_on(names: Any) -> Any:
            nonlocal walking
            for walking in names:
                yield walking

        def iterate(environ: Any) -> Any:
            if "*" not in self.variables and not _walks_by_habit(sys._getframe(1)):
                self.asked_for_variable("*")
            return pass_on(walk(environ))

        kind.__getitem__, kind.__iter__ = getitem, iterate

    def asked_for_variable(self, name: Any) -> None:
        """One is read for the first time, whether it is set or not."""
        self.variables.add(name)
        if self.heard:
            try:
                self.write("variable", os.fsdecode(name))
            except Exception:
                self.give_up()

    # What cannot be looked after: a later run may get something else from it

    def connected(self, sock: Any, address: Any) -> None:
        """`socket.connect`. Loopback, and the sockets of multiprocessing, are the training's own."""
        if isinstance(address, tuple):
            self.asked_for(address[0])
        elif isinstance(address, (str, bytes)) and (path := os.fsdecode(address)):
            if path[0] != "\0" and "/pymp-" not in path:
                self.say("network", path)

    def asked_for(self, host: Any, *_: Any) -> None:
        """The name or address of a host."""
        if isinstance(host, (str, bytes)):
            name = os.fsdecode(host)
            if name not in _HERE and not name.startswith("127."):
                self.say("network", name)

    def started(self, program: Any, args: Any, cwd: Any, env: Any) -> None:
        """A program. One that is Python loads this file too, if its environment lets it."""
        words = [os.fsdecode(one) for one in ([args] if isinstance(args, (str, bytes)) else args)]
        name = os.path.basename(os.fsdecode(program or words[0]))
        inside = env is None or VARIABLE in env or os.fsencode(VARIABLE) in env
        options = words[1 : next((i for i, one in enumerate(words) if i and one[:1] != "-"), len(words))]
        if _HARMLESS & {name, " ".join([name, *words[1:2]])} and not (name == "git" and _FETCHES & {*words}):
            return
        if not (_PYTHON.match(name) and inside and not any(map(_ALONE.match, options))):
            self.say("program", name)

    def replaced(self, path: Any, args: Any, env: Any = None) -> None:
        """`os.exec…`, `os.posix_spawn`."""
        self.started(path, args, None, env)

    def by_shell(self, command: Any) -> None:
        """`os.system`."""
        self.say("program", "sh")


class _Sought:
    """First on sys.meta_path: sees every module that is looked for, and finds none."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if self.recorder.heard:
            try:
                self.recorder.sought(name, path, sys._getframe(2).f_globals.get("__name__", ""))
            except Exception:
                self.recorder.give_up()


def _walks_by_habit(frame: Any) -> bool:
    """Whether all variables are walked through by code that looks for its own, or hands them to a program."""
    name = "os"
    while frame is not None and name in ("os", "_collections_abc", "collections.abc"):
        name, frame = str(frame.f_globals.get("__name__")), frame.f_back
    return name.partition(".")[0] in _HABITS


def _mapped() -> set[str]:
    """Files that this process has in its memory or open; programs' own libraries are the machine's."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as stream:
        found = {line[line.index("/") :].rstrip("\n") for line in stream if "/" in line}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own is closed by now
            found.add(os.readlink(f"/proc/self/fd/{number}"))
    return {one for one in found if ".so" not in os.path.basename(one)}


def _absolute(path: Any) -> str:
    """As it is written, from the folder of now."""
    path = os.fsdecode(path)
    return str(path if path[:1] == "/" else os.path.join(os.getcwd(), path))


def _source(path: str) -> str:
    """Of a `.pyc` in __pycache__ the source, which it is checked against."""
    from _frozen_importlib_external import source_from_cache

    try:
        return str(source_from_cache(path))
    except ValueError:
        return path
