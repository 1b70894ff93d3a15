"""What `backburn pool setup` is asked for, and where it all goes."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from ...errors import UserError

AUTOMATIC = ("auto",)


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Of this machine."""

    etc: Path = Path("/etc/backburn")
    units: Path = Path("/etc/systemd/system")
    toolkit: Path = Path("/opt/backburn-pool")
    command: Path = Path("/usr/local/bin/backburn")

    @property
    def file(self) -> Path:
        """The pool's file."""
        return self.etc / "pool.toml"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """As typed; "" and None: not said."""

    url: str = ""
    app_id: str = ""
    key: Path | None = None
    token_file: Path | None = None
    name: str = ""
    group: str = ""
    gpus: tuple[str, ...] = AUTOMATIC
    cpu: int = 0
    base: str = ""
    image: str = ""
    service: bool = True

    @property
    def automatic(self) -> bool:
        """The GPUs are those that the driver has."""
        return self.gpus == AUTOMATIC

    @property
    def secret(self) -> Path | None:
        """The file with the App's key or the token."""
        return self.key or self.token_file

    def check(self, *, first: bool) -> None:
        """Raises UserError for what cannot be meant. `first`: there is no pool.toml that says the rest."""
        if self.key and self.token_file:
            raise UserError("an App's key or a token, not both", where="--key, --token-file")
        if bool(self.app_id) != bool(self.key) and (first or self.key):
            raise UserError("--app-id and --key belong together", hint="Both are in the settings of your GitHub App.")
        if first and not self.url:
            hint = "https://github.com/acme for an organisation, https://github.com/acme/repository for a repository."
            raise UserError("whose jobs? Say --url", hint=hint)
        if first and self.secret is None:
            hint = "A GitHub App: --app-id N --key FILE. A token in a file: --token-file FILE."
            raise UserError("by what right?", hint=hint)
        if self.image and not re.search(r"@sha256:[0-9a-f]{64}$", self.image):
            hint = "NAME@sha256:…; `docker buildx imagetools inspect NAME:TAG` shows it."
            raise UserError("an image is started by its digest only", where=f"--image {self.image}", hint=hint)
        if self.image and self.base:
            raise UserError("a base to build on, or an image that is built, not both", where="--base, --image")
