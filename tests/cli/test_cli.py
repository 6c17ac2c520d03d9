"""The `pisyft` command, as people type it: what they are told, and what is left when something is wrong."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from pisyft import __version__, cli
from pisyft.cli import setup, train
from pisyft.cli.options import Address
from pisyft.cli.problems import ctrl_c_waits
from pisyft.lab import Lab
from pisyft.learning.models import MODELS
from pisyft.learning.names import read_folder, read_parts, total
from pisyft.learning.strategies import STRATEGIES
from pisyft.learning.training import OPTIMIZERS
from tests.conftest import REPOSITORY
from tests.helpers import (
    PATIENCE_SECONDS,
    free_port,
    heed_ctrl_c,
    kill_processes_about,
    processes_about,
    run_pisyft,
    run_python,
    wait_until,
)

WORKER_SCRIPT = REPOSITORY / "workers" / "run_websocket_server.py"

# A module that Python imports when it starts: with it, the metadata of a distribution are not found, or tell another
# version, as where it is not installed, or another one is.
HIDE = """
import importlib.metadata as metadata

found = metadata.version

def version(name):
    if name != {name!r}:
        return found(name)
    if {instead!r} is None:
        raise metadata.PackageNotFoundError(name)
    return {instead!r}

metadata.version = version
"""


def assert_problem(done: subprocess.CompletedProcess[str], *facts: object) -> None:
    """Exit status 2, and one line on stderr that says what is wrong."""
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    for fact in facts:
        assert str(fact) in line


def assert_usage(done: subprocess.CompletedProcess[str], *facts: object) -> None:
    """Exit status 2, how the command is used, and one line that says what is wrong."""
    assert done.returncode == 2
    usage, *_, line = done.stderr.splitlines()
    assert usage.startswith("Usage: ") and line.startswith("Error: ")
    for fact in facts:
        assert str(fact) in line


@pytest.fixture
def own_names(names_folder, tmp_path) -> Path:
    """A copy of `names_folder` to damage."""
    return Path(shutil.copytree(names_folder, tmp_path / "own" / "names"))


def run_environment() -> dict[str, str]:
    """The environment of a process that finds this project, wherever its script lies."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


@pytest.fixture
def without(tmp_path):
    """The environment of a process in which a distribution is not installed, or in another version."""

    def environment(name: str, instead: str | None = None) -> dict[str, str]:
        (tmp_path / "sitecustomize.py").write_text(HIDE.format(name=name, instead=instead))
        return {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}

    return environment


# Names that cannot be used: how to make them so, and what is told of them.


def empty_folder(names: Path) -> str:
    for file in names.iterdir():
        file.unlink()
    return f"the folder {names} holds no names"


def missing_folder(names: Path) -> str:
    shutil.rmtree(names)
    return f"there is no folder {names}"


def not_utf_8(names: Path) -> str:
    (names / "Czech.txt").write_bytes("Dvořák\n".encode("iso-8859-2"))
    return f"{names}/Czech.txt is not UTF-8"


def no_names(names: Path) -> str:
    for file in names.iterdir():
        file.write_text("\n\n")
    return f"the folder {names} holds no names"


def no_known_letter(names: Path) -> str:
    (names / "Japanese.txt").write_text("Abe\n高橋\n", encoding="utf-8")
    return f"{names}/Japanese.txt, line 2: no letter of '高橋' is known"


UNUSABLE = pytest.mark.parametrize("damage", [empty_folder, missing_folder, not_utf_8, no_names, no_known_letter])


@UNUSABLE
def test_a_worker_tells_of_unusable_names(own_names, damage):
    told = damage(own_names)

    assert_problem(run_pisyft("worker", "--id", "alice", "--port", 0, "--data", own_names), told)

    assert not (own_names.parent / "models").exists()


@UNUSABLE
def test_dealing_tells_of_unusable_names_and_deals_nothing(own_names, tmp_path, damage):
    told = damage(own_names)

    assert_problem(run_pisyft("data", "split", own_names, "--into", tmp_path / "dealt", "--worker", "alice"), told)

    assert not (tmp_path / "dealt").exists()


