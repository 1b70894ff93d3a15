"""The part set aside: programs and mutants by somebody who has not seen the checks; only measured, never tuned on."""

from .mutants import MUTANTS
from .programs import PROGRAMS

__all__ = ["MUTANTS", "PROGRAMS"]
