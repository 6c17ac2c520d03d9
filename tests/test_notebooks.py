"""The notebooks: how they are kept, and what a learner sees who runs them in a real Jupyter kernel, top to bottom."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from pisyft.lab import Lab
from pisyft.learning.alphabet import TUTORIAL
from tests.helpers import kill_processes_about, processes_about

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
ALL = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("name", ALL)


class Executed:
    """A notebook after its execution.

    Args:
        notebook: with outputs.
        folder: where its lab put its folder.
    """

    def __init__(self, notebook: nbformat.NotebookNode, folder: Path) -> None:
        self.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        self.folder = folder

    def seen(self, cell_id: str) -> str:
        """The text that a cell printed or returned."""
        (cell,) = (cell for cell in self.cells if cell.id == cell_id)
        return "".join(each.get("text") or each.get("data", {}).get("text/plain", "") for each in cell.outputs)

    @property
    def warnings(self) -> str:
        """Everything that came on standard error."""
        outputs = (output for cell in self.cells for output in cell.outputs)
        return "".join(output.text for output in outputs if output.get("name") == "stderr")

    @property
    def pictures(self) -> int:
        return sum("image/png" in output.get("data", {}) for cell in self.cells for output in cell.outputs)


def execute(name: str, folder: Path, **environment: str) -> Executed:
    """Run a notebook with a kernel of its own, whose temporary files are in `folder`."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOKS)}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources)
    try:
        # In its own folder, and with its own configuration and data, as the tests have them.
        client.execute(env={**os.environ, "TMPDIR": str(folder), **environment})
    except BaseException:
        kill_processes_about(folder)
        raise
    return Executed(notebook, folder)


@pytest.fixture(scope="session")
def executed(tmp_path_factory: pytest.TempPathFactory):
    """A function that executes a notebook, once in the session."""
    done: dict[str, Executed] = {}

    def run(name: str) -> Executed:
        if name.startswith("09"):
            pytest.importorskip("flwr", reason="Flower is not installed: pip install -e '.[flower]'")
        if name not in done:
            done[name] = execute(name, tmp_path_factory.mktemp(f"of-{name}"))
        return done[name]

    return run


# How they are kept


@every_notebook
def test_it_is_kept_without_outputs(name):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)

    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@every_notebook
def test_it_begins_with_its_number_and_a_goal_of_one_line(name):
    first = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells[0]

    title, goal = re.match(r"# (\d)\. .+\n\n\*\*Goal:\*\* (.+(?:\n.+)?)\n\n", first.source).groups()
    assert title == name[1]
    assert goal.count(".") == 1 and goal.endswith(".")


@every_notebook
def test_it_ends_with_three_questions_and_their_answers_folded_away(name):
    questions, answers = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells[-2:]

    assert questions.source.startswith("## Three questions\n")
    assert re.findall(r"^(\d)\. ", questions.source, re.MULTILINE) == ["1", "2", "3"]
    assert answers.source.startswith("<details>\n<summary>Answers</summary>\n\n")
    assert re.findall(r"^(\d)\. ", answers.source, re.MULTILINE) == ["1", "2", "3"]
    assert answers.source.endswith("\n\n</details>")


def test_they_are_numbered_without_a_gap():
    assert [name[:2] for name in ALL] == [f"{number:02}" for number in range(len(ALL))]
    assert len(ALL) >= 9


# What every one does


@every_notebook
def test_it_warns_of_nothing_and_leaves_neither_worker_nor_folder(executed, name):
    notebook = executed(name)

    if name.startswith("04"):  # adds up in the clear, of which it is warned
        assert re.fullmatch(
            r"\S+: PlainAggregation: plain aggregation: the coordinator sees .+\n .+\n", notebook.warnings
        )
    else:
        assert notebook.warnings == ""
    assert processes_about(notebook.folder) == []
    assert list(notebook.folder.glob("pisyft-lab-*")) == []


@pytest.fixture(scope="module")
def pis(names_folder: Path) -> Iterator[Lab]:
    """Workers that somebody else has started, with the certificates of a classroom."""
    with Lab(names_folder, ["alice", "bob"], certificates=True) as lab:
        yield lab