def test_training_in_a_lab_tells_of_unusable_names_and_leaves_nothing(own_names, tmp_path, capsys):
    told = not_utf_8(own_names)

    with pytest.raises(SystemExit) as done:
        cli.main(["train", "--lab", "--names", str(own_names), "--out", str(tmp_path / "out")])

    assert done.value.code == 2
    assert f"Error: {told}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_worker_tells_that_it_has_too_few_names_to_hold_any_out(tmp_path):
    (tmp_path / "Czech.txt").write_text("Novák\n", encoding="utf-8")

    done = run_pisyft("worker", "--id", "alice", "--port", 0, "--data", tmp_path)

    assert_problem(done, "alice has no names to test on: give it two or more")


# Dealing names out


def test_every_name_is_dealt_to_one_worker_and_part_as_it_is_spelled(tmp_path):
    (tmp_path / "names").mkdir()
    spelled = ["Dvořák", "Čapek", "O'Brien-Šmíd", "z Růže", "Novák", "Němec", "Říha", "Žák", "Šíma", "Malý"]
    (tmp_path / "names" / "Czech.txt").write_text("\n".join(spelled), encoding="utf-8")
    (tmp_path / "names" / "Klingon.txt").write_text("", encoding="utf-8")

    done = run_pisyft(
        *("data", "split", tmp_path / "names", "--into", tmp_path / "dealt", "--worker", "alice", "--worker", "bob")
    )

    assert done.returncode == 0, done.stderr
    dealt = {
        (worker, part): (tmp_path / "dealt" / worker / "names" / part / "Czech.txt").read_text("utf-8").splitlines()
        for worker in ("alice", "bob")
        for part in ("train", "validation", "test")
    }
    assert sorted(name for names in dealt.values() for name in names) == sorted(spelled)
    assert [len(dealt["alice", part]) + len(dealt["bob", part]) for part in ("train", "validation", "test")] == [
        7,
        1,
        2,
    ]
    assert (tmp_path / "dealt" / "bob" / "names" / "test" / "Klingon.txt").read_text() == ""
    held = sum(len(dealt["alice", part]) for part in ("train", "validation", "test"))
    assert f"{tmp_path}/dealt/alice/names: {held} names of 1 language\n" in done.stdout
    (row,) = [line for line in done.stdout.splitlines() if "Czech" in line]
    assert re.findall(r"\d+", row) == [str(held), str(10 - held)]


def test_names_are_dealt_by_language_nine_and_nine(all_names, tmp_path):
    done = run_pisyft(
        *("data", "split", all_names, "--into", tmp_path, "--by", "language", "--worker", "alice", "--worker", "bob")
    )

    assert done.returncode == 0, done.stderr
    alice, bob = (read_folder(tmp_path / worker / "names") for worker in ("alice", "bob"))
    assert list(alice) == list(bob)  # a file for every language
    assert sum(map(bool, alice.values())) == sum(map(bool, bob.values())) == 9
    assert not any(alice[language] and bob[language] for language in alice)


def test_names_are_dealt_to_ten_unequal_workers(all_names, tmp_path):
    done = run_pisyft("data", "split", all_names, "--into", tmp_path, "--workers", 10, "--by", "dirichlet")

    assert done.returncode == 0, done.stderr
    held = [total(read_folder(tmp_path / f"pi-{number}" / "names")) for number in range(1, 11)]
    assert sum(held) == total(read_folder(all_names))
    assert max(held) > 2 * min(held)
    assert f"{tmp_path}/pi-10/names: {held[-1]} names" in done.stdout


