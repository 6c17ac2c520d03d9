"""PiSyft: federated learning of a recurrent neural network on Raspberry Pis.

`import pisyft` has PySyft 0.2.9 repaired when it is imported; it imports neither PySyft nor PyTorch itself.
"""

from pisyft import compat

__version__ = "0.1.0"

compat.enable()
