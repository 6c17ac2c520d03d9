"""How workers' models become one: every strategy, and a federation in one process."""

from dataclasses import replace

import pytest
import torch

from pisyft.learning.alphabet import TUTORIAL
from pisyft.learning.encoding import Encoded, encode
from pisyft.learning.evaluation import count_guesses
from pisyft.learning.models import make_model
from pisyft.learning.names import deal, equal_shares, read_folder
from pisyft.learning.simulation import simulate
from pisyft.learning.strategies import STRATEGIES, Trainee, make_strategy
from pisyft.learning.training import Diverged, TrainingSettings, fit
from pisyft.learning.vectors import to_vector

NAMES = {"Greek": ["Kokkinos", "Papadopoulos", "Kos"], "Korean": ["Kim", "Lee"], "Irish": ["O'Neal", "Malone", "Daly"]}
# All names in one batch of plain SGD.
WHOLE = TrainingSettings(batch_size=8, learning_rate=0.1, steps=1, seed=None)


def new_model(languages: int = 3) -> torch.nn.Module:
    return make_model("tutorial", TUTORIAL.size, languages, seed=1)


@pytest.fixture
def workers() -> list[Encoded]:
    """Three workers, of which none has all languages: together they have NAMES."""
    names = encode(NAMES)
    return [names.choose(torch.tensor(chosen)) for chosen in ([0, 1, 2], [3, 4, 5], [6, 7])]


def strategy(name: str, settings: TrainingSettings, rounds: int = 1, **options):
    return make_strategy(name, to_vector(new_model()), settings, rounds, **options)


@pytest.mark.parametrize("name", ["fedavg", "scaffold"])
def test_one_step_on_all_names_is_the_step_that_training_in_one_place_takes(name, workers):
    """Whatever the workers hold, and as often as one likes: the mean gradient is the gradient."""
    central = new_model()
    fit(central, encode(NAMES), replace(WHOLE, steps=3))

    federated = simulate(new_model(), workers, strategy(name, WHOLE, rounds=3), decimals=12)

    assert torch.allclose(to_vector(federated), to_vector(central), atol=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_fedadam_with_one_step_is_adam_in_one_place(workers, schedule):
    central, rounds = new_model(), 5
    optimizer = torch.optim.Adam(central.parameters(), lr=0.01, betas=(0.9, 0.99), eps=1e-5)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    if schedule == "cosine":
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, rounds)
    names = encode(NAMES)
    for _ in range(rounds):
        optimizer.zero_grad()
        torch.nn.functional.nll_loss(central.log_probabilities(names.letters), names.languages).backward()
        optimizer.step()
        rate.step()

    fedadam = strategy("fedadam", WHOLE, rounds, server_learning_rate=0.01, schedule=schedule)
    federated = simulate(new_model(), workers, fedadam, decimals=12)

    assert torch.allclose(to_vector(federated), to_vector(central), atol=1e-4)


def test_fedyogis_variance_is_the_papers():
    fedyogi = strategy("fedyogi", WHOLE)
    variance, square = torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.1, 0.5, 2.0])
    fedyogi.variance = variance

    assert fedyogi._new_variance(square, 0.9).tolist() == pytest.approx([0.49, 0.5, 0.7])


def test_the_control_variate_of_all_is_the_mean_of_the_workers_own(workers):
    model, scaffold = new_model(), strategy("scaffold", replace(WHOLE, batch_size=2, steps=3, seed=0), rounds=4)
    trainees = [Trainee(names) for names in workers]
    for _ in range(4):
        contributions = [trainee.train(model, scaffold.message(), scaffold.training())[0] for trainee in trainees]
        parts = zip(contributions, workers, strict=True)
        scaffold.update(sum(contribution * (len(names) / 8) for contribution, names in parts))

    mean = sum(trainee.control * (len(names) / 8) for trainee, names in zip(trainees, workers, strict=True))
    assert mean.norm() > 0
    assert torch.allclose(scaffold.control.float(), mean, atol=1e-6)


@pytest.mark.parametrize("what_happened", ["the round was given up and is tried again", "it went on without a worker"])
def test_the_control_variate_stays_that_of_the_workers_also_where_a_training_came_to_nothing(workers, what_happened):
    model, scaffold = new_model(), strategy("scaffold", replace(WHOLE, batch_size=2, steps=3, seed=0), rounds=3)
    trainee = Trainee(workers[0])
    for number in range(3):
        contribution, _ = trainee.train(model, scaffold.message(), scaffold.training())
        if number == 1 and what_happened.startswith("the round"):
            contribution, _ = trainee.train(model, scaffold.message(), scaffold.training())
        elif number == 1:
            trainee.take_back()
            contribution = torch.zeros_like(contribution)
        scaffold.update(contribution)

    assert scaffold.control.norm() > 0
    assert torch.allclose(scaffold.control.float(), trainee.control, atol=1e-6)


def test_a_new_run_begins_without_the_control_variates_of_the_last(workers):
    settings = replace(WHOLE, batch_size=2, steps=3, seed=0)
    used, new = Trainee(workers[0]), Trainee(workers[0])
    scaffold = strategy("scaffold", settings)
    used.train(new_model(), scaffold.message() + 1, replace(scaffold.training(), round=5))

    again, first = (trainee.train(new_model(), scaffold.message(), scaffold.training())[0] for trainee in (used, new))

    assert torch.equal(again, first)


