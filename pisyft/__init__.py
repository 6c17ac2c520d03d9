"""PiSyft: federated learning of a recurrent neural network on Raspberry Pis.

`import pisyft` has PySyft 0.2.9 repaired when it is imported; it imports neither PySyft nor PyTorch itself.
"""

import sys
from pathlib import Path

from pisyft import compat

__version__ = "0.1.0"


def _is_the_command() -> bool:
    """Whether this is the `pisyft` command, which must start without PySyft, to say so or to install it."""
    return Path(sys.argv[0]).stem == "pisyft" or sys.orig_argv[1:3] == ["-m", "pisyft"]


if compat.problem() is None or not _is_the_command():
    compat.enable(then_import=["pisyft.transport"])
