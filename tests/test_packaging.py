"""What is installed with the project: setup.py and requirements/."""

import json

import pytest
from packaging.requirements import Requirement

from pisyft.compat import requirements
from tests.conftest import REPOSITORY
from tests.helpers import run_python

SETUP = """
import json, runpy, sys, setuptools
setuptools.setup = lambda **keywords: json.dump(keywords, sys.stdout)
runpy.run_path(sys.argv[1])
"""

PLATFORMS = pytest.mark.parametrize(("machine", "pinned"), [("x86_64", "2.13.0"), ("aarch64", "2.9.1")])


def pins(file: str) -> list[Requirement]:
    lines = (REPOSITORY / "requirements" / file).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def on(machine: str, listed: list[Requirement]) -> list[Requirement]:
    """The requirements that hold on a machine."""
    return [each for each in listed if each.marker is None or each.marker.evaluate({"platform_machine": machine})]


@pytest.fixture(scope="module")
def keywords() -> dict:
    """What setup.py hands to setuptools."""
    done = run_python("-c", SETUP, REPOSITORY / "setup.py")
    if "No module named 'setuptools'" in done.stderr:
        pytest.skip("setuptools is not installed here")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@PLATFORMS
def test_torch_is_pinned_to_the_version_that_runs_on_the_machine(machine, pinned):
    (torch,) = on(machine, pins("torch.txt"))

    assert str(torch.specifier) == f"=={pinned}"


@PLATFORMS
def test_a_plain_installation_takes_the_pinned_torch_and_no_later_one(keywords, machine, pinned):
    (torch,) = (
        each for each in on(machine, list(map(Requirement, keywords["install_requires"]))) if each.name == "torch"
    )

    assert torch.specifier.contains(pinned)
    assert torch.specifier.contains("2.6.0")
    assert not torch.specifier.contains("2.14.0")
    if machine == "aarch64":
        assert not torch.specifier.contains("2.10.0")  # dies with an illegal instruction on a Pi 3 or 4


def test_pysyfts_pins_are_the_ones_that_setup_installs():
    assert tuple(map(str, pins("pysyft.txt"))) == requirements.WITHOUT_DEPENDENCIES


def test_pysyft_is_no_dependency_since_its_own_do_not_install(keywords):
    every_extra = [name for names in keywords["extras_require"].values() for name in names]
    listed = {Requirement(each).name for each in keywords["install_requires"] + every_extra}

    assert listed.isdisjoint({"syft", "syft-proto"})


def test_the_package_its_command_and_its_extras(keywords):
    assert keywords["name"] == "pisyft"
    assert keywords["license"] == "Apache-2.0"
    assert keywords["entry_points"] == {"console_scripts": ["pisyft = pisyft.cli:main"]}
    assert set(keywords["extras_require"]) >= {"notebooks", "page", "docs", "dev"}
    assert Requirement(f"python{keywords['python_requires']}").specifier.contains("3.10")


def test_every_folder_of_code_is_a_package_and_data_that_is_promised_is_there(keywords):
    folders = {file.parent for file in (REPOSITORY / "pisyft").rglob("*.py")}

    assert set(keywords["packages"]) == {".".join(folder.relative_to(REPOSITORY).parts) for folder in folders}
    for package, files in keywords["package_data"].items():
        for file in files:
            assert (REPOSITORY / package.replace(".", "/") / file).is_file()
