"""Training in one process, as `fit` runs on a worker."""

import math
from dataclasses import asdict, replace

import pytest
import torch
from torch.nn import functional

from pisyft.learning.alphabet import TUTORIAL
from pisyft.learning.encoding import encode
from pisyft.learning.evaluation import count_guesses
from pisyft.learning.models import MODELS, make_model
from pisyft.learning.names import read_folder, split, total
from pisyft.learning.training import Diverged, TrainingSettings, batches, fit
from pisyft.learning.vectors import to_vector

NAMES = {"Greek": ["Kokkinos", "Papadopoulos", "Kos"], "Korean": ["Kim", "Lee"]}


def new_model(name: str = "tutorial") -> torch.nn.Module:
    return make_model(name, TUTORIAL.size, 2, seed=1)


def trained(settings: TrainingSettings, model: str = "tutorial", **arguments) -> torch.Tensor:
    """The parameters of a new model after training on NAMES."""
    fresh = new_model(model)
    fit(fresh, encode(NAMES), settings, **arguments)
    return to_vector(fresh)


def gradient_at_start() -> torch.Tensor:
    model, names = new_model(), encode(NAMES)
    functional.nll_loss(model.log_probabilities(names.letters), names.languages).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def spell(names) -> list[tuple]:
    return [
        (tuple(column[column > 0].tolist()), language.item())
        for column, language in zip(names.letters.t(), names.languages, strict=True)
    ]


@pytest.mark.parametrize(("size", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (32, [5])])
def test_a_pass_is_every_name_once_and_the_last_batch_may_be_smaller(size, sizes):
    names = encode(NAMES)

    in_order, shuffled = (list(batches(names, TrainingSettings(batch_size=size, seed=seed))) for seed in (None, 1))

    assert [len(batch) for batch in in_order] == [len(batch) for batch in shuffled] == sizes
    assert [name for batch in in_order for name in spell(batch)] == spell(names)
    assert sorted(name for batch in shuffled for name in spell(batch)) == sorted(spell(names))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
@pytest.mark.parametrize(
    "asked", [{"steps": 0}, {"steps": 1}, {"steps": 4}, {"passes": 0.4}, {"passes": 1}, {"passes": 2.5}]
)
def test_how_many_names_there_will_be_is_known_before(size, asked):
    names = encode(NAMES)
    for number in range(7):
        settings = TrainingSettings(batch_size=size, round=number, **asked)
        assert settings.names(len(names)) == sum(map(len, batches(names, settings)))


def test_every_pass_is_shuffled_anew_and_the_same_seed_shuffles_alike():
    names = encode({"Letters": list("abcdefghijklmnopqrstuvwxyz")})
    settings = TrainingSettings(batch_size=26, passes=2, seed=3)

    (first, second), (again, _) = (list(map(spell, batches(names, settings))) for _ in range(2))

    assert first == again != second
    assert first != spell(next(batches(names, replace(settings, seed=4))))


def test_a_round_goes_on_in_the_stream_of_batches_where_the_last_one_ended():
    names = encode(NAMES)
    settings = TrainingSettings(batch_size=2, seed=3)
    whole = list(map(spell, batches(names, replace(settings, steps=8))))

    first, second = (batches(names, replace(settings, steps=4, round=number)) for number in (0, 1))

    assert [*map(spell, first), *map(spell, second)] == whole


def test_a_step_moves_every_parameter_against_its_gradient():
    start, gradient = to_vector(new_model()), gradient_at_start()

    after = trained(TrainingSettings(batch_size=5, learning_rate=0.1))

    assert torch.allclose(after, start - 0.1 * gradient, atol=1e-6)


def test_a_cosine_takes_the_learning_rate_to_zero_over_the_steps_of_a_training():
    settings = TrainingSettings(batch_size=5, learning_rate=0.1, steps=4, seed=None)
    cosine, constant = trained(replace(settings, schedule="cosine")), trained(settings)

    model, names = new_model(), encode(NAMES)
    for step in range(4):
        loss = functional.nll_loss(model.log_probabilities(names.letters), names.languages)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= 0.1 * 0.5 * (1 + math.cos(math.pi * step / 4)) * gradient

    assert torch.allclose(cosine, to_vector(model), atol=1e-6)
    assert not torch.allclose(cosine, constant, atol=1e-4)