def test_names_are_dealt_by_a_table(names_folder, tmp_path):
    rows = "".join(f"{file.stem},alice,2\n{file.stem},bob,1\n" for file in names_folder.iterdir())
    (tmp_path / "shares.csv").write_text(f"language,worker,share\n{rows}")

    done = run_pisyft("data", "split", names_folder, "--into", tmp_path, "--by", "table", tmp_path / "shares.csv")

    assert done.returncode == 0, done.stderr
    assert total(read_folder(tmp_path / "alice" / "names")) == pytest.approx(267, abs=8)
    assert total(read_folder(tmp_path / "bob" / "names")) == pytest.approx(133, abs=8)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--by", "table", "--worker", "alice"], "cannot be read: Is a directory"),
        (["shares.csv", "--worker", "alice"], "a table of shares goes with --by table"),
        (["--workers", "2", "--worker", "alice"], "name the workers with --worker, or say how many"),
        (["--by", "table", "nowhere.csv"], "nowhere.csv cannot be read: No such file or directory"),
        (["--by", "dirichlet", "--alpha", "0", "--workers", "2"], "alpha is 0.0: give a number above zero"),
        (["--by", "language", "--workers", "5"], "4 languages are too few for 5 workers"),
        (["--workers", "200"], "would get no names to"),
    ],
)
def test_what_cannot_be_dealt_is_told_and_nothing_is_written(names_folder, tmp_path, options, told):
    assert_problem(run_pisyft("data", "split", names_folder, "--into", tmp_path / "dealt", *options), told)

    assert not (tmp_path / "dealt").exists()


def test_a_name_is_added_to_what_a_worker_trains_on(names_folder, tmp_path):
    run_pisyft("data", "split", names_folder, "--into", tmp_path, "--worker", "alice")
    folder = tmp_path / "alice" / "names"
    add = ("names", "add", "--data", folder, "--language")

    done = run_pisyft(*add, "Czech", "Hrubešová")
    again = run_pisyft(*add, "Czech", "Hrubesová")
    elsewhere = run_pisyft(*add, "Igbo", "Okonkwo")
    new = run_pisyft(*add, "Igbo", "Okonkwo", "--new-language")

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder}/train/Czech.txt: Hrubešová added. The next round trains on it.\n"
    assert_problem(again, "Czech has Hrubesová already, spelled Hrubešová, which is the same")
    assert_problem(elsewhere, "has no language 'Igbo', but Czech, Italian, Japanese, Polish")
    assert new.returncode == 0, new.stderr
    assert "Okonkwo added. Igbo is new: once every Pi has it, restart the workers." in new.stdout
    assert (folder / "train" / "Czech.txt").read_text(encoding="utf-8").endswith("\nHrubešová\n")
    assert (folder / "train" / "Igbo.txt").read_text(encoding="utf-8") == "Okonkwo\n"


def test_who_was_dealt_what_is_told_for_programs(names_folder, tmp_path):
    done = run_pisyft("data", "split", names_folder, "--into", tmp_path, "--workers", "2", "--json")

    told = json.loads(done.stdout)
    assert set(told) == {"pi-1", "pi-2"}
    for each in told.values():
        parts = read_parts(Path(each["folder"]))
        for part, of_part in parts.items():
            assert each[part] == {language: len(names) for language, names in of_part.items()}


def test_the_same_seed_deals_the_same_names(names_folder, tmp_path):
    hands = []
    for into, seed in (("first", 1), ("again", 1), ("other", 2)):
        done = run_pisyft(
            *("data", "split", names_folder, "--into", tmp_path / into, "--seed", seed),
            *("--worker", "alice", "--worker", "bob"),
        )
        assert done.returncode == 0, done.stderr
        hands.append(read_folder(tmp_path / into / "alice" / "names"))

    first, again, other = hands
    assert first == again != other
    assert total(first) == pytest.approx(200, abs=2)


def test_names_that_were_dealt_are_not_dealt_over(names_folder, tmp_path):
    alice = tmp_path / "alice" / "names"
    alice.mkdir(parents=True)
    (alice / "Klingon.txt").write_text("Worf\n")

    done = run_pisyft("data", "split", names_folder, "--into", tmp_path, "--worker", "bob", "--worker", "alice")

    assert_problem(done, f"{alice} holds names already")
    assert [file.name for file in alice.iterdir()] == ["Klingon.txt"]
    assert not (tmp_path / "bob").exists()


@pytest.mark.parametrize("worker", ["../alice", "a/b", "..", ""])
def test_an_id_that_is_no_folders_name_writes_nowhere(names_folder, tmp_path, worker):
    done = run_pisyft("data", "split", names_folder, "--into", tmp_path / "dealt", "--worker", worker)

    assert_problem(done, f"{worker!r} cannot be a worker's id")
    assert list(tmp_path.iterdir()) == []


