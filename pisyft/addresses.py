"""Addresses of workers as people type them on a command line."""

from __future__ import annotations

import click


class Address(click.ParamType):
    """`ID=HOST:PORT`, as a tuple `(id, (host, port))`; IPv6 addresses in brackets.

    Args:
        default_port: for addresses without one; None asks for one.
    """

    def __init__(self, default_port: int | None = None) -> None:
        self.name = "ID=HOST:PORT" if default_port is None else "ID=HOST[:PORT]"
        self._default_port = default_port

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        worker, equals, address = value.partition("=")
        bracketed = address.startswith("[")
        host, end, port = address[1:].partition("]") if bracketed else address.partition(":")
        port = port.removeprefix(":") if bracketed else port
        if not port and self._default_port is not None and not address.endswith(":"):
            port = str(self._default_port)
        if not (worker and equals and host and (end or not bracketed) and port.isdigit() and 0 < int(port) < 65536):
            self.fail(f"{value!r} is not {self.name}, as in bob=192.168.1.22:8777", param, ctx)
        return worker, (host, int(port))
