"""The notebooks: how they are kept, and what a learner sees who runs them in a real Jupyter kernel, top to bottom."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from pisyft.lab import Lab
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
    assert [name[:2] for name in ALL] == [f"{number:02}" for number in range(1, len(ALL) + 1)]


# What every one does


@every_notebook
def test_it_warns_of_nothing_and_leaves_neither_worker_nor_folder(executed, name):
    notebook = executed(name)

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