def test_dealing_to_nobody_or_to_one_worker_twice_is_refused(names_folder, tmp_path):
    assert_problem(run_pisyft("data", "split", names_folder, "--into", tmp_path), "name the workers")
    assert_problem(
        run_pisyft("data", "split", names_folder, "--into", tmp_path, "--worker", "alice", "--worker", "alice"),
        "two workers have the same id: alice, alice",
    )
    assert list(tmp_path.iterdir()) == []


# Workers


def test_a_port_in_use_is_told(names_folder, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = run_pisyft(
            *("worker", "--id", "alice", "--port", port, "--data", names_folder, "--models", tmp_path / "models")
        )

    assert_problem(done, f"port {port} on 127.0.0.1 is in use", "--port")
    assert not (tmp_path / "models").exists()


def test_a_worker_and_its_peer_have_different_ids(names_folder):
    done = run_pisyft("worker", "--id", "alice", "--data", names_folder, "--peer", "alice=127.0.0.1:8777")

    assert_problem(done, "the id 'alice' is used twice")


@pytest.mark.parametrize("options", [["--id", "me"], ["--id", "alice", "--peer", "me=127.0.0.1:8777"]])
def test_no_worker_has_the_coordinators_id(names_folder, options):
    assert_problem(run_pisyft("worker", "--data", names_folder, *options), "the id 'me' is PySyft's name")


@pytest.mark.parametrize("peer", ["bob", "bob=", "=127.0.0.1:1", "bob=127.0.0.1", "bob=127.0.0.1:x", "bob=h:70000"])
def test_an_address_that_is_none_is_told_with_an_example(names_folder, peer):
    done = run_pisyft("worker", "--id", "alice", "--data", names_folder, "--peer", peer)

    assert_usage(done, repr(peer), "as in bob=192.168.1.22:8777")


def test_addresses_may_be_names_ipv4_and_ipv6():
    convert = Address().convert

    assert convert("bob=bobs-pi.local:8777", None, None) == ("bob", ("bobs-pi.local", 8777))
    assert convert("bob=192.168.1.22:8777", None, None) == ("bob", ("192.168.1.22", 8777))
    assert convert("bob=[fe80::1]:8777", None, None) == ("bob", ("fe80::1", 8777))


def test_the_workers_script_serves_on_the_port_it_tells_and_stops_cleanly_on_sigterm(own_names, tmp_path):
    with subprocess.Popen(
        [
            *(sys.executable, WORKER_SCRIPT, "--id", "alice", "--host", "127.0.0.1", "--port", "0", "--verbose"),
            *("--data", own_names, "--models", tmp_path / "models"),
        ],
        env=run_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            ready = process.stdout.readline()
            told = re.fullmatch(r"alice is ready on 127\.0\.0\.1:(\d+): 400 names of 4 languages\n", ready)
            assert told, ready
            # Once the handshake is answered it serves, and SIGTERM is the server's.
            with socket.create_connection(("127.0.0.1", int(told[1])), timeout=PATIENCE_SECONDS) as caller:
                caller.sendall(b"GET / HTTP/1.1\r\nHost: alice\r\n\r\n")
                assert caller.recv(100).startswith(b"HTTP/1.1 ")
            process.send_signal(signal.SIGTERM)
            rest, log = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()

    assert process.returncode == 0
    assert rest == ""
    assert "INFO pisyft.transport.wire: server listening" in log  # as --verbose asks for
    # What is held out is written down, so that a name that is added later does not change it.
    assert read_parts(own_names, seed=0) == read_parts(own_names, seed=1)


def test_the_workers_script_has_pysyfts_options():
    done = run_python(WORKER_SCRIPT, "--help", PYTHONPATH=run_environment()["PYTHONPATH"])

    assert done.returncode == 0, done.stderr
    for option in ("--id", "--port", "--host", "--verbose", "--data", "--peer"):
        assert option in done.stdout


# Training


def test_training_needs_two_workers_or_a_lab():
    told = "say with whom: --classroom FOLDER, --worker ID=HOST:PORT twice or more, or --lab"

    assert_problem(run_pisyft("train"), told)
    assert_problem(run_pisyft("train", "--worker", "alice=127.0.0.1:1"), told)


def test_a_lab_and_workers_elsewhere_exclude_each_other():
    assert_problem(run_pisyft("train", "--lab", "--worker", "alice=127.0.0.1:1"), "take one: --lab")


def test_two_workers_with_one_id_are_refused():
    done = run_pisyft("train", "--worker", "alice=127.0.0.1:1", "--worker", "alice=127.0.0.1:2")

    assert_problem(done, "the id 'alice' is used twice")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--rounds", "0"), ("--batch-size", "0"), ("--learning-rate", "0"), ("--good-enough", "1.5")),
        *(("--passes", "nan"), ("--learning-rate", "inf"), ("--margin", "nan")),
    ],
)
def test_settings_out_of_range_are_refused(option, value):
    assert_usage(run_pisyft("train", "--lab", option, value), option, value)


