"""The runner image: its base by digest, built from runner/Dockerfile, found again by what it was built from."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from ..config import Config
from ..connection import Connection
from ..declining import No, declined, line
from ..doctor.gathering import BASE, MADE
from ..engine import Declined, Unreachable

KIT = "backburn.kit"  # a label: the hash of what an image was built from
NAME = "backburn-runner"
NEWEST = "ghcr.io/actions/actions-runner:latest"  # GitHub's own; an older runner gets no jobs 30 days after a newer one
LONG = 1800.0  # seconds without a word from a pull or a build; a step may be silent for long
_CHATTER = ("--->", "Removing intermediate container")  # of the builder, beside its steps
_NOT_IN_IT = (".service", ".toml", ".md", "setup.sh")  # of the kit: what goes onto the machine


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What a build takes. `base` is NAME@DIGEST; `kit` names the outcome: the same parts, the same image."""

    base: str
    parts: dict[str, bytes]

    @property
    def kit(self) -> str:
        """Hexadecimal, of the base and of every file with its name."""
        whole = hashlib.sha256(self.base.encode())
        for name, content in sorted(self.parts.items()):
            whole.update(f"\0{name}\0{len(content)}\0".encode() + content)
        return whole.hexdigest()

    @property
    def tag(self) -> str:
        """Without one, `docker image prune` would take it."""
        return f"{NAME}:{self.kit[:12]}"


def recipe(connection: Connection, kit: Mapping[str, bytes], base: str) -> Recipe:
    """`kit` are the files of runner/; `base` is NAME:TAG, or "" for GitHub's newest. Raises Declined."""
    parts = {name: content for name, content in kit.items() if not name.endswith(_NOT_IN_IT)}
    return Recipe(base=resolved(connection, base or NEWEST), parts=parts)


def resolved(connection: Connection, base: str) -> str:
    """NAME@DIGEST, by the registry; where that does not answer, by what the engine pulled under this tag before."""
    if "@sha256:" in base:
        return base
    name = base.rpartition(":")[0] if ":" in base.rpartition("/")[2] else base
    try:
        with connection.asking(60.0) as client:
            return f"{name}@{client.inspect_distribution(base)['Descriptor']['digest']}"
    except (No, Unreachable) as error:
        said = _of_registry(connection, error)
        known = (connection.look(lambda client: client.inspect_image(base)) or {}).get("RepoDigests") or []
        if found := [one for one in known if one.partition("@")[0] == name]:
            return str(found[0])
        hint = "Is the network up, and the tag right? --base IMAGE:TAG names another."
        raise Declined(f"{base}: {said}", hint) from None


def built(connection: Connection, recipe: Recipe) -> str:
    """The id of the image that this recipe has given before; "" where there is none."""
    found = connection.look(lambda client: client.images(filters={"label": [f"{KIT}={recipe.kit}"]})) or []
    return str(found[0]["Id"]) if found else ""


def present(connection: Connection, image: str) -> bool:
    """Whether the engine has it."""
    return connection.look(lambda client: client.inspect_image(image)) is not None


def pull(connection: Connection, config: Config, image: str, say: Callable[[str], None]) -> None:
    """NAME@DIGEST. Raises Declined."""
    name, _, digest = image.partition("@")
    _follow(connection, config, lambda client: client.pull(name, tag=digest, stream=True, decode=True), say)


def build(connection: Connection, config: Config, recipe: Recipe, say: Callable[[str], None]) -> str:
    """The id of the new image; the base is there. Raises Declined with the builder's last words."""
    base = connection.look(lambda client: client.inspect_image(recipe.base)) or {}
    labels = {KIT: recipe.kit, BASE: recipe.base, MADE: str(base.get("Created", ""))}

    def begin(client: Any) -> Iterator[Any]:
        context = io.BytesIO(packed(recipe.parts))
        given = {"fileobj": context, "custom_context": True, "buildargs": {"BASE": recipe.base}, "labels": labels}
        # No proxy of ~/.docker/config.json: it would be in the image's history.
        given |= {"tag": recipe.tag, "rm": True, "forcerm": True, "decode": True, "use_config_proxy": False}
        network = config.docker.network
        found: Iterator[Any] = client.build(**given, network_mode=None if network == "bridge" else network)
        return found

    _follow(connection, config, begin, say)
    found = built(connection, recipe)
    if not found:
        raise Declined("the build ended without an image")
    return found


def packed(parts: Mapping[str, bytes]) -> bytes:
    """A tar of the files, programs executable, without dates or owners: the same files, the same layers."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for name, content in sorted(parts.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755 if content.startswith(b"#!") else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return whole.getvalue()


def remove(connection: Connection, image: str) -> bool:
    """Whether it is gone; one that a container or another tag uses stays."""
    try:
        with connection.asking(60.0) as client:
            client.remove_image(image)
    except No as no:
        return no.status == 404
    return True


def _follow(
    connection: Connection, config: Config, begin: Callable[[Any], Iterator[Any]], say: Callable[[str], None]
) -> None:
    """To its end. Raises Declined for an error on the way, which the engine says in the middle of a 200."""
    try:
        with connection.asking(LONG) as client:
            for one in begin(client):
                if "error" in one:
                    raise No(500, line(str(one["error"])))
                text = line(str(one.get("stream", "")))
                if text and not text.startswith(_CHATTER):
                    say(f"  {text[:110]}")
    except No as no:
        raise declined(no, config) from None
    except Unreachable as error:
        raise Declined(_of_registry(connection, error)) from None


def _of_registry(connection: Connection, error: Exception) -> str:
    """What the engine passes on. "Connection refused" may be the registry's or its own, which raises Unreachable."""
    connection.ping()
    return str(error)
