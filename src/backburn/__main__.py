"""`python -m backburn` is `backburn`."""

from .cli import main

main()
