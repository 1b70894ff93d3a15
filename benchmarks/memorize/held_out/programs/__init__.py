"""Healthy trainings by another hand, set aside: no threshold is tuned on them."""

from . import objectives, tables, text, vision

PROGRAMS = (*vision.PROGRAMS, *text.PROGRAMS, *tables.PROGRAMS, *objectives.PROGRAMS)
