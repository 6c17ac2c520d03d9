"""What the tests share: PySyft's hook, a small folder of names, and workers that run."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

# First, because it has PySyft repaired when that is imported.
import pisyft  # noqa: F401

# isort: split
import pytest
import syft
import torch
from hypothesis import HealthCheck, settings

from pisyft.lab import Lab
from pisyft.transport import WebsocketClientWorker

# A shell that is no terminal starts what is in the background (`make test &`) with Ctrl-C ignored, and every process
# that a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests share the machine with worker processes, which use a thread each.
torch.set_num_threads(1)

# Machines are slow and shared: no example has to be quick.
settings.register_profile("pisyft", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pisyft")

# Before any test makes a tensor: PyTorch is hooked once in a process, and stays so.
_HOOK = syft.TorchHook(torch)

REPOSITORY = Path(__file__).parents[1]
LANGUAGES = ("Czech", "Italian", "Japanese", "Polish")
NAMES_PER_LANGUAGE = 100


@pytest.fixture(scope="session")
def hook() -> syft.TorchHook:
    """The TorchHook of the whole test process. There is no other: take this one wherever a hook is asked for."""
    return _HOOK


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Configuration and data of the user who runs the tests stay as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session")
def all_names() -> Path:
    """The names that come with the project: `data/names`, 18 languages. To be read only."""
    return REPOSITORY / "data" / "names"


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The surnames of PyTorch's tutorial, which are not part of this project."""
    folder = Path(os.environ.get("PISYFT_CORPUS", REPOSITORY.parent / "shared" / "names"))
    if not folder.is_dir():
        pytest.skip("the tutorial's corpus is not here: set PISYFT_CORPUS to a folder with its 18 files")
    return folder


@pytest.fixture(scope="session")
def names_folder(all_names: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 100 names of each of four languages (Czech, Italian, Japanese, Polish), taken from data/names.

    Enough for two workers, each of which then trains on 140 names, chooses by 20 and tests on 40. All tests share it,
    so that none may change it: copy it first (`shutil.copytree(names_folder, tmp_path / "names")`).
    """
    folder = tmp_path_factory.mktemp("four-languages") / "names"
    folder.mkdir()
    for language in LANGUAGES:
        names = (all_names / f"{language}.txt").read_text(encoding="utf-8").splitlines()
        chosen = names[:: len(names) // NAMES_PER_LANGUAGE][:NAMES_PER_LANGUAGE]
        (folder / f"{language}.txt").write_text("".join(f"{name}\n" for name in chosen), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def lab(names_folder: Path) -> Iterator[Lab]:
    """A running lab with the workers alice and bob on `names_folder`, for the whole test session.

    All tests share it, and in any order: a test may train, share and release, but a test that stops or kills a worker,
    or that counts released versions from nothing, starts a `Lab` of its own.
    """
    with Lab(names_folder, ["alice", "bob"]) as lab:
        yield lab


@pytest.fixture
def workers(lab: Lab, hook: syft.TorchHook) -> Iterator[list[WebsocketClientWorker]]:
    """Alice and bob of `lab`, connected for one test: `alice, bob = workers`. The connections are closed afterwards."""
    connected: list[WebsocketClientWorker] = []
    try:
        for worker, (host, port) in lab.addresses.items():
            connected.append(WebsocketClientWorker(hook, host, port, id=worker))
        yield connected
    finally:
        for worker in connected:
            worker.close()
