"""TLS on both sides: who a caller is comes from its certificate, and nobody gets in without one of the classroom."""

import ssl
from collections.abc import Callable
from datetime import timedelta, timezone

import pytest

from pisyft import classroom
from pisyft.classroom import Classroom, create
from pisyft.credentials import Credentials, CredentialsError
from pisyft.transport import WebsocketClientWorker, WebsocketServerWorker
from pisyft.transport.client import PeerWorker
from pisyft.transport.errors import CallerRefused, OtherProtocol, UntrustedWorker
from pisyft.transport.turn import Turn
from tests.helpers import PATIENCE_SECONDS, forget_workers

PIS = {"tls-alice": ("127.0.0.1", 8777), "tls-bob": ("127.0.0.1", 8778)}


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> dict[str, Credentials]:
    """The credentials of each member of a classroom."""
    made = create(tmp_path_factory.mktemp("classroom") / "room", PIS)
    return {member: Classroom.load(file).credentials for member, file in made.items()}


@pytest.fixture(scope="module")
def other_room(tmp_path_factory) -> dict[str, Credentials]:
    made = create(tmp_path_factory.mktemp("classroom") / "room", PIS)
    return {member: Classroom.load(file).credentials for member, file in made.items()}


@pytest.fixture
def start(serve) -> Callable[..., WebsocketServerWorker]:
    """Starts a worker, which tells a coordinator and a peer who it takes them for."""
    tell = {"whoami": lambda calling: [calling.caller.id, calling.caller.is_peer]}
    return lambda **options: serve("tls-alice", verbs=tell, peer_verbs=tell, **options)


def call(hook, server, id="tls-alice", **options) -> object:
    forget_workers(hook, *PIS)
    client = WebsocketClientWorker(hook, server.host, server.port, id=id, timeout=PATIENCE_SECONDS, **options)
    try:
        return client.call("whoami")
    finally:
        client.close()


def call_as_peer(hook, server, owner: str, credentials: Credentials) -> object:
    forget_workers(hook, *PIS)
    peer = PeerWorker(hook, owner, Turn(), server.host, server.port, "tls-alice", credentials=credentials)
    try:
        return peer.call("whoami")
    finally:
        peer.close()


def test_members_know_each_other(hook, start, room):
    server = start(credentials=room["tls-alice"])

    assert call(hook, server, credentials=room["coordinator"]) == ["me", False]
    assert call_as_peer(hook, server, "tls-bob", room["tls-bob"]) == ["tls-bob", True]


def test_a_pi_is_no_coordinator(hook, start, room):
    server = start(credentials=room["tls-alice"])
    with pytest.raises(CallerRefused, match="you call as a coordinator, with the certificate of a pi"):
        call(hook, server, credentials=room["tls-bob"])


def test_the_coordinator_is_no_peer(hook, start, room):
    server = start(credentials=room["tls-alice"])
    with pytest.raises(CallerRefused, match="you call as a peer, with the certificate of a coordinator"):
        call_as_peer(hook, server, "tls-bob", room["coordinator"])


def test_a_pi_is_no_other_pi(hook, start, room):
    server = start(credentials=room["tls-alice"])
    with pytest.raises(CallerRefused, match="you call as carol, with the certificate of tls-bob"):
        call_as_peer(hook, server, "carol", room["tls-bob"])


def test_a_member_of_another_classroom_does_not_trust_this_worker(hook, start, room, other_room):
    server = start(credentials=room["tls-alice"])
    with pytest.raises(UntrustedWorker, match="its certificate is of another classroom.*files of one class") as told:
        call(hook, server, credentials=other_room["coordinator"])
    assert f"Your files are in {other_room['coordinator'].authority.parent}." in str(told.value)


def test_a_certificate_of_another_classroom_does_not_get_in(hook, start, room, other_room):
    """Also if its owner has the authority's certificate, which is no secret."""
    server = start(credentials=room["tls-alice"])

    class Mixed(Credentials):
        def client_context(self) -> ssl.SSLContext:
            context = super().client_context()
            context.load_verify_locations(room["coordinator"].authority)
            return context

    with pytest.raises(CallerRefused, match="it does not accept your certificate.*files of one classroom"):
        call(hook, server, credentials=Mixed(**vars(other_room["coordinator"])))


