"""Rehearse a project's own workflows on this machine, by the real act: the only place that knows act's quirks."""

from .rehearsal import Options, Rehearsal, rehearse
from .rows import Row
from .table import render

__all__ = ["Options", "Rehearsal", "Row", "rehearse", "render"]
