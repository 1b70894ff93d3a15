"""Caches for wheels, models and data: every job reads them and may write; what is kept is written by few."""