def test_a_file_in_place_of_the_output_folder_is_told(tmp_path):
    (tmp_path / "out").write_text("mine")

    assert_usage(run_pisyft("train", "--lab", "--out", tmp_path / "out"), tmp_path / "out")

    assert (tmp_path / "out").read_text() == "mine"


def test_a_worker_that_is_not_there_is_told_with_its_address(lab, tmp_path, capsys):
    host, port = lab.addresses["alice"]
    nobody = free_port()

    with pytest.raises(SystemExit) as done:
        cli.main(
            [
                *("train", "--worker", f"alice={host}:{port}", "--worker", f"bob=127.0.0.1:{nobody}"),
                *("--out", str(tmp_path / "out")),
            ]
        )

    assert done.value.code == 2
    told = capsys.readouterr().err
    assert "Error: a federation needs two workers or more, and only alice is there" in told
    assert f"worker bob at 127.0.0.1:{nobody}: nothing listens there" in told
    assert "Start it with: pisyft worker --id bob" in told
    assert not (tmp_path / "out").exists()


def test_two_workers_with_different_languages_are_told_and_nothing_is_written(lab, own_names, tmp_path):
    (own_names / "Czech.txt").rename(own_names / "Slovak.txt")
    with Lab(own_names, ["carol"]) as other:
        addresses = {"alice": lab.addresses["alice"], "carol": other.addresses["carol"]}

        done = run_pisyft(
            "train",
            *(word for id_, (host, port) in addresses.items() for word in ("--worker", f"{id_}={host}:{port}")),
            *("--out", tmp_path / "out"),
        )

    assert_problem(done, "alice and carol have different languages", "Czech, Slovak")
    assert not (tmp_path / "out").exists()


# Setting up


def test_a_run_s_summary_is_printed_for_programs_and_what_happens_is_not_in_between(lab, tmp_path):
    addresses = [word for id_, (host, port) in lab.addresses.items() for word in ("--worker", f"{id_}={host}:{port}")]
    out = tmp_path / "out"

    done = run_pisyft("train", *addresses, "--rounds", "1", "--good-enough", "1", "--out", out, "--json")

    assert json.loads(done.stdout) == json.loads((out / "summary.json").read_text())
    assert "Not released" in done.stderr


