"""Measurements behind the figures that backburn claims: `python -m benchmarks.<name>`."""
