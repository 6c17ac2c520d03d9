"""What PiSyft says of the versions that it finds, before anything is imported."""

import warnings
from importlib import metadata

import pytest

from pisyft.compat import PySyftMissing, requirements


@pytest.fixture
def installed(monkeypatch):
    """Sets which distributions are installed, in which versions."""
    versions = {"syft": "0.2.9", "syft-proto": "0.5.3", "torch": "2.9.1"}

    def version(name):
        if versions[name] is None:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)
    return versions


def test_nothing_is_said_of_what_was_tested(installed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        requirements.check()
        requirements.warn_of_untested_torch()


@pytest.mark.parametrize(("distribution", "version"), [("syft", None), ("syft", "0.10.0"), ("syft-proto", None)])
def test_pysyft_missing_names_the_next_step(installed, distribution, version):
    installed[distribution] = version
    with pytest.raises(PySyftMissing, match="pisyft setup"):
        requirements.check()


def test_a_newer_torch_warns_in_one_line(installed):
    installed["torch"] = "2.14.0+cpu"
    with pytest.warns(UserWarning) as warned:
        requirements.warn_of_untested_torch()
    assert len(warned) == 1 and "2.14.0" in str(warned[0].message) and "\n" not in str(warned[0].message)
