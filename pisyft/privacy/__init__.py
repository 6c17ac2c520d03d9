"""What may leave a Pi: labels on every value, and a guard that reads them."""

from pisyft.privacy.guard import GuardedWorker
from pisyft.privacy.labels import PRIVATE, PUBLIC, Label, LabelBook, Share

__all__ = ["PRIVATE", "PUBLIC", "GuardedWorker", "Label", "LabelBook", "Share"]
