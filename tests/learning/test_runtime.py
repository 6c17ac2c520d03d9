"""The networks in NumPy: the same numbers as PyTorch's, for every model that there is."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pisyft.learning.alphabet import TUTORIAL, UNICODE
from pisyft.learning.encoding import encode
from pisyft.learning.models import MODELS, make_model
from pisyft.learning.runtime import NETWORKS, load_network
from pisyft.learning.vectors import to_vector

LANGUAGES = 18
ALPHABETS = (TUTORIAL, UNICODE)


def trained(name, alphabet, scale):
    """A model with parameters as large as training makes them, or larger; for evaluation."""
    model = make_model(name, alphabet.size, LANGUAGES, seed=1).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= scale
    # Rows for padding, which training leaves at zero.
    for module in model.modules():
        if (padding := getattr(module, "padding_idx", None)) is not None:
            module.weight.data[padding] = 0
    return model


@pytest.fixture(scope="module")
def pairs():
    """Each model as PyTorch and as NumPy have it, with its alphabet."""
    made = []
    for name in MODELS:
        for alphabet in ALPHABETS:
            for scale in (1.0, 3.0):
                model = trained(name, alphabet, scale)
                network = load_network(name, to_vector(model).numpy(), alphabet.size, LANGUAGES)
                made.append((f"{name}, {alphabet.name}, {scale:g} times", scale, alphabet, model, network))
    return made


def test_every_model_that_can_be_released_can_be_asked_without_pytorch():
    assert set(NETWORKS) == set(MODELS)


@settings(max_examples=40)
@given(name=st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ '"), min_size=1, max_size=30))
def test_a_name_has_the_same_log_probabilities_as_in_pytorch(pairs, name):
    for what, scale, alphabet, model, network in pairs:
        if not alphabet.has_letters(name):
            continue
        with torch.no_grad():
            expected = model.log_probabilities(encode({"": [name]}, alphabet).letters)[0].numpy()

        got = network.log_probabilities(alphabet.encode(name))

        # Large parameters make large numbers, whose float32 has fewer decimal places.
        allowed = 1e-5 if scale == 1 else 1e-5 * max(1.0, np.abs(expected).max())
        assert np.abs(got - expected).max() < allowed, what


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("change", [-1, 1])
def test_parameters_that_do_not_fit_are_told(name, change):
    length = len(to_vector(make_model(name, TUTORIAL.size, LANGUAGES))) + change

    with pytest.raises(ValueError, match=f"{length} parameters are"):
        load_network(name, np.zeros(length, "f4"), TUTORIAL.size, LANGUAGES)


def test_a_model_that_is_not_known_is_told():
    with pytest.raises(ValueError, match="there is no model 'oracle': choose one of tutorial"):
        load_network("oracle", np.zeros(1, "f4"), 57, 18)