@pytest.mark.parametrize(("change", "steps"), [({}, 3), ({"passes": 2}, 6), ({"passes": 0.7}, 2), ({"steps": 4}, 4)])
def test_it_trains_for_so_many_passes_or_steps_and_tells_what_it_did(change, steps):
    told = []
    result = fit(new_model(), encode(NAMES), TrainingSettings(batch_size=2, **change), lambda *each: told.append(each))

    assert result.steps == steps == len(told)
    assert told[-1] == (result.names, pytest.approx(result.loss))
    assert result.names == sum([2, 2, 1, 2, 2, 1][:steps])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_same_seed_repeats_exactly_whatever_the_generator_did_before(model, optimizer):
    settings = TrainingSettings(batch_size=2, optimizer=optimizer, learning_rate=0.01, passes=3, seed=5)

    first = trained(settings, model)
    torch.rand(3)
    again, other = trained(settings, model), trained(replace(settings, seed=6), model)

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_it_leaves_the_generator_alone():
    state = torch.random.get_rng_state()

    trained(TrainingSettings(), "gru")

    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("model", MODELS)
def test_training_makes_guesses_better_than_before(model, names_folder):
    names = split(read_folder(names_folder)).train
    fresh = make_model(model, TUTORIAL.size, len(names), seed=1)
    before = count_guesses(fresh, encode(names), len(names))

    fit(fresh, encode(names), TrainingSettings(batch_size=16, optimizer="adam", learning_rate=0.003, passes=10))

    after = count_guesses(fresh, encode(names), len(names))
    assert after.names == total(names)
    assert after.accuracy > before.accuracy + 0.15
    assert after.loss < before.loss


def test_a_proximal_term_holds_the_model_near_its_start():
    start = to_vector(new_model())
    settings = TrainingSettings(batch_size=5, learning_rate=0.1, passes=30)

    free, held = (trained(replace(settings, proximal=mu)) for mu in (0.0, 1.0))

    assert (held - start).norm() < 0.5 * (free - start).norm()


def test_a_correction_is_added_to_the_gradient():
    start, gradient = to_vector(new_model()), gradient_at_start()

    after = trained(TrainingSettings(batch_size=5, learning_rate=0.1), correction=torch.ones_like(start))

    assert torch.allclose(after, start - 0.1 * (gradient + 1), atol=1e-6)


def test_a_parameter_that_has_no_part_in_the_answer_stays_as_it_is():
    model = new_model()
    model.idle = torch.nn.Parameter(torch.ones(3))

    fit(model, encode(NAMES), TrainingSettings(batch_size=2, proximal=0.1))

    assert model.idle.tolist() == [1, 1, 1]


def test_gradients_are_clipped_to_a_length():
    start = to_vector(new_model())

    after = trained(TrainingSettings(batch_size=5, learning_rate=1.0, clip=0.01))

    assert (after - start).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_an_adjustment_trains_for_languages_that_come_as_the_prior_says():
    """Where names tell nothing, guesses become the prior, not what is frequent here."""
    names = encode({"Greek": ["Li"] * 30, "Korean": ["Li"] * 10})
    settings = TrainingSettings(batch_size=40, learning_rate=0.3, passes=200, logit_adjustment=1.0)

    def guess(**change) -> list[float]:
        model = new_model()
        fit(model, names, replace(settings, **change))
        return model.log_probabilities(names.letters[:, :1]).exp()[0].tolist()

    assert guess(logit_adjustment=0.0) == pytest.approx([0.75, 0.25], abs=0.02)
    assert guess() == pytest.approx([0.5, 0.5], abs=0.02)
    assert guess(prior=(0.1, 0.9)) == pytest.approx([0.1, 0.9], abs=0.02)


def test_a_run_that_diverges_is_stopped_and_the_step_is_named():
    with pytest.raises(Diverged, match=r"diverged: the loss is (nan|inf) at step \d+; take a smaller") as caught:
        trained(TrainingSettings(batch_size=5, learning_rate=1e30, passes=20))

    assert 1 < caught.value.step <= 20
    assert math.isfinite(trained(TrainingSettings(batch_size=5, learning_rate=0.1, passes=20)).sum())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "lbfgs"}, "no optimizer 'lbfgs': choose one of sgd, adam, adamw"),
        ({"batch_size": 0}, "batch of 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**change)


def test_settings_travel_as_a_dict():
    settings = TrainingSettings(prior=(0.5, 0.5), clip=1.0)

    assert TrainingSettings(**asdict(settings)) == settings
