"""What Flower loads: the code is in the package that is installed on coordinator and devices."""

from pisyft.flower.device import app as client
from pisyft.flower.server_app import app as server

__all__ = ["client", "server"]
