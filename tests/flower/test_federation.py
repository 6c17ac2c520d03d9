"""The coordinator and devices of the Flower app, both with Flower's own code, and no network between them."""

import io

import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("flwr", reason="pisyft[flower] is not installed")

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pisyft.flower.coordinator import FlowerError, FlowerFederation
from pisyft.flower.device import app
from pisyft.flower.local import _tell
from pisyft.flower.messages import values_of
from pisyft.flower.server_app import Run
from pisyft.learning.models import make_model
from pisyft.learning.names import deal_parts, equal_shares, read_folder, split, write_parts
from pisyft.learning.training import TrainingSettings
from pisyft.learning.vectors import to_vector
from pisyft.release import Card, Gate, ModelStore, ReleaseError
from tests.flower.direct import DirectGrid, context_of
from tests.helpers import run_python

DEVICES = ("alice", "bob", "carol")
# In the order that names have, so that two trainings are the same.
SETTINGS = TrainingSettings(batch_size=32, learning_rate=0.1, seed=None)


@pytest.fixture
def folders(names_folder, tmp_path):
    """The four languages' names, dealt out to three devices."""
    everything = read_folder(names_folder)
    hands = deal_parts(split(everything, 0), equal_shares(everything, len(DEVICES)), 0)
    for device, hand in zip(DEVICES, hands, strict=True):
        write_parts(hand, tmp_path / device / "names")
    return {device: tmp_path / device / "names" for device in DEVICES}


def federation_of(grid):
    return FlowerFederation(grid, context_of(0), grid.get_node_ids())


def start(federation):
    return to_vector(make_model("tutorial", federation.alphabet.size, len(federation.languages), 0)).numpy()


def test_the_secure_mean_is_the_plain_one_within_a_ten_thousandth(folders):
    federation = federation_of(DirectGrid(app, folders, **{"allow-plain": True}))

    secure = federation.train(start(federation), "tutorial", SETTINGS, "secagg")
    plain = federation.train(start(federation), "tutorial", SETTINGS, "plain")

    assert np.abs(plain).max() > 1e-3, "nothing was learned"
    assert np.abs(secure - plain).max() < 1e-4


def test_the_coordinator_sees_no_device_s_change(folders):
    grid = DirectGrid(app, folders)
    federation = federation_of(grid)

    federation.train(start(federation), "tutorial", SETTINGS, "secagg")

    for reply in grid.replies:
        for record in reply.content.array_records.values():
            assert len(record) == 0, "a device has sent what it has learned beside the masked vector"


def test_a_device_takes_no_part_in_the_clear_unless_its_owner_says_so(folders):
    federation = federation_of(DirectGrid(app, folders))

    with pytest.raises(FlowerError, match="alice: NotTold: alice takes part in secure sums only"):
        federation.train(start(federation), "tutorial", SETTINGS, "plain")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (TrainingSettings(batch_size=1, steps=1), "alice trains on 10 names or more, and not on 1"),
        (TrainingSettings(passes=1e6), "limit passes: 1e\\+06, and alice takes 100 at most"),
        (TrainingSettings(batch_size=10**6), "limit batch_size: 1e\\+06, and alice takes 4096 at most"),
    ],
)
def test_a_device_refuses_a_training_on_a_name_or_two_and_one_without_end(folders, settings, says):
    federation = federation_of(DirectGrid(app, folders))

    with pytest.raises(FlowerError, match=says):
        federation.train(start(federation), "tutorial", settings, "secagg")


def test_a_round_goes_on_without_a_device_that_vanishes_after_its_keys(folders):
    grid = DirectGrid(app, folders)
    federation = federation_of(grid)
    grid.vanish_after(node=3, answers=2)  # public keys and shares of its secret, but no masked vector

    mean = federation.train(start(federation), "tutorial", SETTINGS, "secagg")

    grid.gone.add(3)
    of_two = FlowerFederation(grid, context_of(0), [1, 2])
    expected = of_two.train(start(of_two), "tutorial", SETTINGS, "secagg")
    assert np.abs(mean - expected).max() < 1e-4


def test_a_round_that_two_devices_leave_has_no_sum_and_says_so(folders):
    grid = DirectGrid(app, folders)
    federation = federation_of(grid)
    grid.gone.update({2, 3})

    with pytest.raises(FlowerError, match="round 1 has no sum"):
        federation.train(start(federation), "tutorial", SETTINGS, "secagg")


def test_training_that_diverges_is_told_with_the_device(folders):
    federation = federation_of(DirectGrid(app, folders))

    with pytest.raises(FlowerError, match="alice: Diverged: training diverged"):
        federation.train(start(federation), "tutorial", TrainingSettings(learning_rate=1e6, seed=None), "secagg")


def test_a_run_goes_on_with_whoever_is_there(folders):
    grid = DirectGrid(app, folders, **{"allow-plain": True})
    run = Run(federation_of(grid), "tutorial", "fedavg", SETTINGS, 1, "plain")
    grid.gone.add(3)

    run.train()

    assert [set(missing) for missing in run.missing] == [{"carol"}]
    assert [set(counts) for counts in run.history] == [{"alice", "bob"}, {"alice", "bob"}]


def test_a_release_that_not_everybody_takes_does_not_lose_the_summary(folders, tmp_path):
    grid = DirectGrid(app, folders)
    run = Run(federation_of(grid), "tutorial", "fedavg", SETTINGS, 1, "secagg")
    run.train()
    grid.gone.add(3)

    summary = run.finish(Gate(0.0, 0.0, 1.0, rounds=0), ModelStore(tmp_path / "coordinator"))

    assert summary["released_version"] is None
    assert "carol: no answer within" in summary["not_released"][0]
    assert set(summary["accuracy_by_worker"]) == {"alice", "bob"}