def test_without_a_certificate_nobody_gets_in(hook, start, room):
    server = start(credentials=room["tls-alice"])
    with pytest.raises(CallerRefused, match=r"members of its classroom only. Connect with Classroom.load"):
        call(hook, server, secure=True, ca_path=str(room["tls-alice"].authority))


def test_without_tls_nobody_gets_in(hook, start, room):
    server = start(credentials=room["tls-alice"])
    with pytest.raises(OtherProtocol, match="use the same classroom's certificates, or none"):
        call(hook, server)


def test_a_worker_without_tls_is_not_trusted(hook, start, room):
    server = start()
    with pytest.raises(UntrustedWorker, match="it does not speak TLS. Start it with --classroom"):
        call(hook, server, credentials=room["coordinator"])


def test_a_worker_is_known_by_its_id_and_not_by_its_address(hook, start, room):
    server = start(credentials=room["tls-alice"])
    with pytest.raises(UntrustedWorker, match="its certificate is another one's. Is the address of another Pi"):
        call(hook, server, id="tls-bob", credentials=room["coordinator"])


def test_an_expired_certificate_is_told(hook, start, room, tmp_path):
    """Of a worker that was started before it expired."""
    made = create(tmp_path / "room", PIS, days=0)
    folder = made["tls-alice"].parent
    expired = Credentials(
        folder / "authority.pem", folder / "tls-alice.pem", folder / "tls-alice.key", "tls-alice", "pi"
    )
    server = start(credentials=expired)
    coordinator = made["coordinator"].parent
    caller = Credentials(
        coordinator / "authority.pem", coordinator / "coordinator.pem", coordinator / "coordinator.key", "c", "c"
    )
    with pytest.raises(UntrustedWorker, match="its certificate has expired. Make a new classroom"):
        call(hook, server, credentials=caller)


def test_a_certificate_that_is_not_valid_yet_is_told(hook, start, room, tmp_path, monkeypatch):
    """By a machine whose clock is a year behind: to it, all certificates are of the future."""
    now = classroom.datetime.now(timezone.utc)

    class InAYear(classroom.datetime):
        @classmethod
        def now(cls, zone=None):
            return now + timedelta(days=365)

    monkeypatch.setattr(classroom, "datetime", InAYear)
    made = create(tmp_path / "room", PIS)
    alice, coordinator = made["tls-alice"].parent, made["coordinator"].parent
    server = start(
        credentials=Credentials(
            alice / "authority.pem", alice / "tls-alice.pem", alice / "tls-alice.key", "tls-alice", "pi"
        )
    )
    files = (coordinator / each for each in ("authority.pem", "coordinator.pem", "coordinator.key"))
    with pytest.raises(UntrustedWorker, match="its certificate is not valid yet. Set the clocks of both machines"):
        call(hook, server, credentials=Credentials(*files, "coordinator", "coordinator"))


def test_a_worker_does_not_start_with_anothers_certificate(start, room):
    with pytest.raises(CredentialsError, match=r"tls-bob\.pem is of tls-bob, not of tls-alice"):
        start(credentials=room["tls-bob"])


def test_a_good_caller_is_served_after_bad_ones(hook, start, room, other_room):
    server = start(credentials=room["tls-alice"])
    for bad in ({}, {"credentials": other_room["coordinator"]}, {"credentials": room["tls-bob"]}):
        with pytest.raises((OtherProtocol, UntrustedWorker, CallerRefused)):
            call(hook, server, **bad)

    assert call(hook, server, credentials=room["coordinator"]) == ["me", False]


def test_nothing_follows_a_handshake_that_a_caller_s_two_threads_would_race_for(room):
    """A session ticket came while a caller's other thread sent its first request, which then got lost: one in 1,000."""
    assert room["tls-alice"].server_context().num_tickets == 0
