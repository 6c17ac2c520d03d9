"""What may leave a Pi: labels on every value, and a guard that reads them."""

from pisyft.privacy.guard import POLICIES, STRICT, TEACH, GuardedWorker
from pisyft.privacy.labels import PRIVATE, PUBLIC, Label, LabelBook, Share

__all__ = ["POLICIES", "PRIVATE", "PUBLIC", "STRICT", "TEACH", "GuardedWorker", "Label", "LabelBook", "Share"]
