"""PySyft 0.2.9, as published, on today's Python and PyTorch: repaired in memory, knowing nothing of Pis.

`enable()` arranges that `import syft` applies the repairs. Each repair is a small named function beside the
upstream change that made it necessary; each file holds one cause; `catalogue` imports them all.
"""

from pisyft.compat.loader import enable
from pisyft.compat.registry import Moment, Repair, repairs
from pisyft.compat.requirements import PYSYFT, PySyftMissing, problem

__all__ = ["PYSYFT", "Moment", "PySyftMissing", "Repair", "enable", "problem", "repairs"]
