"""`pisyft evaluate`: every worker tests a model on its own names."""

import json

import numpy as np
import pytest

from pisyft.checkpoints import Checkpoint, Checkpoints
from pisyft.federation import Federation
from pisyft.learning.alphabet import TUTORIAL
from pisyft.learning.evaluation import Counts, add_up
from pisyft.learning.models import make_model
from pisyft.learning.vectors import to_vector
from pisyft.release import Card, ModelStore
from tests.cli.test_cli import assert_problem, free_port
from tests.conftest import LANGUAGES
from tests.helpers import run_pisyft


def weights(seed: int = 1) -> np.ndarray:
    return to_vector(make_model("tutorial", TUTORIAL.size, len(LANGUAGES), seed)).detach().numpy()


@pytest.fixture
def released(tmp_path):
    """A folder with a released model for the languages of the lab."""
    store = ModelStore(tmp_path / "models")

    def release(version: int = 1, **facts: object):
        told = {"languages": LANGUAGES, "alphabet_digest": TUTORIAL.digest(), **facts}
        card = Card(version=version, model="tutorial", accuracy=0.5, participants=("alice", "bob"), rounds=3, **told)
        store.commit(store.stage(card, weights(version)))
        return store.folder

    return release


@pytest.fixture
def whom(lab) -> list[str]:
    return [word for pi, (host, port) in lab.addresses.items() for word in ("--worker", f"{pi}={host}:{port}")]


def test_every_worker_and_all_together_tell_figures(whom, released, workers):
    folder = released()

    told = json.loads(run_pisyft("evaluate", *whom, "--models", folder, "--json").stdout)
    table = run_pisyft("evaluate", *whom, "--models", folder).stdout

    federation = Federation(workers)
    expected: dict[str, Counts] = federation.evaluate(federation.new_model(seed=1))
    assert {pi: each["accuracy"] for pi, each in told["workers"].items()} == {
        pi: counts.accuracy for pi, counts in expected.items()
    }
    together = add_up(expected.values())
    assert told["together"]["names"] == together.names == 80
    assert told["together"]["balanced_accuracy"] == pytest.approx(together.balanced_accuracy)
    assert (told["part"], told["reasons"]) == ("test", {})
    assert "Version 1 of" in table and "on test names" in table
    for row in ("alice", "bob", "together"):
        assert f"{row} " in table
    assert f"{together.accuracy:.1%}" in table


def test_another_version_and_the_model_of_a_run_can_be_tested(whom, released, tmp_path):
    released(1)
    folder = released(2)
    Checkpoints(tmp_path).keep(Checkpoint(4, {"model": "tutorial"}, {"weights": weights(1).astype(float)}, []), True)

    first = json.loads(run_pisyft("evaluate", *whom, "--models", folder, "--version", 1, "--json").stdout)
    second = json.loads(run_pisyft("evaluate", *whom, "--models", folder, "--json").stdout)
    of_run = json.loads(run_pisyft("evaluate", *whom, "--checkpoint", tmp_path / "best.npz", "--json").stdout)

    assert of_run["model"] == f"{tmp_path / 'best.npz'}, after round 4 (tutorial)"
    assert of_run["workers"] == first["workers"] != second["workers"]


def test_the_others_tell_figures_when_one_is_away_and_it_is_told_why(whom, released):
    done = run_pisyft("evaluate", *whom[:2], "--worker", f"carol=127.0.0.1:{free_port()}", "--models", released())

    assert done.returncode == 0, done.stderr
    assert "alice" in done.stdout
    assert "carol tells nothing: worker carol at 127.0.0.1:" in done.stdout
    assert "nothing listens there" in done.stdout


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"languages": ("Greek", "Irish")}, "the model is for other languages than its names"),
        ({"alphabet_digest": "0" * 64}, "the model spells names in other letters than tutorial"),
    ],
)
def test_a_model_that_is_not_for_these_names_is_told_by_every_worker(whom, released, facts, says):
    done = run_pisyft("evaluate", *whom, "--models", released(**facts))

    assert done.returncode == 2
    assert done.stderr.splitlines() == ["Error: no worker could test the model:", f"alice: {says}", f"bob: {says}"]


def test_whom_and_what_must_be_said(tmp_path, whom):
    assert_problem(run_pisyft("evaluate"), "say whom to ask: --classroom FOLDER, or --worker ID=HOST:PORT")
    assert_problem(run_pisyft("evaluate", *whom, "--checkpoint", tmp_path / "x.npz"), "there is no", "x.npz")
    assert_problem(run_pisyft("evaluate", *whom, "--checkpoint", tmp_path / "x.npz", "--version", 2), "take one")
    assert_problem(run_pisyft("evaluate", *whom, "--models", tmp_path), "no released model in")
