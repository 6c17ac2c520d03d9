"""PySyft's `secure=True`, without an authority: the certificate that is seen first is the one that counts."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pisyft.classroom import create
from pisyft.transport import WebsocketClientWorker, WebsocketServerWorker
from pisyft.transport.errors import UntrustedWorker
from tests.helpers import forget_workers
from tests.proxy import Proxy

ID = "seen-alice"


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    """Two folders, each with a certificate of the worker and its key."""
    made = [create(tmp_path_factory.mktemp("pair") / "room", {ID: ("", 0), "seen-bob": ("", 0)}) for _ in range(2)]
    return [each[ID].parent for each in made]


@pytest.fixture
def calls() -> list[str]:
    """Who answered a call, in order."""
    return []


@pytest.fixture
def servers(serve, folders, calls) -> list[WebsocketServerWorker]:
    """The worker, and somebody with another certificate who says it was the worker."""

    def start(name: str, folder: Path) -> WebsocketServerWorker:
        certificate = {"cert_path": str(folder / f"{ID}.pem"), "key_path": str(folder / f"{ID}.key")}
        return serve(ID, verbs={"greet": lambda calling: calls.append(name)}, **certificate)

    return [start(name, folder) for name, folder in zip(("worker", "impostor"), folders, strict=True)]


@pytest.fixture
def proxy(servers) -> Iterator[Proxy]:
    """The worker's address, which can be made to lead to the other."""
    with Proxy((servers[0].host, servers[0].port)) as proxy:
        yield proxy


@pytest.fixture
def client(hook, connect) -> Callable[[Proxy], WebsocketClientWorker]:
    def connect_as_in_a_new_cell(proxy: Proxy) -> WebsocketClientWorker:
        forget_workers(hook, ID)
        return connect(ID, proxy.address, secure=True)

    return connect_as_in_a_new_cell


def get_in_between(proxy: Proxy, impostor: WebsocketServerWorker) -> None:
    proxy.lead_to((impostor.host, impostor.port))
    proxy.cut()


OTHER = (
    r"worker seen-alice at 127\.0\.0\.1:\d+: it shows another certificate than at first "
    r"\(SHA-256 ([0-9a-f]{2}:){31}[0-9a-f]{2} now, ([0-9a-f]{2}:){31}[0-9a-f]{2} then\)\. "
    r"Somebody may be in between\. .* start this Python, or the notebook's kernel, again"
)


def test_the_same_certificate_is_trusted_again(client, proxy, calls):
    alice = client(proxy)
    alice.call("greet")
    proxy.cut()
    alice.call("greet")
    client(proxy).call("greet")
    assert calls == ["worker"] * 3


def test_a_client_does_not_go_on_with_another_certificate(client, proxy, servers, calls):
    alice = client(proxy)
    alice.call("greet")
    get_in_between(proxy, servers[1])

    with pytest.raises(UntrustedWorker, match=OTHER):
        alice.call("greet")

    assert calls == ["worker"]


def test_a_connection_that_was_closed_is_not_made_again_with_another_certificate(client, proxy, servers):
    alice = client(proxy)
    alice.close()
    get_in_between(proxy, servers[1])

    with pytest.raises(UntrustedWorker, match=OTHER):
        alice.connect()


def test_a_new_client_does_not_believe_another_certificate(client, proxy, servers, calls):
    """As when a notebook's cell is run again."""
    client(proxy).close()
    get_in_between(proxy, servers[1])

    with pytest.raises(UntrustedWorker, match=OTHER):
        client(proxy)

    assert calls == []


def test_what_was_refused_is_trusted_when_it_is_as_at_first_again(client, proxy, servers, calls):
    alice = client(proxy)
    alice.close()
    get_in_between(proxy, servers[1])
    with pytest.raises(UntrustedWorker):
        alice.connect()

    get_in_between(proxy, servers[0])

    alice.call("greet")
    assert calls == ["worker"]


def test_another_address_has_a_first_certificate_of_its_own(client, proxy, servers, calls):
    client(proxy).close()
    with Proxy((servers[1].host, servers[1].port)) as elsewhere:
        client(elsewhere).call("greet")
    assert calls == ["impostor"]
