"""What may leave a Pi: labels on every value, and a guard that reads them."""

from pisyft.privacy.guard import GuardedWorker
from pisyft.privacy.labels import PRIVATE, PUBLIC, Label, LabelBook, Share
from pisyft.privacy.policies import OPEN, POLICIES, STRICT, TEACH, Policy

__all__ = [
    "OPEN",
    "POLICIES",
    "PRIVATE",
    "PUBLIC",
    "STRICT",
    "TEACH",
    "GuardedWorker",
    "Label",
    "LabelBook",
    "Policy",
    "Share",
]
