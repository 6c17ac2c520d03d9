"""What federated training reaches, on names that nobody trained on: `make bench-learning`.

    python benchmarks/bench_learning.py [--corpus FOLDER] [--seeds 0 1 2 | --quick] [--only EXPERIMENT ...] [--resume]

The protocol: read the folder, leave repeats within a language out, split each language 70/10/20 by the seed into train,
validation and test, then deal each part out to workers. Models, strategies and their figures below were chosen on the
validation part; the test part is looked at once, by the model after the last round. Each seed splits, deals and
initialises anew. Two experiments stand beside the protocol: `best_iid_final` trains on train and validation together,
with all that was chosen before, as one would before a release; `best_iid_apart` has a name that several languages have
in the same part in each of them, so that no name is tested on that was trained on as another language's.

Writes to artifacts/bench-learning/: summary.json (means over seeds; `_std` is the standard deviation over them;
docs/learning.md says what the keys mean), runs.json (every run, its curve on the validation part), pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import torch

from pisyft import plots
from pisyft.learning.alphabet import TUTORIAL, UNICODE, Alphabet
from pisyft.learning.encoding import encode
from pisyft.learning.evaluation import count_guesses
from pisyft.learning.models import leaning, make_model
from pisyft.learning.names import (
    NamesByLanguage,
    Parts,
    deal,
    dirichlet_shares,
    equal_shares,
    read_folder,
    shares_by_language,
    split,
    total,
)
from pisyft.learning.simulation import simulate
from pisyft.learning.strategies import make_strategy
from pisyft.learning.training import Diverged, TrainingSettings
from pisyft.learning.vectors import load_vector, to_vector

ROOT = Path(__file__).resolve().parents[1]
POINTS_OF_A_CURVE = 10


@dataclass(frozen=True)
class Experiment:
    """One way to train, up to the seed.

    Attributes:
        model: as in `MODELS`.
        deal: which shares of each language the workers get; by default all names are in one place.
        settings: of the workers.
        strategy, rounds, options: as for `make_strategy`.
        may_diverge: whether to count what there was before a run diverged, instead of failing.
        final: whether to train on the validation part, too, when nothing is left to choose; there is no curve then.
        split: names and a seed to their parts.
        leaning: towards rare languages, of the released model and of a second one (see `models.leaning`).
    """

    model: str
    settings: TrainingSettings
    rounds: int
    strategy: str = "fedavg"
    options: dict = field(default_factory=dict)
    deal: Callable[[Sequence[str], int], dict] = lambda languages, seed: equal_shares(languages, 1)
    leaning: tuple[float, ...] = (0.0,)
    alphabet: Alphabet = TUTORIAL
    may_diverge: bool = False
    final: bool = False
    split: Callable[[NamesByLanguage, int], Parts] = split


def split_apart(names: NamesByLanguage, seed: int) -> Parts:
    """As `split`, but each name, whatever languages have it, is in one part. So 70/10/20 is so in the mean only."""
    parts: tuple[NamesByLanguage, ...] = ({}, {}, {})
    for language, of_language in names.items():
        for part in parts:
            part[language] = []
        for name in of_language:
            drawn = random.Random(f"{seed} {TUTORIAL.normalise(name)}").random()
            parts[(drawn < 0.3) + (drawn < 0.2)][language].append(name)
    return Parts(*parts)


def two_alike(languages: Sequence[str], seed: int) -> dict:
    return equal_shares(languages, 2)


def nine_each(languages: Sequence[str], seed: int) -> dict:
    return shares_by_language(languages, 2, seed)


def ten_unequal(languages: Sequence[str], seed: int) -> dict:
    return dirichlet_shares(languages, 10, 0.5, seed)


BEST = "committee"
# Two workers take the mean gradient of two batches, and training in one place takes the batch of both.
TUTORIAL_SETTINGS = TrainingSettings(batch_size=32, learning_rate=0.2)
ONE_STEP = TrainingSettings(batch_size=256, learning_rate=1.0, steps=1)
best = Experiment(
    BEST,
    ONE_STEP,
    rounds=600,
    strategy="fedadam",
    options={"schedule": "cosine", "server_learning_rate": 0.012},
    leaning=(0.0, 0.6),
    alphabet=UNICODE,
)
one_by_one = Experiment("tutorial", TrainingSettings(batch_size=1, learning_rate=0.005, steps=10), rounds=1000)
tutorial = Experiment("tutorial", TUTORIAL_SETTINGS, rounds=20, options={"schedule": "cosine"})

EXPERIMENTS = {
    "best_iid": replace(best, deal=two_alike),
    "dirichlet10": replace(best, settings=replace(ONE_STEP, batch_size=51), deal=ten_unequal),
    "tutorial_iid": replace(tutorial, deal=two_alike),
    "tutorial_centralised": replace(tutorial, settings=replace(TUTORIAL_SETTINGS, batch_size=64)),
    "by_language": replace(best, deal=nine_each),
    "best_centralised": replace(best, settings=replace(ONE_STEP, batch_size=512)),
    "batch1": replace(one_by_one, deal=two_alike),
    "batch1_alone": replace(one_by_one, deal=two_alike, may_diverge=True),
    "best_iid_final": replace(best, deal=two_alike, final=True),
    "best_iid_apart": replace(best, deal=two_alike, split=split_apart),
}


@dataclass
class Outcome:
    """What came of an experiment with one seed: figures on the test part, and a curve on the validation part."""

    figures: dict[str, float]
    curves: dict[str, list[tuple[int, float]]]


def run(name: str, corpus: str, seed: int) -> Outcome:
    torch.set_num_threads(1)  # products this small are slower in several threads
    experiment = EXPERIMENTS[name]
    parts = experiment.split(read_folder(corpus), seed)
    learned = [parts.train, parts.validation] if experiment.final else [parts.train]
    names = {language: [name for part in learned for name in part[language]] for language in parts.languages}
    hands = deal(names, experiment.deal(parts.languages, seed), seed)
    start = time.process_time()
    if name == "batch1_alone":
        outcomes = [_train(experiment, [hand], parts, seed) for hand in hands]
        figures = {f"accuracy_of_worker_{number}": each.figures["accuracy"] for number, each in enumerate(outcomes, 1)}
        figures["accuracy"] = statistics.mean(figures.values())
        curves = {f"worker {number}, never averaged": each.curves[""] for number, each in enumerate(outcomes, 1)}
        outcome = Outcome(figures, curves)
    else:
        outcome = _train(experiment, hands, parts, seed)
    outcome.figures["cpu_seconds"] = time.process_time() - start
    return outcome


def _train(experiment: Experiment, hands: Sequence[NamesByLanguage], parts, seed: int) -> Outcome:
    languages, alphabet = parts.languages, experiment.alphabet
    model = make_model(experiment.model, alphabet.size, len(languages), seed)
    strategy = make_strategy(
        experiment.strategy,
        to_vector(model),
        replace(experiment.settings, seed=seed),
        experiment.rounds,
        **experiment.options,
    )
    validation, test = encode(parts.validation, alphabet), encode(parts.test, alphabet)
    curve: list[tuple[int, float]] = []

    def on_round(done: int) -> None:
        if not experiment.final and done % max(experiment.rounds // POINTS_OF_A_CURVE, 1) == 0:
            curve.append((done, count_guesses(model, validation, len(languages)).accuracy))

    try:
        simulate(model, [encode(hand, alphabet) for hand in hands if total(hand)], strategy, on_round)
    except Diverged as error:
        if not experiment.may_diverge:
            raise
        print(f"seed {seed}: {error}; counted as it was before that round", flush=True)
        load_vector(model, strategy.weights.float()).eval()
    # Over all workers, as the secure sum of what each has.
    counts = torch.tensor([float(sum(len(hand[language]) for hand in hands)) for language in languages])
    accurate, *others = (count_guesses(leaning(model, counts, tau), test, len(languages)) for tau in experiment.leaning)
    figures = {
        "accuracy": accurate.accuracy,
        "balanced_accuracy": accurate.balanced_accuracy,
        "parameters": len(strategy.weights),
        "rounds": experiment.rounds,
    }
    for balanced in others:
        figures |= {"second_accuracy": balanced.accuracy, "second_balanced_accuracy": balanced.balanced_accuracy}
    return Outcome(figures, {"": curve})


def summarise(outcomes: dict[tuple[str, int], Outcome]) -> dict[str, object]:
    """Flat keys: means over the seeds, and standard deviations."""
    by_experiment: dict[str, dict[int, dict[str, float]]] = {}
    for (name, seed), outcome in outcomes.items():
        by_experiment.setdefault(name, {})[seed] = outcome.figures
    values: dict[str, list[float]] = {}
    for name, by_seed in by_experiment.items():
        for key in next(iter(by_seed.values())):
            values[f"{name}_{key}"] = [by_seed[seed][key] for seed in sorted(by_seed)]
    for name in ("tutorial", "best"):
        if f"{name}_iid" in by_experiment and f"{name}_centralised" in by_experiment:
            federated, central = by_experiment[f"{name}_iid"], by_experiment[f"{name}_centralised"]
            both = sorted(central.keys() & federated.keys())
            gaps = [100 * (central[seed]["accuracy"] - federated[seed]["accuracy"]) for seed in both]
            values |= {f"{name}_iid_gap_points": gaps} if gaps else {}
    if "best_iid" in by_experiment:
        # The released model is chosen for accuracy; a second one, of the same training, for every language alike.
        values["best_iid_accurate_balanced_accuracy"] = values.pop("best_iid_balanced_accuracy")
        values["best_iid_balanced_accuracy"] = values.pop("best_iid_second_balanced_accuracy")
    summary: dict[str, object] = {"best_model": BEST, "seeds": sorted({seed for _, seed in outcomes})}
    for key in sorted(values):
        summary[key] = round(statistics.mean(values[key]), 4)
        summary[f"{key}_std"] = round(statistics.stdev(values[key]), 4) if len(values[key]) > 1 else None
    return summary


def draw(outcomes: dict[tuple[str, int], Outcome], out: Path) -> None:
    """Accuracy on the validation part while training, of the first seed."""
    seed = min(seed for _, seed in outcomes)
    curves = {
        (label or name): curve
        for (name, of_seed), outcome in outcomes.items()
        if of_seed == seed
        for label, curve in outcome.curves.items()
        if curve
    }
    pictures = {
        "batch1": ("Batches of one, averaged every 10 steps, and never", "batch1", "worker"),
        "best": (f"{BEST}: two alike, nine languages each, ten unequal", "best", "by_language", "dirichlet"),
        "tutorial": ("The tutorial's network, two workers and one place", "tutorial"),
    }
    for file, (title, *begins) in pictures.items():
        chosen = {label: curve for label, curve in curves.items() if label.startswith(tuple(begins))}
        if chosen:
            (out / f"{file}.png").write_bytes(plots.png(plots.accuracy_curves(chosen, title)))


def find_corpus() -> Path:
    """PISYFT_CORPUS, the corpus beside the project, or the project's own names."""
    choices = [os.environ.get("PISYFT_CORPUS"), ROOT.parent / "shared" / "names", ROOT / "data" / "names"]
    return next(Path(choice) for choice in choices if choice and Path(choice).is_dir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", type=Path, default=find_corpus(), help="a folder with a file for each language")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="the first seed only")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "bench-learning")
    parser.add_argument("--resume", action="store_true", help="keep what is in OUT already, and run what is not")
    arguments = parser.parse_args()
    seeds = arguments.seeds[:1] if arguments.quick else arguments.seeds
    arguments.out.mkdir(parents=True, exist_ok=True)
    outcomes, seconds = read(arguments.out) if arguments.resume else ({}, 0)
    started = time.monotonic() - seconds
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        jobs = {
            pool.submit(run, name, str(arguments.corpus), seed): (name, seed)
            for seed in seeds
            for name in arguments.only
            # What never averaging does is drawn, once.
            if (name != "batch1_alone" or seed == seeds[0]) and (name, seed) not in outcomes
        }
        for job in as_completed(jobs):
            name, seed = jobs[job]
            outcomes[name, seed] = job.result()
            figures = outcomes[name, seed].figures
            print(
                f"{name:<22} seed {seed}  accuracy {figures['accuracy']:.4f}  {figures['cpu_seconds']:.0f} s",
                flush=True,
            )
            write(outcomes, arguments.corpus, time.monotonic() - started, arguments.out)
    draw(outcomes, arguments.out)
    print((arguments.out / "summary.json").read_text(encoding="utf-8"))


def write(outcomes: dict[tuple[str, int], Outcome], corpus: Path, seconds: float, out: Path) -> None:
    """The summary and the curves of what is done so far, since the whole takes long."""
    summary = {
        "corpus": corpus.name,
        "names": total(read_folder(corpus)),
        **summarise(outcomes),
        "seconds": round(seconds),
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    told = {
        f"{name} {seed}": {"figures": outcome.figures, "curves": outcome.curves}
        for (name, seed), outcome in sorted(outcomes.items())
    }
    (out / "runs.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def read(out: Path) -> tuple[dict[tuple[str, int], Outcome], int]:
    """What `write` wrote: what is done, and the seconds that it took."""
    if not (out / "runs.json").exists():
        return {}, 0
    outcomes = {}
    for run_of, told in json.loads((out / "runs.json").read_text(encoding="utf-8")).items():
        name, _, seed = run_of.rpartition(" ")
        curves = {label: [(done, accuracy) for done, accuracy in curve] for label, curve in told["curves"].items()}
        outcomes[name, int(seed)] = Outcome(told["figures"], curves)
    return outcomes, json.loads((out / "summary.json").read_text(encoding="utf-8"))["seconds"]


if __name__ == "__main__":
    main()
