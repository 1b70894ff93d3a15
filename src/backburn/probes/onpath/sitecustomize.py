"""Found first by PYTHONPATH: recorder and probe, if a stage asks for them, and then the user's sitecustomize."""

import os
import sys

if os.environ.get("BACKBURN_REACH"):
    from backburn_probes import reach  # type: ignore[import-not-found]

    reach.record()

if os.environ.get("BACKBURN_PROBE"):
    from backburn_probes import trainer

    trainer.watch()


def _chain() -> None:
    # Built into the interpreter: importlib.util would cost a millisecond in every process.
    from _frozen_importlib import module_from_spec
    from _frozen_importlib_external import PathFinder

    here = os.path.dirname(os.path.abspath(__file__))
    spec = PathFinder.find_spec(__name__, [one for one in sys.path if os.path.abspath(one) != here])
    if spec is not None and spec.loader is not None:
        sys.modules[__name__] = module = module_from_spec(spec)
        spec.loader.exec_module(module)


_chain()