def test_a_run_that_nobody_reads_goes_on_to_its_end(lab, tmp_path):
    addresses = [word for id_, (host, port) in lab.addresses.items() for word in ("--worker", f"{id_}={host}:{port}")]
    out = tmp_path / "out"
    command = [sys.executable, "-m", "pisyft", "train", *addresses, "--rounds", "1", "--good-enough", "1", "--out", out]
    with subprocess.Popen(command, env=run_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            process.stdout.close()  # as `| head -1` does
            told = process.stderr.read()
            process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()

    assert (process.returncode, told) == (0, b"")
    assert json.loads((out / "summary.json").read_text())["rounds"] == 1


def test_an_output_folder_that_cannot_be_made_is_told(lab):
    addresses = [word for id_, (host, port) in lab.addresses.items() for word in ("--worker", f"{id_}={host}:{port}")]

    done = run_pisyft("train", *addresses, "--out", "/dev/null/out")

    assert_problem(done, "cannot write /dev/null/out", "Not a directory")


def test_help_is_there():
    done = run_pisyft("--help")

    assert done.returncode == 0
    for command in ("setup", "data", "worker", "train"):
        assert f"\n  {command}" in done.stdout


def commands_with_names():
    """Every command that does something, by what is typed for it: "train", "data split"."""
    context = click.Context(cli.main)
    for name in cli.COMMANDS:
        command = cli.main.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ((f"{name} {each}", within) for each, within in command.commands.items())
        else:
            yield name, command


def examples_in(text):
    return [line.split("  ")[0] for line in map(str.strip, (text or "").splitlines()) if line.startswith("pisyft ")]


@pytest.mark.parametrize("name", [name for name, _ in commands_with_names()])
def test_every_command_has_an_example_in_its_help(name):
    examples = examples_in(dict(commands_with_names())[name].help)

    assert any(example.startswith(f"pisyft {name}") for example in examples)


def test_every_example_in_the_help_is_a_command_with_these_options():
    """Each is parsed, and not run."""
    commands = dict(commands_with_names())
    texts = [cli.main.help, *(command.help for command in commands.values())]

    for example in (each for text in texts for each in examples_in(text)):
        words = shlex.split(example.split(" < ")[0].split(" > ")[0])[1:]
        length = 2 if " ".join(words[:2]) in commands else 1
        commands[" ".join(words[:length])].make_context(words[0], words[length:])


def test_help_fits_a_screen_and_lists_every_command_once():
    done = run_pisyft("--help", COLUMNS="80")

    lines = done.stdout.splitlines()
    assert len(lines) <= 45 and max(map(len, lines)) <= 80
    for name in cli.COMMANDS:
        assert sum(line.split()[:1] == [name] for line in lines) == 1


def test_no_line_of_help_is_cut_off():
    for arguments in ((), ("data",), ("classroom",), ("names",), ("release",)):
        lines = run_pisyft(*arguments, "--help", COLUMNS="80").stdout.splitlines()
        assert not [line for line in lines if line.endswith("...") and not line.startswith("Usage:")]


def test_a_mistyped_command_is_told_what_was_meant():
    assert_usage(run_pisyft("trian"), "No such command 'trian'", "Did you mean train?")


def test_the_names_that_train_offers_are_those_that_there_are():
    assert set(train.MODELS.choices) == set(MODELS)
    assert set(train.STRATEGIES.choices) == set(STRATEGIES)
    assert set(train.OPTIMIZERS.choices) == set(OPTIMIZERS)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("pisyft cl", ["classroom"]),
        ("pisyft classroom ", ["create", "install", "pack", "watch"]),
        ("pisyft train --model ng", ["ngrams"]),
        ("pisyft worker --policy ", ["strict", "teach", "open"]),
    ],
)
def test_what_is_typed_is_completed(typed, offered):
    *before, incomplete = typed.split(" ")[1:]

    completions = ShellComplete(cli.main, {}, "pisyft", "_PISYFT_COMPLETE").get_completions(before, incomplete)

    assert [each.value for each in completions] == offered


def test_the_version_is_told():
    done = run_pisyft("--version")

    assert done.stdout == f"pisyft, version {__version__}\n"


def test_setting_up_again_does_nothing(monkeypatch, capsys):
    monkeypatch.setattr(setup.subprocess, "run", lambda *_: pytest.fail("pip was run"))

    cli.main(["setup"], standalone_mode=False)

    assert capsys.readouterr().out == "PySyft 0.2.9 is installed.\n"


def test_the_command_that_sets_up_succeeds_where_pysyft_is():
    done = run_pisyft("setup")

    assert (done.returncode, done.stdout) == (0, "PySyft 0.2.9 is installed.\n")


