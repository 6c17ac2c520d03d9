"""Attacks on one name with verbs, which are the whole surface under the policy strict."""

import numpy as np
import pytest
import torch
from syft.exceptions import GetNotPermittedError

from pisyft.learning.encoding import encode
from pisyft.learning.evaluation import count_guesses
from pisyft.learning.models import make_model
from pisyft.learning.names import read_folder
from pisyft.learning.vectors import load_vector, to_vector
from pisyft.privacy import STRICT
from pisyft.release import ReleaseError
from pisyft.transport.failures import carry

carry(ReleaseError)


@pytest.fixture
def weights() -> np.ndarray:
    return to_vector(make_model("tutorial", 57, 4, seed=0)).detach().numpy()


def fit(attacker, weights, round="00" * 16, **settings):
    return attacker.call("fit", round=round, model="tutorial", weights=weights, settings=settings)


def refused(says: str = "."):
    return pytest.raises(GetNotPermittedError, match=says)


@pytest.mark.parametrize(
    "verb",
    [
        "deliver",
        "get",
        "list_objects",
        "_call_verb",
        "__class__",
        "verbs",
        "stop",
        "own_tensors",
        "",
        "fit\n",
        "ping ",
        "../fit",
    ],
)
def test_a_verb_that_is_none(anybody, verb):
    """Wants a method of the worker, or what is another Pi's to call. A table says which verbs there are."""
    with refused("has no verb"):
        anybody.call(verb)


@pytest.mark.parametrize("verb", ["describe", "fit", "evaluate", "aggregate", "release"])
def test_a_verb_about_names_where_there_are_none(open_lab, connections, verb):
    """Wants a worker of the policy open to answer for names: it holds none, and has no verbs about them."""
    with refused(f"has no verb '{verb}' for a coordinator, only ping"):
        connections(open_lab, "erin").call(verb)


@pytest.mark.parametrize(
    "part", ["../names", "names/../../test", "test\0", "train ", "", "__dict__", 0, None, ["test"]]
)
def test_a_part_of_the_names_that_is_a_path(whoever, weights, part):
    """Wants another file to be read. There are three parts, by name."""
    with pytest.raises((ValueError, TypeError)):
        whoever.call("evaluate", weights=weights, part=part)


@pytest.mark.parametrize("model", ["../../evil", "torch.nn.Linear", "__import__('os')", "", None, 7, "Tutorial"])
def test_a_model_that_is_code_or_a_path(whoever, weights, model):
    """Wants an architecture of its own. Models have names, and arrive as numbers."""
    with pytest.raises((ValueError, TypeError)):
        whoever.call("evaluate", weights=weights, model=model)


@pytest.mark.parametrize("values", [None, "x", {"a": 1}, True, 3.5, [[1.0]], b"x" * 100])
def test_weights_that_are_none(whoever, values):
    """Wants an error that nobody chose the words of, from where numbers go on as something else."""
    for call in (
        lambda: whoever.call("evaluate", weights=values),
        lambda: fit(whoever, values),
        lambda: whoever.call("release", step="stage", card={}, weights=values),
    ):
        with pytest.raises((ValueError, ReleaseError)):
            call()


@pytest.mark.parametrize("values", ["x", 7, True, [["steps", 1]], b"x"])
def test_settings_that_are_none(whoever, weights, values):
    """The same, with settings."""
    for verb, arguments in (
        ("fit", {"round": "00" * 16, "model": "tutorial", "settings": values}),
        ("evaluate", {"alone": values}),
    ):
        with pytest.raises(ValueError, match="training settings are values by name"):
            whoever.call(verb, weights=weights, **arguments)


@pytest.mark.parametrize("size", [0, 1, 10, 10**6])
def test_weights_of_another_size(whoever, size):
    """Wants to see where a model that does not fit goes wrong."""
    with pytest.raises(ValueError, match="does not fit"):
        whoever.call("evaluate", weights=np.zeros(size, np.float32))


def test_an_evaluation_of_fewer_names_than_the_floor(whoever, weights):
    """Wants figures of few names: a language has a row from ten names on, a bin of probabilities has ten guesses."""
    answer = whoever.call("evaluate", weights=weights, part="validation")
    rows = [sum(row) for row in answer["confusion"] if sum(row)]
    assert all(row >= 10 for row in (*rows, *([sum(answer["pooled"])] if answer["pooled"] else [])))
    assert all(guesses == 0 or guesses >= 10 for guesses, _, _ in answer["bins"])


