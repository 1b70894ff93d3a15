"""What scheduled runs leave behind: a line per night on a branch, an issue per training and kind of trouble."""

from .publish import Asked, Published, publish

__all__ = ["Asked", "Published", "publish"]