def test_setting_up_installs_the_two_packages_without_their_dependencies(monkeypatch, capsys):
    installed = []
    monkeypatch.setattr(setup.requirements, "problem", lambda: None if installed else "not here")

    def run(command):
        installed.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(setup.subprocess, "run", run)

    cli.main(["setup"], standalone_mode=False)

    (command,) = installed
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert "--no-deps" in command
    assert command[-2:] == ["syft==0.2.9", "syft-proto==0.5.3"]
    assert capsys.readouterr().out == "PySyft 0.2.9 is installed.\n"


def test_setting_up_tells_that_pip_failed(monkeypatch, capsys):
    monkeypatch.setattr(setup.requirements, "problem", lambda: "not here")
    monkeypatch.setattr(setup.subprocess, "run", lambda command: subprocess.CompletedProcess(command, 1))

    with pytest.raises(SystemExit) as done:
        cli.main(["setup"])

    assert done.value.code == 2
    assert "pip could not install syft==0.2.9 and syft-proto==0.5.3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "instead", "told"),
    [
        ("syft", None, "PiSyft needs PySyft 0.2.9 (package `syft`), which is not installed"),
        ("syft", "0.8.6", "PiSyft repairs PySyft 0.2.9, but `syft` 0.8.6 is installed"),
        ("syft-proto", None, "PySyft 0.2.9 needs `syft-proto`, which is not installed"),
    ],
)
def test_without_pysyft_importing_pisyft_says_what_to_type(without, name, instead, told):
    done = run_python("-c", "import pisyft", **without(name, instead))

    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("pisyft.compat.requirements.PySyftMissing: ")
    assert told in last and "Run `pisyft setup`" in last


def test_without_pysyft_the_command_helps_and_deals_names(without, names_folder, tmp_path):
    environment = without("syft")

    assert run_pisyft("--help", **environment).returncode == 0
    assert run_python("-W", "ignore", "-m", "pisyft", "--help", **environment).returncode == 0
    dealt = run_pisyft("data", "split", names_folder, "--into", tmp_path / "x", "--worker", "alice", **environment)
    assert dealt.returncode == 0, dealt.stderr


def test_without_pysyft_what_needs_it_says_what_to_type(without, names_folder):
    environment = without("syft")

    assert_problem(run_pisyft("train", "--lab", **environment), "Run `pisyft setup`")
    assert_problem(run_pisyft("worker", "--id", "a", "--data", names_folder, **environment), "Run `pisyft setup`")
    assert_problem(run_python(WORKER_SCRIPT, "--id", "a", "--data", names_folder, **environment), "Run `pisyft setup`")


@pytest.mark.parametrize("arguments", [["--help"], ["data", "split", "--help"]])
def test_help_waits_for_neither_pysyft_nor_pytorch(arguments):
    script = (
        "import sys\n"
        "from pisyft.cli import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "assert not {'torch', 'syft', 'numpy'} & set(sys.modules), 'imported'\n"
    )

    done = run_python("-c", script)

    assert done.returncode == 0, done.stderr


# Interrupting


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where the shell that runs the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_waits_until_modules_are_imported(ctrl_c):
    done = []

    with pytest.raises(KeyboardInterrupt), ctrl_c_waits():
        signal.raise_signal(signal.SIGINT)
        done.append("imported")

    assert done == ["imported"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_training_in_a_lab_that_is_interrupted_leaves_no_process(names_folder, tmp_path):
    out = tmp_path / "out"
    logs = [out / "lab" / worker / "worker.log" for worker in ("alice", "bob")]
    with subprocess.Popen(
        [sys.executable, "-m", "pisyft", "train", "--lab", "--names", names_folder, "--rounds", "1000", "--out", out],
        env=run_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_ctrl_c,
    ) as process:
        try:
            wait_until(lambda: all(log.exists() and "is ready" in log.read_text() for log in logs), "workers are ready")
            assert len(processes_about(out)) == 3

            process.send_signal(signal.SIGINT)
            output = process.communicate(timeout=PATIENCE_SECONDS)[0]

            assert processes_about(out) == []
        finally:
            process.kill()
            kill_processes_about(out)

    assert process.returncode == 1, output
    assert output.rstrip().endswith("Aborted!")
    assert "Traceback" not in output
    assert not (out / "summary.json").exists()