def test_a_loss_in_whose_digits_each_name_says_what_it_is(lab, whoever):
    """Wants to read, off the digits of a sum, how many names have each letter: each adds a figure of its own.

    Losses and probabilities are told as means of four digits. Exact ones tell the two models apart.
    """
    model = make_model("ngrams", 57, 4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        plain = to_vector(model).detach().numpy()
        model.table.weight[:, 0] = torch.arange(len(model.table.weight)) * 1e-11
        marked = to_vector(model).detach().numpy()
    answers = [whoever.call("evaluate", weights=each, model="ngrams", part="train") for each in (plain, marked)]

    names = encode(read_folder(lab.names_of("alice") / "train"))  # both labs are dealt the same
    exact = [
        count_guesses(load_vector(make_model("ngrams", 57, 4), torch.tensor(each)), names, 4)
        for each in (plain, marked)
    ]
    assert exact[0].loss_sum != exact[1].loss_sum
    assert answers[0]["loss_sum"] == answers[1]["loss_sum"] == pytest.approx(exact[0].loss_sum, rel=1e-3)
    assert [each[2] for each in answers[0]["bins"]] == [each[2] for each in answers[1]["bins"]]


def test_an_evaluation_of_names_of_ones_own_choice(whoever, weights):
    """Wants to evaluate on names that it names. A verb takes the arguments that it has, and no others."""
    for argument in ("names", "indices", "languages", "floor", "batch_size", "self", "calling"):
        with pytest.raises(TypeError):
            whoever.call("evaluate", weights=weights, **{argument: [0]})


def test_training_alone_and_evaluating_on_the_same_names(whoever, weights):
    """Wants counts on names that the model has just learned by heart."""
    with refused("tells nothing of names that it has trained on alone"):
        whoever.call("evaluate", weights=weights, part="train", alone={})


@pytest.mark.parametrize("settings", [{"steps": 1, "batch_size": 1}, {"passes": 0.01, "batch_size": 2}, {"steps": 0}])
def test_a_training_on_one_name_or_none(whoever, weights, settings):
    """Wants a change that one name has made, or what it makes of a test: all is about ten names at least."""
    with refused("10 names"):
        fit(whoever, weights, **settings)
    with refused("10 names"):
        whoever.call("evaluate", weights=weights, alone=settings)


def test_a_training_on_the_names_in_a_known_order(whoever, weights):
    """Wants to say which names a step is about: without a seed they would come in the order they have on the Pi.

    The same training twice, once in an order that it chooses, would tell which names come first.
    """
    told = [fit(whoever, weights, steps=1, batch_size=10, seed=seed)["loss"] for seed in (None, 0)]
    assert told[0] == told[1], "no seed is a seed like any other, mixed with the Pi's own"


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 0},
        {"batch_size": -1},
        {"batch_size": "all"},
        {"batch_size": 2**62},
        {"passes": float("inf")},
        {"passes": float("nan")},
        {"steps": -1},
        {"steps": 2**62},
        {"learning_rate": float("nan")},
        {"learning_rate": "fast"},
        {"learning_rate": -1.0},
        {"optimizer": "__import__"},
        {"optimizer": ["sgd"]},
        {"seed": "x"},
        {"clip": "x"},
        {"prior": "x"},
        {"unknown": 1},
    ],
)
def test_settings_that_make_no_sense(whoever, weights, settings):
    """Wants a training that never ends, or an error that says something."""
    with pytest.raises((ValueError, GetNotPermittedError, ArithmeticError)) as caught:
        fit(whoever, weights, **({"steps": 2} | settings))
    assert "/" not in str(caught.value).replace("alice/", "")


def test_losses_over_fewer_names_than_the_floor(whoever, weights):
    """Wants the loss of a single name while the Pi trains: told in blocks of ten names or more."""
    answer = fit(whoever, weights, batch_size=1, steps=30)
    told = [each["names"] for each in whoever.told]
    assert all(later - earlier >= 10 for earlier, later in zip([0, *told], told, strict=False))
    assert answer["names"] == 30


def test_a_model_that_was_trained_on_one_pi(whoever, weights):
    """Wants the update itself. It stays where it was made, and goes out in a sum."""
    answer = fit(whoever, weights, steps=1)
    assert set(answer) == {"names", "steps", "loss"}


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"version": -1},
        {"version": "../../../etc/passwd"},
        {"version": 1, "model": "tutorial", "languages": ["x"], "accuracy": 1.0, "participants": [], "rounds": 1},
        {"__class__": "x"},
        "card",
        7,
    ],
)
def test_a_release_that_is_none(whoever, weights, card):
    """Wants a file written where it says, or a model put to use that nobody has signed."""
    with pytest.raises((ReleaseError, ValueError, TypeError)):
        whoever.call("release", step="stage", card=card, weights=weights)


@pytest.mark.parametrize("digest", ["../../names/Czech.txt", "\0", "", "v0001.npz", "a" * 10**5])
def test_a_release_committed_or_aborted_by_a_path(whoever, digest):
    """Wants a file of its choice put to use, or removed. A digest is compared, and names no file."""
    with pytest.raises(ReleaseError):
        whoever.call("release", step="commit", digest=digest)
    whoever.call("release", step="abort", digest=digest)


def test_what_describe_tells(whoever):
    """Wants names in what a Pi tells of itself: it tells counts, and which languages there are."""
    told = whoever.call("describe")
    assert told["worker"] == whoever.worker
    texts = {key for key, value in told.items() if isinstance(value, str)}
    assert texts == {"worker", "alphabet", "alphabet_digest", "doing"}
    assert set(told["languages"]) == {"Czech", "Italian", "Japanese", "Polish"}


def test_pointers_under_the_policy_strict(strict_lab, connections):
    """Wants any message of PySyft's at all to be read. Under strict, none is even unpacked."""
    attacker = connections(strict_lab, "carla")
    for message in (b"(\xc0", b"*bomb", b"\xff" * 100):
        with refused(f"under the policy {STRICT.name}, without pointers"):
            attacker.ask_bytes(message)
