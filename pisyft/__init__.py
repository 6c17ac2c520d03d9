"""PiSyft: federated learning of a recurrent neural network on Raspberry Pis.

`import pisyft` has PySyft 0.2.9 repaired when it is imported; it imports neither PySyft nor PyTorch itself.
"""

from __future__ import annotations

import importlib
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from pisyft import compat

if TYPE_CHECKING:
    from pisyft.aggregation.pointers import secure_sum as secure_sum
    from pisyft.classroom import Classroom as Classroom
    from pisyft.federation import Federation as Federation
    from pisyft.lab import Lab as Lab
    from pisyft.learning.evaluation import add_up as add_up
    from pisyft.learning.evaluation import predict as predict
    from pisyft.learning.models import RNN as RNN
    from pisyft.learning.training import TrainingSettings as TrainingSettings
    from pisyft.learning.vectors import load_vector as load_vector
    from pisyft.learning.vectors import to_vector as to_vector
    from pisyft.release import Gate as Gate
    from pisyft.workshop import Workshop as Workshop
    from pisyft.workshop import open_classroom as open_classroom

__version__ = "0.1.0"

# What a notebook uses, and where it is. Imported when it is asked for: the command line needs none of it.
_NAMES = {
    "Classroom": "pisyft.classroom",
    "Federation": "pisyft.federation",
    "Gate": "pisyft.release",
    "Lab": "pisyft.lab",
    "RNN": "pisyft.learning.models",
    "TrainingSettings": "pisyft.learning.training",
    "Workshop": "pisyft.workshop",
    "add_up": "pisyft.learning.evaluation",
    "load_vector": "pisyft.learning.vectors",
    "open_classroom": "pisyft.workshop",
    "predict": "pisyft.learning.evaluation",
    "secure_sum": "pisyft.aggregation.pointers",
    "to_vector": "pisyft.learning.vectors",
}
__all__ = list(_NAMES)


def __getattr__(name: str) -> object:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})


def _is_the_command() -> bool:
    """Whether this is the `pisyft` command, which must start without PySyft, to say so or to install it.

    Nor does it look for PySyft before something imports it: that would be an eighth of `pisyft predict`.
    """
    if sys.argv[0] == "-m":  # Python has yet to find out what the module's file is
        return ("-m", "pisyft") in pairwise(sys.orig_argv) or "-mpisyft" in sys.orig_argv
    return Path(sys.argv[0]).stem in ("pisyft", "run_websocket_server")


if not _is_the_command():
    compat.requirements.check()
compat.enable(then_import=["pisyft.transport"])
