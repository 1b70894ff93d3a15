"""`python -m backburn` is `backburn`."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the working folder: a project's own click.py or signal.py is none of ours

from .cli import main  # noqa: E402

main()
