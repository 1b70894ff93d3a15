"""backburn: GitHub Actions stages and a GPU runner kit for teams who train with Lightning."""

TYPE_CHECKING = False  # what type checkers take for true; a project's own typing.py must not be imported here
if TYPE_CHECKING:
    from .api import memorize as memorize

__version__ = "0.1.0"
__all__ = ["memorize"]


def __getattr__(name: str) -> object:
    """`backburn.memorize`, imported where it is asked for."""
    if name in __all__:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
