"""PiSyft: federated learning of a recurrent neural network on Raspberry Pis.

`import pisyft` has PySyft 0.2.9 repaired when it is imported; it imports neither PySyft nor PyTorch itself.
"""

import sys
from itertools import pairwise
from pathlib import Path

from pisyft import compat

__version__ = "0.1.0"


def _is_the_command() -> bool:
    """Whether this is the `pisyft` command, which must start without PySyft, to say so or to install it."""
    if sys.argv[0] == "-m":  # Python has yet to find out what the module's file is
        return ("-m", "pisyft") in pairwise(sys.orig_argv) or "-mpisyft" in sys.orig_argv
    return Path(sys.argv[0]).stem in ("pisyft", "run_websocket_server")


if compat.problem() is None or not _is_the_command():
    compat.enable(then_import=["pisyft.transport"])