def test_it_runs_on_the_pis_of_a_classroom_that_the_environment_names(pis, tmp_path):
    classroom = str(pis.folder / "classroom" / "coordinator")

    notebook = execute("01_a_tensor_on_someone_elses_computer", tmp_path, PISYFT_CLASSROOM=classroom)

    assert "the classroom 'lab', with 2 workers" in notebook.seen("open-room")
    assert f"alice on 127.0.0.1:{pis.addresses['alice'][1]}" in notebook.seen("open-room")
    assert list(tmp_path.glob("pisyft-lab-*")) == []
    assert re.fullmatch(r"Together, their names have \d+ times the letter a.\n", notebook.seen("sum"))


# 0. Is everything ready?


@pytest.fixture
def ready(executed) -> Executed:
    return executed("00_is_everything_ready")


def test_0_the_doctor_finds_this_machine_fit_and_every_worker_within_reach(ready):
    machine, peers = ready.seen("machine-checks"), ready.seen("peer-checks")
    assert re.search(r"^ok +PyTorch +\d", machine, re.MULTILINE)
    assert re.search(r"^ok +PySyft +0.2.9", machine, re.MULTILINE)
    assert "\nfailed " not in machine + peers
    for found in ("certificates +of coordinator in lab", "peer alice +\\d+ ms", "peer bob +\\d+ ms", "clock of bob"):
        assert re.search(rf"^\w+ +{found}", peers, re.MULTILINE), found


def test_0_the_workers_introduce_themselves_and_compute(ready):
    assert re.search(
        r"^alice is a .+\n +memory: .+ MB are free\n +names: +2,\d+ of 18 languages", ready.seen("meet-them")
    )
    assert ready.seen("hello") == "tensor(5050)"


# 1. A tensor on someone else's computer


@pytest.fixture
def tensor(executed) -> Executed:
    return executed("01_a_tensor_on_someone_elses_computer")


def test_1_a_pointer_shows_no_numbers_and_get_does(tensor):
    assert re.search(r"PointerTensor \| me:\d+ -> alice:\d+\]$", tensor.seen("send-x"))
    assert tensor.seen("get-y") == "tensor([2., 4., 6.])"
    assert tensor.seen("not-together") == "x is on alice and z is on bob\n"


def test_1_doubling_costs_a_short_message_whatever_the_size_and_fetching_four_bytes_a_number(tensor):
    one = int(re.match(r"(\d+) bytes sent, 0 bytes received, answers waited for: 0\n", tensor.seen("cost-add"))[1])
    doubled, fetched = re.match(
        r"with a million numbers: (\d+) bytes to double them, ([\d,]+) to fetch them\n", tensor.seen("cost-measure")
    ).groups()
    assert int(doubled) < 1.5 * one < 500
    assert 4_000_000 < int(fetched.replace(",", "")) < 4_010_000
    assert tensor.pictures == 1


def test_1_a_hundred_additions_wait_once(tensor):
    assert "answers waited for: 1\n" in tensor.seen("cost-wait")
    assert "tensor([101., 202., 303.])" in tensor.seen("cost-wait")


def test_1_names_are_larger_than_the_network_and_stay(tensor):
    sizes = [int(each.replace(",", "")) for each in re.findall(r"([\d,]+) bytes", tensor.seen("sizes"))]
    assert sizes[0] > 10 * sizes[1]
    assert tensor.seen("refused").startswith("Refused: names on alice")
    assert tensor.seen("count").startswith("Refused: names on alice")


def test_1_the_sum_over_everybody_is_told(tensor, all_names):
    text = tensor.seen("sum")
    told = int(re.search(r"have ([\d,]+) times", text)[1].replace(",", ""))
    everything = sum(file.read_text(encoding="utf-8").count("a") for file in all_names.glob("*.txt"))
    assert 0.6 * everything < told < everything  # of the names to train on, 7 in 10, and á is an a, too


# 2. The names


@pytest.fixture
def names(executed) -> Executed:
    return executed("02_the_names")


def test_2_counts_are_told_and_no_name(names, all_names):
    text = names.seen("describe")
    surnames = (all_names / "Greek.txt").read_text(encoding="utf-8").split()
    assert re.search(r"by_language: \[\d+, ", text)
    assert not [name for name in surnames if re.search(rf"\b{name}\b", text)]


def test_2_it_adds_a_name_to_alices_and_counts_one_more(names):
    before, after = re.match(r"alice had (\d+) names to train on, and has (\d+) now\n", names.seen("add-name")).groups()
    assert int(after) == int(before) + 1
    assert names.seen("add-again").startswith("Refused: Czech has Dobrovska already")


