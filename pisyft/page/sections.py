"""What the page shows, in sections, each of which is sent again when it has changed."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping


class Sections:
    """Values by name, each with the number of its last change. Used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._texts: dict[str, tuple[int, str]] = {}

    def put(self, values: Mapping[str, object]) -> None:
        """Set sections to values that JSON has. One that is as it was does not count as changed."""
        texts = {name: json.dumps(value, allow_nan=False, separators=(",", ":")) for name, value in values.items()}
        with self._lock:
            for name, text in texts.items():
                if name not in self._texts or self._texts[name][1] != text:
                    self._last += 1
                    self._texts[name] = (self._last, text)

    def since(self, last: int) -> tuple[int, str]:
        """What has changed since a number: the number to ask with next, and the sections as one JSON object.

        The text is empty where nothing has changed; 0 gives everything.
        """
        with self._lock:
            if last == self._last:
                return last, ""
            changed = [f"{json.dumps(name)}:{text}" for name, (at, text) in self._texts.items() if at > last]
            return self._last, "{" + ",".join(changed) + "}"
