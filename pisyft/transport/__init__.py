"""One websocket between two workers: PySyft's websocket workers, on frames that are checked and connections that last.

Importing this puts the two workers in the place of PySyft's, which `import pisyft` arranges to happen right after
PySyft is imported.
"""

import syft
import syft.workers.websocket_client
import syft.workers.websocket_server
from syft.workers.base import BaseWorker

from pisyft.transport.client import WebsocketClientWorker
from pisyft.transport.errors import TransportError, UnknownPeer
from pisyft.transport.serialization import (
    leave_small_messages_uncompressed,
    look_types_up_directly,
    read_types_without_importing,
    read_within_bounds,
)
from pisyft.transport.server import WebsocketServerWorker

__all__ = ["TransportError", "UnknownPeer", "WebsocketClientWorker", "WebsocketServerWorker"]


def _put_in_place() -> None:
    for module in (syft, syft.workers.websocket_client):
        module.WebsocketClientWorker = WebsocketClientWorker
    for module in (syft, syft.workers.websocket_server):
        module.WebsocketServerWorker = WebsocketServerWorker

    collect_garbage = BaseWorker.garbage

    def garbage(self, object_id, location) -> None:
        # Called by pointers that are deleted, at any moment and in any thread: no time to send a message.
        if isinstance(location, WebsocketClientWorker):
            location.discard(object_id)
        else:
            collect_garbage(self, object_id, location)

    send_msg = BaseWorker.send_msg

    def send_msg_or_deliver(self, message, location):
        if isinstance(location, WebsocketClientWorker):
            return location.deliver(self, message)
        return send_msg(self, message, location)

    BaseWorker.garbage = garbage
    BaseWorker.send_msg = send_msg_or_deliver
    leave_small_messages_uncompressed()
    look_types_up_directly()
    read_within_bounds()
    read_types_without_importing()


_put_in_place()
