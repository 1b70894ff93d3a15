"""A classifier of handwritten digits: `data` reads them, `model` learns them, `train` is the door."""
