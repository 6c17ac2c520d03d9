"""A classroom: made in one call, read back, and every mistake in its files told with the file and the mend."""

import os
import re
import stat
from datetime import timedelta

import pytest

from pisyft.classroom import Classroom, ClassroomError, create
from pisyft.credentials import CredentialsError
from pisyft.limits import Limits

PIS = {"alice": ("192.168.1.21", 8777), "bob": ("bobs-pi.local", 9000), "carol": ("fe80::1", 8777)}


@pytest.fixture
def made(tmp_path):
    """The classroom.toml of each member of a new classroom."""
    return create(tmp_path / "room", PIS, "room 12", minimum=3)


def edit(file, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize("member", ["alice", "coordinator"])
def test_what_was_made_is_read_back(made, member):
    classroom = Classroom.load(made[member])

    assert (classroom.name, classroom.id, classroom.minimum) == ("room 12", member, 3)
    assert classroom.pis == PIS
    assert classroom.peers == {pi: address for pi, address in PIS.items() if pi != member}
    assert (classroom.credentials.id, classroom.credentials.role) == (member, "pi" if member == "alice" else member)


def test_limits_are_set_in_the_file(made):
    edit(made["alice"], "[certificates]", "[limits]\nframe_mb = 128\n\n[certificates]")

    assert Classroom.load(made["alice"]).limits == Limits(frame_mb=128)
    assert Classroom.load(made["bob"]).limits == Limits()


def test_private_keys_are_for_their_owner_alone(made, tmp_path):
    keys = sorted((tmp_path / "room").rglob("*.key"))

    assert len(keys) == 5  # three Pis, the coordinator, the authority
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert stat.S_IMODE((tmp_path / "room" / "authority").stat().st_mode) == 0o700


def test_no_member_gets_the_authoritys_key(made):
    for file in made.values():
        assert sorted(each.suffix for each in file.parent.iterdir()) == [".key", ".pem", ".pem", ".toml"]
        assert not (file.parent / "authority.key").exists()


def test_a_classroom_is_not_made_over_another_one(made, tmp_path):
    with pytest.raises(ClassroomError, match=r"room is not empty: choose another folder"):
        create(tmp_path / "room", PIS)


@pytest.mark.parametrize("id", ["", "Alice", "my pi", "a/b", "a" * 64, "-a"])
def test_an_id_that_cannot_be_one_is_refused(tmp_path, id):
    with pytest.raises(ClassroomError, match="cannot be a Pi's id: use small letters, digits and hyphens"):
        create(tmp_path / "room", {id: ("192.168.1.21", 8777), "bob": PIS["bob"]})


@pytest.mark.parametrize("id", ["coordinator", "authority", "me"])
def test_an_id_that_is_somebody_elses_is_refused(tmp_path, id):
    with pytest.raises(ClassroomError, match=f"'{id}' cannot be a Pi's id: it is reserved"):
        create(tmp_path / "room", {id: ("192.168.1.21", 8777), "bob": PIS["bob"]})


def test_one_pi_is_no_classroom(tmp_path):
    with pytest.raises(ClassroomError, match="two Pis or more"):
        create(tmp_path / "room", {"alice": PIS["alice"]})


def test_a_file_that_is_not_there_is_told_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(ClassroomError, match=r"no .*/classroom\.toml: make a classroom with pisyft classroom create"):
        Classroom.load(tmp_path / "classroom.toml")


@pytest.mark.parametrize("folder", ["", "authority", "dave"])
def test_of_a_folder_with_or_beside_the_members_own_it_says_which_is_the_coordinators(tmp_path, folder):
    create(tmp_path / "room", PIS)

    with pytest.raises(ClassroomError, match="every member's is in its own folder, the coordinator's in .*/room/coord"):
        Classroom.load(tmp_path / "room" / folder / "classroom.toml")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("minimum = 3", "minmum = 3", "nothing is called minmum here, only classroom, id, minimum"),
        ("port = 9000", "prot = 9000", "nothing is called pi.bob.prot here"),
        ("port = 9000", 'port = "9000"', "pi.bob.port must be a whole number"),
        ("floor = 10", "floor = 4", "floor is 4; 5 is the least, so that no figure is about a few names"),
        ("minimum = 3", "minimum = 1", "minimum is 1; below 2 a sum would hide nothing"),
        ("[pi.carol]", "[pi.bob]", r"is no TOML: .*: is a Pi in it twice\?"),
        ('id = "alice"', 'id = "dave"', "is of 'dave', which is no Pi of it: alice, bob, carol"),
        ('id = "alice"', 'id = "bob"', "is of bob, and the certificate .*alice.pem of alice"),
        ('key = "alice.key"', "", "says nothing of key"),
        ("[certificates]", "certificates = 1\n[rest]", "certificates must be a section|nothing is called rest"),
        ("classroom = ", "classroom = [", "is no TOML"),
        (
            "[certificates]",
            "[limits]\nframe = 1\n[certificates]",
            r"\[limits\]: there is no limit 'frame', only frame_mb",
        ),
        (
            "[certificates]",
            'languages = ["Igbo", "Igbo"]\n[certificates]',
            "languages must be different texts in quotes",
        ),
        ("[certificates]", 'languages = "Igbo"\n[certificates]', "languages must be a list, in brackets"),
        ("[certificates]", "[limits]\nframe_mb = 0\n[certificates]", "the limit frame_mb is 0: it must be"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_the_file(made, old, new, says):
    edit(made["alice"], old, new)

    with pytest.raises(ClassroomError, match=says) as told:
        Classroom.load(made["alice"])
    assert str(made["alice"]) in str(told.value)


def test_a_key_that_others_can_read_is_refused_with_the_command_that_mends_it(made):
    key = made["alice"].with_name("alice.key")
    os.chmod(key, 0o644)

    with pytest.raises(CredentialsError, match=rf"{re.escape(str(key))} can be read by others .*0644.*: chmod 600"):
        Classroom.load(made["alice"])


def test_files_of_two_classrooms_are_told_apart(made, tmp_path):
    other = create(tmp_path / "other", PIS, "room 12")
    made["alice"].with_name("authority.pem").write_bytes(other["alice"].with_name("authority.pem").read_bytes())

    with pytest.raises(
        CredentialsError, match=r"alice\.pem is not signed by .*authority\.pem: .* different classrooms"
    ):
        Classroom.load(made["alice"])


def test_a_key_of_another_certificate_is_told(made):
    bobs = made["bob"].with_name("bob.key").read_bytes()
    made["alice"].with_name("alice.key").write_bytes(bobs)

    with pytest.raises(CredentialsError, match=r"alice\.key is not the key of .*alice\.pem"):
        Classroom.load(made["alice"])


@pytest.mark.parametrize("name", ["authority.pem", "alice.pem", "alice.key"])
def test_a_missing_file_is_named(made, name):
    made["alice"].with_name(name).unlink()

    with pytest.raises(CredentialsError, match=rf"{name} cannot be read: No such file"):
        Classroom.load(made["alice"])


def test_an_expired_certificate_is_told_with_the_clock(tmp_path):
    made = create(tmp_path / "room", PIS, days=0)

    with pytest.raises(CredentialsError, match=r"alice\.pem expired on .*clock says .*: make a new classroom"):
        Classroom.load(made["alice"])


@pytest.mark.parametrize(
    ("years", "says"),
    [
        (-1, r"alice\.pem is valid from .*clock says .*: set the clock"),
        (3, r"alice\.pem expired on .*clock says .*: make a new classroom .*, or set the clock"),
    ],
)
def test_a_clock_that_is_off_by_years_is_told(made, monkeypatch, years, says):
    """Certificates last 825 days: a clock that is ahead is told when it is beyond."""
    from pisyft import credentials

    class Off(credentials.datetime):
        @classmethod
        def now(cls, zone=None):
            return super().now(zone) + timedelta(days=365 * years)

    monkeypatch.setattr(credentials, "datetime", Off)
    with pytest.raises(CredentialsError, match=says):
        Classroom.load(made["alice"])
