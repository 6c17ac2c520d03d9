"""Flower without a network: a grid that hands messages to ClientApps in this process. Both sides are the real ones."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity


def context_of(node: int, **node_config: object) -> Context:
    """What Flower tells an app about where it runs."""
    return Context(run_id=1, node_id=node, node_config=node_config, state=RecordDict(), run_config={})


class DirectGrid:
    """Devices in this process, by Flower's ids from 1.

    Args:
        app: what runs on each.
        folders: their folders of names, by the devices' ids.

    Attributes:
        gone: Flower's ids of devices that do not answer any more.
        replies: all that came back.
    """

    def __init__(self, app: ClientApp, folders: dict[str, Path], **node_config: object) -> None:
        self._app = app
        TaskIdentity.run_id = 1  # Flower sets it when it starts an app; messages carry it
        TaskIdentity.node_id = TaskIdentity.task_id = 0
        self.contexts = {
            number: context_of(number, id=device, names=str(folder), **node_config)
            for number, (device, folder) in enumerate(folders.items(), 1)
        }
        self.gone: set[int] = set()
        self.replies: list[Message] = []
        self._answers_left: dict[int, int] = {}

    def vanish_after(self, node: int, answers: int) -> None:
        """Have a device answer so often, and then no more."""
        self._answers_left[node] = answers

    def get_node_ids(self) -> Iterable[int]:
        return list(self.contexts)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        replies = []
        for message in messages:
            node = message.metadata.dst_node_id
            if node in self.gone or self._answers_left.get(node, 1) == 0:
                continue
            if node in self._answers_left:
                self._answers_left[node] -= 1
            try:
                replies.append(self._app(copy.deepcopy(message), self.contexts[node]))
            except Exception as error:
                replies.append(Message(Error(code=0, reason=f"{type(error)}:<'{error}'>"), reply_to=message))
        self.replies += replies
        return replies