def test_2_letters_and_laziness(names):
    assert "tutorial, 57 letters: ['Muller', 'ukasz', 'OBrien', '']" in names.seen("alphabets")
    assert "unicode, 719 letters: ['Müller', 'Łukasz', \"O'Brien\", 'Παππάς']" in names.seen("alphabets")
    assert names.seen("refused").startswith("Refused: no letter of 'Παππάς' is known")
    parts = [float(each) for each in re.findall(r"right for ([\d.]+)%", names.seen("lazy"))]
    assert len(parts) == 2 and min(parts) > 100 / 18
    assert names.pictures == 2


# 3. A recurrent network, trained by pointer


@pytest.fixture
def network(executed) -> Executed:
    return executed("03_a_recurrent_network_by_pointer")


def test_3_two_workers_have_names_of_their_own(network):
    text = network.seen("workers")
    assert re.search(r"alice trains on 1\d\d\d names of 18 languages, \d+ to test on\n", text)
    assert re.search(r"bob trains on 1\d\d\d names of 18 languages", text)


def test_3_training_shows_progress_and_fetches_nothing(network):
    text = network.seen("train")
    sent, received = re.search(r"([\d,]+) bytes sent, ([\d,]+) bytes received", text).groups()
    assert "alice, batches of 1:" in text
    assert int(received.replace(",", "")) < 0.1 * int(sent.replace(",", ""))


@pytest.mark.parametrize("asked_for", ["refused-letters", "refused-model", "refused-share"])
def test_3_the_worker_refuses_names_its_own_model_and_a_share(network, asked_for):
    assert network.seen(asked_for).startswith("Refused: ")


def test_3_the_shares_lie_with_both_workers_and_their_sum_is_numbers(network):
    text = network.seen("share-both")
    assert "AdditiveSharingTensor" in text
    assert "-> alice:" in text and "-> bob:" in text
    assert re.match(r"tensor\(\[ ?-?\d\.\d{4}", network.seen("average"))


def test_3_it_learns_what_the_tutorial_learned(network):
    text = network.seen("accuracy")
    accuracy, chance = re.search(r"together ([\d.]+)%; guessing at random would give ([\d.]+)%", text).groups()
    assert float(accuracy) > 35 > 6 * float(chance)
    assert network.pictures == 2


def test_3_predictions_stand_beside_the_tutorials(network):
    text = network.seen("predictions")
    assert re.search(r"> Qing\nthe tutorial +here\n\(-1.43\) Korean +\(-\d+\.\d\d\) \w+\n", text)
    assert re.search(r"> Daniele\nthe tutorial +here\n(\(-\d\.\d\d\) \w+ +\(-\d+\.\d\d\) \w+\n){3}", text)


def test_3_it_releases_the_model_to_both(network):
    assert network.seen("release") == "{'alice': 1, 'bob': 1}\n"


# 4. Why averaging alone gives you away


@pytest.fixture
def leak(executed) -> Executed:
    return executed("04_why_averaging_alone_gives_you_away")


def test_4_one_update_tells_letters_language_and_name(leak, all_names):
    secret = re.search(r"the secret was: (.+)\n", leak.seen("candidates"))[1]
    candidates = re.search(r"these fit: (.+)\n", leak.seen("candidates"))[1].split(", ")
    plain = TUTORIAL.normalise(secret)
    before, last = re.findall(r"\[(.*)\]", leak.seen("columns"))
    language = re.fullmatch(r"1 bias went up: (\w+)\n", leak.seen("language"))[1]

    assert set(ast.literal_eval(f"[{before}]")) == set(plain[:-1])
    assert ast.literal_eval(last) == plain[-1]
    assert secret in (all_names / f"{language}.txt").read_text(encoding="utf-8").splitlines()
    assert secret in candidates and len(candidates) < 10
    assert leak.pictures == 1


def test_4_a_guarded_pi_does_not_train_on_a_single_name(leak):
    assert re.search(
        r"^Refused: round .+ because of alice: alice trains on \d+ names or more, and not on 1",
        leak.seen("one-name"),
        re.MULTILINE,
    )


def test_4_a_plain_update_excludes_names_and_the_average_fewer(leak):
    everything, alone, average = (
        int(each.replace(",", "")) for each in re.findall(r"^ *([\d,]+) ", leak.seen("excluded"), re.MULTILINE)
    )
    assert everything > average > alone > 10


def test_4_a_secret_sum_shows_nobodys_update_and_a_pi_refuses_plain_ones(leak):
    assert leak.seen("secret-sum").startswith("updates that the coordinator sees: 0\nthe average of alice and bob: [")
    assert "its protocol is 'plain', and alice takes part in additive and masks" in leak.seen("refused-plain")