def test_scaffold_keeps_unequal_workers_closer_to_training_in_one_place_than_fedavg(workers):
    """Many steps of each worker alone between averages pull FedAvg away; the control variates hold against it."""
    settings = replace(WHOLE, steps=20, learning_rate=0.02)
    central = new_model()
    fit(central, encode(NAMES), replace(settings, steps=300))

    def distance(name: str) -> float:
        federated = simulate(new_model(), workers, strategy(name, settings, rounds=15))
        return (to_vector(federated) - to_vector(central)).norm().item()

    assert distance("scaffold") < 0.5 * distance("fedavg")


def test_the_mean_is_weighted_by_names(workers):
    two = [workers[0], workers[2]]
    moved = []
    for names in two:
        model = new_model()
        fit(model, names, WHOLE)
        moved.append(to_vector(model))

    federated = simulate(new_model(), two, strategy("fedavg", WHOLE), decimals=12)

    assert torch.allclose(to_vector(federated), 0.6 * moved[0] + 0.4 * moved[1], atol=1e-6)


def test_a_worker_without_names_has_no_part(workers):
    without = simulate(new_model(), workers, strategy("fedavg", WHOLE))

    empty = workers[0].choose(torch.tensor([], dtype=torch.int64))
    with_empty = simulate(new_model(), [empty, *workers], strategy("fedavg", WHOLE))

    assert torch.equal(to_vector(with_empty), to_vector(without))


def test_fedprox_and_fedlc_say_how_workers_train():
    assert strategy("fedprox", WHOLE).training().proximal > 0
    assert strategy("fedprox", replace(WHOLE, proximal=3.0)).training().proximal == 3.0
    assert strategy("fedlc", WHOLE).training().logit_adjustment == 1.0
    assert strategy("fedavg", WHOLE).training() == WHOLE


def test_a_cosine_schedule_falls_from_the_learning_rate_towards_zero():
    fedavg = strategy("fedavg", WHOLE, rounds=4, schedule="cosine")

    rates = []
    for _ in range(4):
        rates.append(fedavg.training().learning_rate)
        fedavg.update(torch.zeros(len(fedavg.message())))

    assert rates == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447], rel=1e-5)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_learns(name, names_folder):
    names = read_folder(names_folder)
    hands = [encode(hand) for hand in deal(names, equal_shares(names, 2))]
    model = make_model("tutorial", TUTORIAL.size, 4, seed=1)
    together = [count_guesses(model, hand, 4) for hand in hands]
    before = (together[0] + together[1]).accuracy
    settings = TrainingSettings(batch_size=16, learning_rate=0.1)

    simulate(model, hands, make_strategy(name, to_vector(model), settings, 20))

    after = count_guesses(model, hands[0], 4) + count_guesses(model, hands[1], 4)
    assert after.accuracy > before + 0.15


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_run_that_is_resumed_ends_as_one_that_went_on(name, workers):
    settings = replace(WHOLE, batch_size=2, steps=2, seed=0)
    trainees = [Trainee(names) for names in workers]

    def rounds(strategy, count: int) -> None:
        for _ in range(count):
            model = new_model()
            parts = [trainee.train(model, strategy.message(), strategy.training())[0] for trainee in trainees]
            strategy.update(sum(parts) / 3)

    went_on, resumed = (strategy(name, settings, rounds=4, schedule="cosine") for _ in range(2))
    rounds(went_on, 2)
    controls = [trainee.control for trainee in trainees]
    resumed.restore(went_on.state())
    rounds(went_on, 2)
    for trainee, control in zip(trainees, controls, strict=True):
        trainee.control = control
    rounds(resumed, 2)

    assert resumed.round == went_on.round == 4
    assert torch.equal(resumed.weights, went_on.weights)


def test_a_run_that_diverges_is_stopped_with_the_round_and_the_worker(workers):
    wild = strategy("fedavg", replace(WHOLE, learning_rate=1e25), rounds=9)

    with pytest.raises(
        Diverged, match=r"loss is (nan|inf) at round \d, worker 1, step 1; take a smaller learning rate"
    ):
        simulate(new_model(), workers, wild)

    assert wild.weights.isfinite().all(), "the last model that was good is still there"


@pytest.mark.parametrize(
    ("name", "settings", "options", "message"),
    [
        ("fedmagic", WHOLE, {}, "no strategy 'fedmagic': choose one of fedavg, fedprox, fedadam"),
        ("fedavg", WHOLE, {"schedule": "linear"}, "no schedule 'linear': choose one of constant, cosine"),
        ("scaffold", replace(WHOLE, optimizer="adam"), {}, "take the optimizer sgd"),
        ("scaffold", replace(WHOLE, schedule="cosine"), {}, "give the schedule to the strategy"),
    ],
)
def test_what_cannot_be_is_refused(name, settings, options, message):
    with pytest.raises(ValueError, match=message):
        strategy(name, settings, **options)