def test_a_release_that_a_device_does_not_put_to_use_does_not_lose_the_summary(folders, tmp_path, monkeypatch):
    """All have stored it by then, and the coordinator, too: it is released."""
    grid = DirectGrid(app, folders)
    run = Run(federation_of(grid), "tutorial", "fedavg", SETTINGS, 1, "secagg")
    run.train()
    send = grid.send_and_receive

    def without_carol_s_commit(messages, **options):
        kept = [
            message
            for message in messages
            if message.metadata.dst_node_id != 3 or values_of(message.content).get("step") != "commit"
        ]
        return send(kept, **options)

    monkeypatch.setattr(grid, "send_and_receive", without_carol_s_commit)
    store = ModelStore(tmp_path / "coordinator")
    summary = run.finish(Gate(0.0, 0.0, 1.0, rounds=0), store)
    _tell(summary | {"round_seconds": [1.0]}, tmp_path, console := Console(file=io.StringIO(), width=120))

    assert (summary["released_version"], summary["not_released"], store.current) == (1, [], 1)
    assert summary["away"] == ["carol"]
    assert [ModelStore(tmp_path / device / "models").current for device in DEVICES] == [1, 1, None]
    assert "carol does not use the release: no answer within" in console.file.getvalue()
    assert "Released to all others as version 1." in console.file.getvalue()


def test_counts_come_back_and_only_over_ten_names_or_more(folders):
    federation = federation_of(DirectGrid(app, folders))
    model = make_model("tutorial", federation.alphabet.size, len(federation.languages), 0)

    counts = federation.evaluate(model, "tutorial", "test")

    assert set(counts) == set(DEVICES)
    for device, each in counts.items():
        assert each.names == federation.descriptions[device]["test"]
        rows = [sum(row) for row in each.confusion]
        assert all(row == 0 or row >= 10 for row in rows)


def test_a_device_with_too_few_names_tells_nothing(folders):
    for file in (folders["bob"] / "test").glob("*.txt"):
        file.write_text("", encoding="utf-8")
    federation = federation_of(DirectGrid(app, folders))
    model = make_model("tutorial", federation.alphabet.size, len(federation.languages), 0)

    assert set(federation.evaluate(model, "tutorial", "test")) == {"alice", "carol"}


def test_a_run_learns_and_releases_to_every_device(folders, tmp_path):
    federation = federation_of(DirectGrid(app, folders))
    run = Run(federation, "tutorial", "fedavg", TrainingSettings(learning_rate=0.1, passes=10, seed=0), 3, "secagg")

    run.train()
    summary = run.finish(Gate(0.0, 0.0, 1.0, 1), ModelStore(tmp_path / "coordinator"))

    assert summary["accuracy_final"] > summary["accuracy_initial"]
    assert summary["released_version"] == 1
    for device in DEVICES:
        card, weights = ModelStore(tmp_path / device / "models").load()
        assert card.participants == DEVICES and card.aggregation == "secagg"
        assert np.array_equal(weights, to_vector(run.best).numpy())


def test_scaffold_keeps_its_control_variate_on_the_device(folders):
    grid = DirectGrid(app, folders)
    run = Run(federation_of(grid), "tutorial", "scaffold", TrainingSettings(learning_rate=0.1, seed=0), 2, "secagg")

    run.train()

    assert all("pisyft.control" in context.state.array_records for context in grid.contexts.values())


def test_a_release_that_one_device_refuses_is_nobody_s(folders, tmp_path):
    grid = DirectGrid(app, folders)
    federation = federation_of(grid)
    model = make_model("tutorial", federation.alphabet.size, len(federation.languages), 0)
    card = Card(
        *(1, "tutorial", tuple(federation.languages), 0.5, DEVICES, 1),
        alphabet_digest=federation.alphabet.digest(),
    )
    other_key, key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    FlowerFederation(grid, context_of(0), [1, 2]).release(card, model, ModelStore(tmp_path / "other"), other_key)

    with pytest.raises(ReleaseError, match="alice: ReleaseError: the model is signed by another coordinator"):
        federation.release(card, model, ModelStore(tmp_path / "own"), key)

    assert ModelStore(tmp_path / "carol" / "models").versions() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folders: folders.pop("bob") and folders.pop("carol"), "two devices or more"),
        (lambda folders: (folders["bob"] / "train" / "Greek.txt").write_text("Papadakis\n"), "different languages"),
    ],
)
def test_devices_that_cannot_train_together_are_told(folders, change, says):
    change(folders)

    with pytest.raises(FlowerError, match=says):
        federation_of(DirectGrid(app, folders))


def test_a_supernode_without_names_says_how_to_start_it():
    grid = DirectGrid(app, {})
    grid.contexts = {1: context_of(1)}

    with pytest.raises(FlowerError, match="this SuperNode has no names: start it with --node-config"):
        federation_of(grid)


def test_neither_side_imports_pysyft():
    script = (
        "import sys\n"
        "import pisyft.flower.device, pisyft.flower.server_app, pisyft.flower.local\n"
        "assert not {'syft', 'syft_proto'} & set(sys.modules)\n"
    )

    done = run_python("-c", script)

    assert done.returncode == 0, done.stderr