# 5. Additive secret sharing


@pytest.fixture
def sharing(executed) -> Executed:
    return executed("05_additive_secret_sharing")


def test_5_shares_add_up_by_rows_and_columns(sharing):
    shares = [int(each) for each in re.search(r"\[(.+)\] add up to 12", sharing.seen("split"))[1].split(",")]
    assert sum(shares) % 100 == 12
    rows = [[int(each) for each in re.findall(r"\d+", line)] for line in sharing.seen("table").splitlines()[1:]]
    assert rows[3] == [12, 30, 7, 49]
    for *held, told in rows[:3]:
        assert sum(held) % 100 == told
    for place in range(3):
        assert sum(row[place] for row in rows[:3]) % 100 == rows[3][place]


def test_5_tensors_are_shared_over_three_workers_and_added(sharing):
    assert "tensor([150, -25])" in sharing.seen("fixed")
    assert [line.split()[0] for line in sharing.seen("shares").splitlines()] == ["alice", "bob", "carol"]
    assert sharing.seen("add") == "tensor([3.5000, 3.7500])"
    assert sharing.pictures == 2


def test_5_a_share_of_a_trained_network_stays_and_the_average_comes(sharing):
    assert sharing.seen("refused").startswith("Refused: this is a sum of shares of alice alone")
    largest = float(re.search(r"no number has changed by more than (\d\.\d+)", sharing.seen("average"))[1])
    assert 0.01 < largest < 1


def test_5_a_share_in_a_round_is_a_seed(sharing):
    text = sharing.seen("traffic")
    numbers, down, up = (int(each.replace(",", "")) for each in re.findall(r" (\d[\d,]+) ", text)[:3])
    assert 4 * numbers < down < 4.2 * numbers
    assert 8 * numbers < up < 8.2 * numbers
    assert "In the sum: alice, bob, carol\n" in text


# 6. Zero-sum masks


@pytest.fixture
def masks(executed) -> Executed:
    return executed("06_zero_sum_masks")


def test_6_masks_cancel_and_two_agree_on_one(masks):
    told = [int(each) for each in re.findall(r"tells +(\d+)", masks.seen("masked"))]
    assert sum(told) % 100 == 49
    assert masks.seen("masked").endswith("together: 49\n")
    bobs, carols = re.findall(r"[0-9a-f]{64}", masks.seen("agree"))
    assert bobs == carols
    assert masks.seen("line").endswith("together: 20\n")


def test_6_a_sum_without_carol_is_the_average_of_the_others(masks):
    assert "in the sum: alice, bob, dave - missing: {'carol': 'it has vanished'}" in masks.seen("simulate")
    assert float(re.search(r"plain average: (\S+)\n", masks.seen("compare"))[1]) < 1e-6


def test_6_additive_and_masked_rounds_cost_the_coordinator_the_same(masks):
    sent = re.findall(r"([\d,]+) bytes sent", masks.seen("traffic"))
    additive, masked = (int(each.replace(",", "")) for each in sent)
    assert additive < masked < 1.1 * additive


def test_6_a_round_goes_on_without_a_worker_that_was_killed(masks):
    text = masks.seen("unplug")
    assert "in the sum: alice, bob, carol\nmissing: dave, worker dave at " in text
    before = float(re.search(r"accuracy: ([\d.]+)%", masks.seen("rounds"))[1])
    after = float(re.search(r"of the others: ([\d.]+)%", masks.seen("evaluate"))[1])
    assert before > 15 and after > before


# 7. Is it good enough?


@pytest.fixture
def good_enough(executed) -> Executed:
    return executed("07_is_it_good_enough")


def test_7_counts_add_up_and_have_intervals(good_enough):
    rows = [tuple(map(int, each)) for each in re.findall(r": (\d+) of (\d+) right", good_enough.seen("counts"))]
    assert [sum(column) for column in zip(*rows[:2], strict=True)] == list(rows[2])
    value, low, high = map(
        float, re.search(r"^accuracy +([\d.]+)% \(([\d.]+)% to ([\d.]+)%\)", good_enough.seen("measures")).groups()
    )
    assert low < value < high
    assert value > 50
    assert re.fullmatch(r"(\d+ \w+ names were taken for \w+\n){5}", good_enough.seen("mixed-up"))
    assert good_enough.pictures == 5


