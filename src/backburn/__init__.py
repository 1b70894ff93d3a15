"""backburn: GitHub Actions stages and a GPU runner kit for teams who train with Lightning."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import memorize as memorize

__version__ = "0.1.0"
__all__ = ["memorize"]


def __getattr__(name: str) -> Any:
    """`backburn.memorize`, imported where it is asked for."""
    if name in __all__:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
