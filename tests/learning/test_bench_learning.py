"""The benchmark's plumbing, with two rounds of each experiment on a few names: what it measures is not looked at."""

import importlib.util
import json
import sys
from dataclasses import replace

import pytest

from pisyft.learning.models import MODELS
from pisyft.learning.names import normalise, read_folder, split, total
from tests.conftest import REPOSITORY

ASKED_FOR = (
    "tutorial_iid_gap_points",
    "best_iid_accuracy",
    "best_iid_gap_points",
    "best_iid_balanced_accuracy",
    "by_language_accuracy",
    "dirichlet10_accuracy",
    "batch1_accuracy",
)


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_learning", REPOSITORY / "benchmarks" / "bench_learning.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_learning"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench_learning"]


@pytest.fixture(scope="module")
def outcomes(bench, names_folder) -> dict:
    shortened = {name: replace(experiment, rounds=2) for name, experiment in bench.EXPERIMENTS.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "EXPERIMENTS", shortened)
        return {(name, seed): bench.run(name, str(names_folder), seed) for name in shortened for seed in (0, 1)}


def test_every_figure_is_there_with_its_spread_over_seeds(bench, outcomes):
    summary = bench.summarise(outcomes)

    assert summary["best_model"] in MODELS
    for key in ASKED_FOR:
        assert isinstance(summary[key], float) and isinstance(summary[f"{key}_std"], float), key
    assert json.loads(json.dumps(summary)) == summary


def test_a_gap_is_the_centralised_accuracy_less_the_federated_in_points(bench, outcomes):
    summary = bench.summarise(outcomes)

    gap = 100 * (summary["best_centralised_accuracy"] - summary["best_iid_accuracy"])
    assert summary["best_iid_gap_points"] == pytest.approx(gap, abs=0.02)


def test_one_seed_has_no_spread(bench, outcomes):
    first = {(name, seed): outcome for (name, seed), outcome in outcomes.items() if seed == 0}

    assert bench.summarise(first)["best_iid_accuracy_std"] is None


def test_what_was_written_is_read_again_to_go_on_from_there(bench, outcomes, names_folder, tmp_path):
    bench.write(outcomes, names_folder, 12.3, tmp_path)

    assert bench.read(tmp_path) == (outcomes, 12)


def test_curves_become_pictures(bench, outcomes, tmp_path):
    bench.draw(outcomes, tmp_path)

    assert sorted(file.name for file in tmp_path.iterdir()) == ["batch1.png", "best.png", "tutorial.png"]


def test_apart_no_name_is_in_two_parts_whatever_languages_have_it(bench):
    names = {"Czech": [f"Both{chr(each)}" for each in range(97, 123)], "English": ["Bothä", "Bothz", "Alone"]}

    parts = bench.split_apart(names, 0)

    assert {each: sorted(of) for each, of in parts.together.items()} == {each: sorted(of) for each, of in names.items()}
    spelled = [{normalise(name) for of in part.values() for name in of} for _, part in parts.items()]
    assert not spelled[0] & spelled[1] and not spelled[0] & spelled[2] and not spelled[1] & spelled[2]
    assert all(spelled) and parts == bench.split_apart(names, 0) != bench.split_apart(names, 1)


def test_only_the_final_training_reads_the_validation_part(bench, names_folder, monkeypatch):
    parts = split(read_folder(names_folder), 0)
    read: list[int] = []
    monkeypatch.setattr(bench, "simulate", lambda model, workers, *others: read.append(sum(map(len, workers))))

    for name in ("best_iid", "best_iid_final"):
        bench.run(name, str(names_folder), 0)

    assert read == [total(parts.train), total(parts.train) + total(parts.validation)]


def test_every_worker_of_the_ten_unequal_ones_and_the_nine_languages_each_is_dealt_with(bench):
    languages = [f"language {number}" for number in range(18)]

    assert all(len(shares) == 10 for shares in bench.ten_unequal(languages, 0).values())
    by_worker = [sum(shares[worker] for shares in bench.nine_each(languages, 0).values()) for worker in (0, 1)]
    assert by_worker == [9, 9]
