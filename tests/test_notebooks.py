"""The notebooks, executed in a real Jupyter kernel from top to bottom, and what a learner then sees."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers import processes_about

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def seen(cell) -> str:
    """The text that a cell printed or returned."""
    texts = []
    for output in cell.outputs:
        texts.append(output.get("text", "") or output.get("data", {}).get("text/plain", ""))
    return "".join(texts)


@pytest.fixture(scope="module")
def temporary_folder(tmp_path_factory) -> Path:
    """Where the notebook's lab puts its folder, so that its processes can be told from those of other tests."""
    return tmp_path_factory.mktemp("of-the-notebook")


@pytest.fixture(scope="module")
def federated_rnn(temporary_folder):
    """The tutorial's notebook, executed."""
    notebook = nbformat.read(NOTEBOOKS / "01_federated_rnn.ipynb", as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    client.execute(env={**os.environ, "TMPDIR": str(temporary_folder)})
    return notebook


def cell_with(notebook, text: str):
    """The one code cell that contains a text."""
    found = [cell for cell in notebook.cells if cell.cell_type == "code" and text in cell.source]
    assert len(found) == 1, f"{len(found)} cells contain {text!r}"
    return found[0]


def test_it_starts_two_workers_with_names_of_their_own(federated_rnn):
    text = seen(cell_with(federated_rnn, 'call("describe")'))
    assert re.search(r"alice trains on 1\d\d\d names of 18 languages, \d+ held out\n", text)
    assert re.search(r"bob trains on 1\d\d\d names of 18 languages", text)


def test_it_shows_a_pointer_not_the_names(federated_rnn):
    assert "PointerTensor" in seen(cell_with(federated_rnn, "letters = alice.search"))


@pytest.mark.parametrize("asked_for", ["letters.get()", "vector_of_alice.get()", "share.get()"])
def test_the_worker_refuses_names_its_own_model_and_a_share(federated_rnn, asked_for):
    assert seen(cell_with(federated_rnn, asked_for)).startswith("Refused: ")


def test_the_shares_lie_with_both_workers(federated_rnn):
    text = seen(cell_with(federated_rnn, "shared_by_alice ="))
    assert "AdditiveSharingTensor" in text
    assert "-> alice:" in text
    assert "-> bob:" in text


def test_it_learns(federated_rnn):
    text = seen(cell_with(federated_rnn, "guessing at random"))
    accuracy = float(re.search(r"together ([\d.]+)%", text)[1])
    assert accuracy > 20


def test_it_draws_two_pictures(federated_rnn):
    pictures = [
        output
        for cell in federated_rnn.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 2


def test_it_predicts_in_the_tutorials_form(federated_rnn):
    text = seen(cell_with(federated_rnn, "> {name}"))
    assert re.search(r"> Qing\n(\(-\d+\.\d\d\) \w+\n){3}", text)


def test_it_releases_the_model_to_both(federated_rnn):
    assert "{'alice': 1, 'bob': 1}" in seen(cell_with(federated_rnn, "good_enough("))


def test_it_warns_of_nothing_and_leaves_neither_worker_nor_folder(federated_rnn, temporary_folder):
    for cell in federated_rnn.cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", output["text"]
    assert processes_about(temporary_folder) == []
    assert list(temporary_folder.glob("pisyft-lab-*")) == []


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


def test_the_average_of_both_is_numbers(federated_rnn):
    text = seen(cell_with(federated_rnn, "average = (shared_by_alice + shared_by_bob)"))
    assert re.match(r"tensor\(\[ ?-?\d\.\d{4}", text)
