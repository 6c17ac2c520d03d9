"""`pisyft predict`, `pisyft release` and `pisyft runs`, as people type them."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pisyft.learning.alphabet import UNICODE
from pisyft.learning.evaluation import predict
from pisyft.learning.models import make_model
from pisyft.learning.released import load_released
from pisyft.learning.vectors import to_vector
from pisyft.release import Card, ModelStore, Pending, ReleaseError
from tests.helpers import PATIENCE_SECONDS, run_pisyft, run_python

LANGUAGES = ("Czech", "Greek", "Irish", "Korean")
CARD = Card(1, "gru", LANGUAGES, 0.5, ("alice", "bob"), 3, alphabet="unicode", alphabet_digest=UNICODE.digest())


@pytest.fixture
def models(tmp_path) -> Path:
    """A folder with three versions of a model, of which the newest is in use."""
    store = ModelStore(tmp_path / "models")
    for version in (1, 2, 3):
        model = make_model("gru", UNICODE.size, len(LANGUAGES), seed=version)
        store.add(replace(CARD, version=version, accuracy=version / 10), to_vector(model).numpy())
    return store.folder


def run_piped(text: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pisyft", *map(str, arguments)],
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def expected(name: str, top: int, version: int = 3) -> list[tuple[float, str]]:
    model = make_model("gru", UNICODE.size, len(LANGUAGES), seed=version)
    return predict(model, name, LANGUAGES, top, UNICODE)


def test_a_prediction_has_the_tutorials_form_and_a_bar_for_each_language(models):
    done = run_pisyft("predict", "Qing", "Müller", "--top", 2, "--models", models)

    assert done.returncode == 0, done.stderr
    blocks = done.stdout.strip().split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == ["> Qing", "> Müller"]
    for block, name in zip(blocks, ("Qing", "Müller"), strict=True):
        lines = block.splitlines()[1:]
        assert len(lines) == 2
        for line, (value, language) in zip(lines, expected(name, 2), strict=True):
            assert line.startswith(f"({value:.2f}) {language}")
            assert "█" in line and line.rstrip().endswith(f"{math.exp(value):.0%}")


def test_names_in_other_scripts_are_guessed_where_the_model_knows_their_letters(models):
    done = run_pisyft("predict", "Παπαδόπουλος", "--json", "--models", models)

    (answer,) = json.loads(done.stdout)["names"]
    assert answer["name"] == "Παπαδόπουλος"
    assert [guess["language"] for guess in answer["guesses"]] == [
        language for _, language in expected("Παπαδόπουλος", 3)
    ]


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_names_are_read_from_standard_input(models, arguments):
    done = run_piped("Qing\n\n  Gadler \n", "predict", *arguments, "--json", "--models", models)

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["version"] == 3
    assert [each["name"] for each in answer["names"]] == ["Qing", "Gadler"]
    (first, *_), value = answer["names"][1]["guesses"], expected("Gadler", 3)[0]
    assert (first["language"], first["log_probability"]) == (value[1], pytest.approx(value[0], abs=1e-5))


def test_a_name_without_a_known_letter_is_told_and_the_others_are_guessed(models):
    done = run_pisyft("predict", "王", "Kim", "--models", models)
    as_json = run_pisyft("predict", "王", "Kim", "--json", "--models", models)

    assert done.returncode == as_json.returncode == 2
    assert "> 王\nno letter of '王' is known: write it in Latin, Greek or Cyrillic letters\n" in done.stdout
    assert "\n> Kim\n(" in done.stdout
    unknown, known = json.loads(as_json.stdout)["names"]
    assert "no letter" in unknown["error"] and len(known["guesses"]) == 3


def test_another_version_is_used_when_asked_for(models):
    done = run_pisyft("predict", "Kim", "--version", 1, "--json", "--models", models)

    assert json.loads(done.stdout)["version"] == 1


@pytest.mark.parametrize("arguments", [["Kim"], ["Kim", "--models", "nowhere"], ["Kim", "--version", "9"]])
def test_a_model_that_is_not_there_is_told(models, tmp_path, arguments):
    if "--version" in arguments:
        arguments = [*arguments, "--models", str(models)]
    elsewhere = f"import os; os.chdir({str(models)!r}); from pisyft.cli import main; main()"
    done = run_python("-c", elsewhere, "predict", *arguments)

    assert done.returncode == 2
    assert "no released model in" in done.stderr and "Traceback" not in done.stderr


def test_predicting_needs_neither_pytorch_nor_pysyft(models):
    """Nor what would make it slow to start on a Pi: a third of its time was once such imports."""
    code = (
        "import sys\nsys.argv[0] = 'pisyft'\nfrom pisyft.cli import main\n"
        f"main(['predict', 'Kim', '--models', {str(models)!r}], standalone_mode=False)\n"
        "assert 'pisyft.learning.runtime' in sys.modules\n"
        "slow = {'torch', 'syft', 'rich', 'websockets', 'matplotlib', 'cryptography', 'importlib.metadata'}\n"
        "assert slow.isdisjoint(sys.modules), slow & set(sys.modules)"
    )
    done = run_python("-c", code)

    assert done.returncode == 0, done.stderr


def test_a_model_of_other_letters_or_another_form_is_not_used(tmp_path):
    store = ModelStore(tmp_path)
    store.add(replace(CARD, alphabet_digest="0" * 64), np.zeros(3, "<f4"))
    store.add(replace(CARD, version=2), np.zeros(3, "<f4"))
    store.add(replace(CARD, version=3, model="oracle"), np.zeros(3, "<f4"))

    with pytest.raises(ReleaseError, match="another alphabet 'unicode' than this PiSyft's"):
        load_released(tmp_path, 1)
    with pytest.raises(ReleaseError, match="version 2 does not fit this PiSyft"):
        load_released(tmp_path, 2)
    with pytest.raises(ReleaseError, match="version 3 does not fit this PiSyft: there is no model 'oracle'"):
        load_released(tmp_path, 3)


def test_a_released_model_is_the_one_that_was_stored(models):
    released = load_released(models, 2)

    assert (released.card.version, released.alphabet) == (2, UNICODE)
    for (value, language), (other, name) in zip(released.guess("Kim"), expected("Kim", 3, version=2), strict=True):
        assert (language, value) == (name, pytest.approx(other, abs=1e-5))


def test_versions_are_listed_with_the_one_in_use(models):
    done = run_pisyft("release", "list", "--models", models)
    as_json = json.loads(run_pisyft("release", "list", "--json", "--models", models).stdout)

    (used,) = [line for line in done.stdout.splitlines() if "in use" in line]
    assert "3" in used and "30.0%" in used and "alice, bob" in used
    assert as_json["current"] == 3
    assert [card["version"] for card in as_json["versions"]] == [1, 2, 3]


def test_a_card_is_shown(models):
    done = run_pisyft("release", "show", "--models", models)
    as_json = json.loads(run_pisyft("release", "show", 1, "--json", "--models", models).stdout)

    assert done.stdout.startswith("version 3 of ") and "Czech, Greek, Irish, Korean" in done.stdout
    assert as_json["version"] == 1
    assert as_json["sha256"] == ModelStore(models).digest(1)


def test_a_rollback_is_what_predictions_use_from_then_on(models):
    done = run_pisyft("release", "rollback", "--models", models)
    predicted = json.loads(run_pisyft("predict", "Kim", "--json", "--models", models).stdout)
    back = run_pisyft("release", "rollback", "--to", 3, "--models", models)

    assert done.returncode == back.returncode == 0, done.stderr
    assert f"{models}: version 2 of" in done.stdout and "instead of version 3" in done.stdout
    assert predicted["version"] == 2
    assert ModelStore(models).current == 3


@pytest.mark.parametrize("command", ["show", "list", "rollback"])
def test_a_card_says_nothing_to_the_terminal_itself(tmp_path, command):
    store, weights = ModelStore(tmp_path / "models"), np.zeros(7, "<f4")
    texts = dict.fromkeys(("date", "model", "strategy", "aggregation", "alphabet"), "\x1b[2J\x1b]0;owned\x07\r\n")
    for version in (1, 2):
        store.add(replace(CARD, version=version, accuracy_by_worker={"\x1b[2J": 0.5}, **texts), weights)

    done = run_pisyft("release", command, "--models", store.folder)

    assert done.returncode == 0, done.stderr
    assert "?[2J" in done.stdout
    assert all(letter.isprintable() for letter in done.stdout.replace("\n", ""))


def test_a_rollback_that_cannot_be_is_told(models):
    done = run_pisyft("release", "rollback", "--to", 7, "--models", models)

    assert done.returncode == 2
    assert done.stderr == f"Error: no released model in {models} of version 7\n"


def test_a_worker_that_was_away_is_brought_the_release(lab, workers, tmp_path):
    told = workers[0].call("describe")
    store = ModelStore(tmp_path / "models")
    card = Card(
        told["newest"] + 1,
        *("tutorial", tuple(told["languages"]), 0.5, ("alice", "bob"), 3),
        alphabet_digest=told["alphabet_digest"],
    )
    store.add(card, to_vector(make_model("tutorial", 57, 4)).numpy())
    Pending(store).owe(["alice", "carol"], card.version)
    host, port = lab.addresses["alice"]

    done = run_pisyft("release", "deliver", "--worker", f"alice={host}:{port}", "--models", store.folder)

    assert f"alice has version {card.version}\n" in done.stdout
    assert workers[0].call("describe")["released"] == card.version
    assert "say where it is, with --worker carol=HOST:PORT" in done.stdout
    assert (done.returncode, done.stderr) == (2, "Error: not delivered to carol\n")


def test_what_is_not_there_is_not_brought(tmp_path):
    done = run_pisyft("release", "deliver", "--models", tmp_path)

    assert done.returncode == 2
    assert done.stderr == f"Error: no released model in {tmp_path}: say where with --models DIR\n"


def test_with_nobody_away_there_is_nothing_to_bring(models):
    done = run_pisyft("release", "deliver", "--models", models)

    assert (done.returncode, done.stdout) == (0, f"Every worker has the release: version 3 of {models}.\n")


RUN = {
    "workers": ["alice", "bob"],
    "names_total": 400,
    "rounds": 15,
    "batch_size": 32,
    "seed": 0,
    "accuracy_final": 0.41,
    "balanced_accuracy_final": 0.4,
    "centralised_accuracy": 0.46,
    "released_version": 1,
}


def write_runs(folder: Path, **runs: object) -> None:
    for run, summary in runs.items():
        (folder / run).mkdir(parents=True)
        (folder / run / "summary.json").write_text(summary if isinstance(summary, str) else json.dumps(summary))


def test_runs_are_compared_by_their_figures_and_by_what_differs(tmp_path):
    better = {**RUN, "batch_size": 64, "accuracy_final": 0.52, "released_version": None, "centralised_accuracy": None}
    write_runs(tmp_path, first=RUN, second=better, bench={"seconds": 3}, broken="{")

    done = run_pisyft("runs", tmp_path)
    as_json = json.loads(run_pisyft("runs", tmp_path, "--json").stdout)

    assert done.returncode == 0, done.stderr
    title, _, *header = done.stdout.splitlines()[:4]
    assert title == "workers 2, names 400, rounds 15"
    assert "batch" in header[0] and "size" in header[1] and "accuracy" in header[1] and "seed" not in done.stdout
    (first,) = [line for line in done.stdout.splitlines() if "first" in line]
    (second,) = [line for line in done.stdout.splitlines() if "second" in line]
    for fact in ("32", "41.0%", "46.0%", "version 1"):
        assert fact in first
    for fact in ("64", "52.0%", "no"):
        assert fact in second
    assert "bench" not in done.stdout
    assert f"{tmp_path}/broken/summary.json is left out" in done.stderr
    assert as_json == [{"run": "first", **RUN}, {"run": "second", **better}]


def test_a_run_whose_name_looks_like_markup_is_told_by_its_name(tmp_path):
    write_runs(tmp_path, **{"[red]a": RUN, ":a:": RUN})

    printed = run_pisyft("runs", tmp_path).stdout

    assert "[red]a" in printed and ":a:" in printed


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_figure_of_a_run_is_cut_however_narrow_the_terminal(tmp_path, width):
    first = {**RUN, "workers": ["alice", "bob", "carol"], "model": "committee", "strategy": "fedyogi", "seed": 12345}
    write_runs(tmp_path, first=first, a_run_with_a_long_name={**RUN, "model": "ngrams", "strategy": "fedadam"})

    told = run_pisyft("runs", tmp_path, COLUMNS=str(width)).stdout

    assert max(map(len, told.splitlines())) <= width
    assert "…" not in told
    for fact in ("a_run_with_a_long_name", "committee", "fedyogi", "12345", "41.0%", "40.0%", "46.0%", "version 1"):
        assert fact in told


def test_a_folder_without_runs_is_told(tmp_path):
    done = run_pisyft("runs", tmp_path)

    assert done.returncode == 2
    assert done.stderr == f"Error: there are no runs in {tmp_path}: pisyft train --lab makes one\n"
