"""How long a worker waits for another: until an answer, over broken connections, and for bytes to be taken."""

from __future__ import annotations

import contextlib
import socket
import time

# After a connection broke: how often it is made again, and how long in between.
_RECONNECT_AFTER_SECONDS = (0.0, 0.2, 0.5, 1.0, 2.0)
# A Wi-Fi that loses a few packets in a row, which TCP sends again, is not given up.
_UNACKNOWLEDGED_SECONDS_AT_LEAST = 5.0


class Patience:
    """How long one answer is waited for, and how often the connection is made again meanwhile.

    Both begin anew when the other side is heard of, and once more when the connection breaks after that: a long call
    that tells how it goes outlasts any number of breaks.

    Args:
        seconds: to wait for the answer, or for the next that is heard.

    Attributes:
        deadline: by the monotonic clock, in seconds.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begin()

    def _begin(self) -> None:
        self.deadline = time.monotonic() + self._seconds
        self._pauses = iter(_RECONNECT_AFTER_SECONDS)
        self._heard = False

    @property
    def left_seconds(self) -> float:
        """Until the deadline; 0 after it."""
        return max(0.0, self.deadline - time.monotonic())

    def hear(self) -> None:
        """Something came that is not the answer yet."""
        self._begin()
        self._heard = True

    def pause(self) -> bool:
        """Wait for a moment, after a connection broke; whether it is to be made again then."""
        if self._heard:
            self._begin()
        seconds = next(self._pauses, None)
        if seconds is None or time.monotonic() + seconds > self.deadline:
            return False
        time.sleep(seconds)
        return True


def limit_unacknowledged(connection: socket.socket, seconds: float) -> None:
    """Have the system end a connection of which the other side takes nothing for so long (5 s at least).

    Sending blocks while the other side reads nothing, as a process that is stopped does, and has no end of its own;
    with TCP_USER_TIMEOUT (tcp(7)) it raises TimeoutError. Slow is not nothing: who takes a little goes on. Where the
    system does not know it (macOS), sending waits for as long as the other side's TCP answers.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        with contextlib.suppress(OSError):  # closed already, which the next use tells
            milliseconds = int(1000 * max(seconds, _UNACKNOWLEDGED_SECONDS_AT_LEAST))
            connection.setsockopt(socket.IPPROTO_TCP, option, milliseconds)
