"""A TCP proxy that passes everything on a little later, without making it slower, and counts what passes.

delay.py SECONDS PORT ...   listens on a free port for each port of this machine; prints them as a JSON list.
                            For each line on standard input it prints how many bytes have passed, both ways.
"""

from __future__ import annotations

import asyncio
import json
import sys


class DelayingProxy:
    """Connections to one port, each way delayed by the same time."""

    def __init__(self, seconds: float, port: int) -> None:
        self.seconds, self.port = seconds, port
        self.passed = 0
        self._tasks: set[asyncio.Task] = set()

    async def listen(self) -> int:
        """Start to listen; the port."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.port)
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            self._keep(self._pass_on(source, sink))

    def _keep(self, coroutine) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def write() -> None:
            while True:
                when, data = await due.get()
                await asyncio.sleep(max(0.0, when - loop.time()))
                if not data:
                    sink.close()
                    return
                sink.write(data)

        self._keep(write())
        data = b"..."
        while data:
            try:
                data = await source.read(2**18)
            except ConnectionError:
                data = b""
            self.passed += len(data)
            due.put_nowait((loop.time() + self.seconds, data))


async def main() -> None:
    seconds, *ports = sys.argv[1:]
    proxies = [DelayingProxy(float(seconds), int(port)) for port in ports]
    print(json.dumps([await proxy.listen() for proxy in proxies]), flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while await commands.readline():
        print(sum(proxy.passed for proxy in proxies), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