def test_7_the_gate_holds_the_untrained_network_back_and_releases_the_trained_one(good_enough):
    reasons = good_enough.seen("gate").splitlines()
    assert reasons[0] == "Not released: 0 rounds of training, and 3 are asked for"
    assert len(reasons) == 4
    assert good_enough.seen("release") == "{'alice': 1, 'bob': 1}\n"
    assert good_enough.seen("predict").startswith("version 1, accuracy ")
    assert re.search(r"> Kowalczyk\n\(-\d\.\d\d\) Polish\n", good_enough.seen("predict"))


def test_7_with_nine_languages_each_they_gain_the_other_nine(good_enough):
    alone, together = re.findall(
        r"alone ([\d.]+)% of its own names, together ([\d.]+)%", good_enough.seen("train-unequal")
    )[0]
    assert float(alone) > float(together) > 40
    alone, _, together, equal = map(float, re.findall(r"([\d.]+)%", good_enough.seen("everybody")))
    assert alone < 50 < together < equal + 5


# 8. Try to steal a name


@pytest.fixture
def attacked(executed) -> Executed:
    return executed("08_try_to_steal_a_name")


def outcomes(text: str) -> dict[str, str]:
    """What came of each attack, by its name."""
    return dict(re.findall(r"^(\w+) +((?:GOT IT|refused).*)$", text, re.MULTILINE))


def test_8_an_open_worker_gives_everything_away(attacked):
    came_of = outcomes(attacked.seen("try-open"))
    assert len(came_of) == 8
    assert [attack for attack, came in came_of.items() if came == "GOT IT: Meitner"] == [
        "ask_for_the_names",
        "ask_for_a_copy",
        "hide_them_in_a_sum",
        "pour_them_into_my_tensor",
    ]


def test_8_under_teach_every_attack_is_refused_by_its_rule_but_the_crafted_sum(attacked, all_names):
    rules = [came.removeprefix("refused, rule ") for came in outcomes(attacked.seen("try-teach")).values()]
    assert rules == ["private", "private", "private", "private", "send", "shares", "floor", "verb"]
    stolen = outcomes(attacked.seen("crafted"))["craft_a_sum"].removeprefix("GOT IT: ")
    known = {
        TUTORIAL.normalise(name) for file in all_names.glob("*.txt") for name in file.read_text("utf-8").split("\n")
    }
    assert stolen in known


def test_8_under_strict_no_pointer_is_taken_and_training_works(attacked):
    came_of = outcomes(attacked.seen("try-strict"))
    assert [attack for attack, came in came_of.items() if came != "refused, rule pointers"] == [
        "learn_from_a_single_name",
        "read_her_files",
    ]
    assert all(came.startswith("refused") for came in came_of.values()) and len(came_of) == 9
    assert float(re.search(r"after a round: ([\d.]+)%", attacked.seen("useful"))[1]) > 10


def test_8_the_audit_log_shows_the_attacks_and_that_no_name_has_left(attacked):
    text = attacked.seen("audit-log")
    for what, rule in (("pointer: message", "pointers"), ("fit", "floor"), ("call", "verb")):
        assert re.search(rf" {what} +\d+ times +refused +{rule}$", text, re.MULTILINE)
    left = re.findall(r"^(\w+) +to (\w+) +\d+ times, +([\d,]+) bytes$", attacked.seen("left"), re.MULTILINE)
    assert left[0][:2] == ("aggregate", "me") and 217_000 < int(left[0][2].replace(",", "")) < 220_000
    assert {verb for verb, _, _ in left} <= {"aggregate", "evaluate", "describe", "fit", "deliver"}
    assert sum(int(sent.replace(",", "")) for _, _, sent in left[1:]) < 10_000


# 9. Beyond the classroom


def test_9_what_flower_cuts_off_is_seen_and_refused(executed):
    notebook = executed("09_beyond_the_classroom")

    assert float(notebook.seen("cut-off").rsplit(" ", 1)[1]) < 1
    assert float(notebook.seen("not-cut-off").split("with these figures: ")[1].split()[0]) == pytest.approx(2.5)
    assert "Refused: trained on 10000 names, and this round takes 1000 at the most" in notebook.seen("refused")


def test_9_a_round_on_supernodes_ends_in_a_release(executed):
    told = executed("09_beyond_the_classroom").seen("supernodes")

    assert "1 round of" in told and "added up by secagg" in told
    assert "Released to every device as version 1." in told
