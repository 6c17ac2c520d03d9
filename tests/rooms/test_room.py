"""A small classroom on a Wi-Fi of its own: found, trained, and one Pi gone for a while."""

import pytest

from tests.rooms.access_point import AccessPoint, cannot
from tests.rooms.run import hold


def test_pis_are_found_by_their_ids_and_one_that_was_unplugged_is_part_of_the_run_again(tmp_path):
    if reason := cannot():
        pytest.skip(f"no rooms here: {reason}")
    with AccessPoint() as wifi:
        summary = hold(wifi, tmp_path, ["pi-1", "pi-2", "pi-3"], rounds=3)

    assert summary["found"] == 3
    assert (summary["aggregation"], summary["rounds"]) == ("additive", 3)
    assert summary["without_unplugged"] >= 1 and summary["with_replugged"] >= 1
    assert summary["lost"] > 0
