"""Healthy trainings over the families that make naive tests cry wolf; thresholds may be tuned on them."""

from . import contrastive, generative, habits, images, language, science, sequences, tabular

PROGRAMS = (
    *tabular.PROGRAMS,
    *images.PROGRAMS,
    *generative.PROGRAMS,
    *contrastive.PROGRAMS,
    *language.PROGRAMS,
    *sequences.PROGRAMS,
    *science.PROGRAMS,
    *habits.PROGRAMS,
)
