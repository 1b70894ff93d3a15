"""Handwritten digits: `data` reads them, `model` learns them, `train` is the command line."""
