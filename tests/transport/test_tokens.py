"""A token in place of the coordinator's certificate: over TLS only, one for each Pi, and nobody's way to be a peer."""

import logging
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pisyft.classroom import Classroom, ClassroomError, create
from pisyft.credentials import Credentials, CredentialsError, TokenCredentials, new_token, token_for
from pisyft.limits import Limits
from pisyft.transport import WebsocketClientWorker, WebsocketServerWorker
from pisyft.transport.client import PeerWorker
from pisyft.transport.errors import CallerRefused, LimitExceeded, UntrustedWorker
from pisyft.transport.turn import Turn
from tests.helpers import forget_workers

PIS = {"token-alice": ("127.0.0.1", 8777), "token-bob": ("127.0.0.1", 8778)}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    return create(tmp_path_factory.mktemp("classroom") / "room", PIS, token=True)


@pytest.fixture(scope="module")
def room(files) -> dict[str, Credentials]:
    return {member: Classroom.load(file).credentials for member, file in files.items()}


@pytest.fixture
def start(serve, room) -> Callable[..., WebsocketServerWorker]:
    def start_worker(**limits: int) -> WebsocketServerWorker:
        tell = {"whoami": lambda calling: [calling.caller.id, calling.caller.is_peer]}
        return serve(
            "token-alice",
            verbs=tell,
            peer_verbs=tell,
            credentials=room["token-alice"],
            limits=Limits().with_changes(limits),
        )

    return start_worker


def call(hook, server, credentials, **options) -> object:
    forget_workers(hook, *PIS)
    client = WebsocketClientWorker(hook, server.host, server.port, id="token-alice", credentials=credentials, **options)
    try:
        return client.call("whoami")
    finally:
        client.close()


def call_as_peer(hook, server, owner: str, credentials: Credentials) -> object:
    forget_workers(hook, *PIS)
    peer = PeerWorker(hook, owner, Turn(), server.host, server.port, "token-alice", credentials=credentials)
    try:
        return peer.call("whoami")
    finally:
        peer.close()


def test_the_coordinator_has_a_token_and_no_certificate_and_the_pis_have_both(files):
    assert {each.name for each in files["coordinator"].parent.iterdir()} == {
        *("authority.pem", "coordinator.token", "classroom.toml")
    }
    for member, file in files.items():
        token = file.parent / f"{member}.token"
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        assert len(bytes.fromhex(token.read_text())) == 32


def test_who_shows_the_token_is_the_coordinator(hook, start, room):
    assert call(hook, start(), room["coordinator"]) == ["me", False]


def test_a_token_makes_nobody_a_peer(hook, start, room):
    with pytest.raises(CallerRefused, match="you call as a peer, with the certificate of a coordinator"):
        call_as_peer(hook, start(), "token-bob", room["coordinator"])


def test_a_peer_proves_itself_by_its_certificate(hook, start, room):
    assert call_as_peer(hook, start(), "token-bob", room["token-bob"]) == ["token-bob", True]


def test_another_token_does_not_get_in(hook, start, room):
    wrong = replace(room["coordinator"], token=new_token())
    with pytest.raises(
        CallerRefused, match="your token is not the one that it knows. Use the files of one cla"
    ) as told:
        call(hook, start(), wrong)
    assert f"Your files are in {wrong.authority.parent}." in str(told.value)


def test_what_another_pi_was_shown_does_not_get_in(hook, start, room):
    class Replaying(TokenCredentials):
        def authorization(self, worker: str) -> str | None:
            return super().authorization("token-bob")

    with pytest.raises(CallerRefused, match="your token is not the one"):
        call(hook, start(), Replaying(**vars(room["coordinator"])))


def test_without_token_and_certificate_nobody_gets_in(hook, start, room):
    with pytest.raises(CallerRefused, match="you show neither certificate nor token"):
        call(hook, start(), None, secure=True, ca_path=None)


def test_the_token_is_not_shown_to_a_worker_of_another_classroom(hook, start, room, tmp_path, monkeypatch):
    other = create(tmp_path / "other", PIS, token=True)
    shown: list[str] = []
    accepts = Credentials.accepts
    monkeypatch.setattr(Credentials, "accepts", lambda self, said: shown.append(said) or accepts(self, said))

    with pytest.raises(UntrustedWorker, match="its certificate is of another classroom"):
        call(hook, start(), Classroom.load(other["coordinator"]).credentials)
    assert shown == []


def test_tokens_cannot_be_tried_for_long(hook, start, room):
    server = start(failed_logins_per_minute=3)
    for _ in range(3):
        with pytest.raises(CallerRefused):
            call(hook, server, replace(room["coordinator"], token=new_token()))
    with pytest.raises(LimitExceeded, match="limit failed_logins_per_minute"):
        call(hook, server, room["coordinator"])


def test_no_token_is_in_a_log_or_a_text(hook, start, room, caplog):
    caplog.set_level(logging.DEBUG)
    call(hook, start(), room["coordinator"])

    secrets = {room["coordinator"].token.hex(), token_for(room["coordinator"].token, "token-alice").hex()}
    assert not [secret for secret in secrets if secret in caplog.text or secret in repr(room)]
    assert "uthorization" not in caplog.text


def test_a_token_file_that_others_can_read_is_refused(tmp_path):
    made = create(tmp_path / "room", PIS, token=True)
    token = made["coordinator"].with_name("coordinator.token")
    token.chmod(0o640)
    with pytest.raises(CredentialsError, match=r"coordinator\.token can be read by others .*0640.*: chmod 600"):
        Classroom.load(made["coordinator"])


@pytest.mark.parametrize("content", ["", "no token", "ab" * 31])
def test_a_file_that_is_no_token_is_told(tmp_path, content):
    made = create(tmp_path / "room", PIS, token=True)
    made["coordinator"].with_name("coordinator.token").write_text(content)
    with pytest.raises(CredentialsError, match=r"coordinator\.token is no token: copy it again"):
        Classroom.load(made["coordinator"])


def test_a_pi_cannot_do_with_a_token_alone(tmp_path):
    made = create(tmp_path / "room", PIS, token=True)
    text = made["token-alice"].read_text()
    made["token-alice"].write_text(text.replace('own = "token-alice.pem"\n', ""))
    with pytest.raises(ClassroomError, match="says nothing of own"):
        Classroom.load(made["token-alice"])
