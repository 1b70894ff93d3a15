"""backburn: GitHub Actions stages and a GPU runner kit for teams who train with Lightning."""

__version__ = "0.1.0"
