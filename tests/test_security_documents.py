"""The promises in SECURITY.md and docs/threat-model.md: each names a test, and there is one of that name."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
THREAT_MODEL = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", THREAT_MODEL)


def test_every_line_of_a_table_names_a_test():
    lines = [line for line in THREAT_MODEL.splitlines() if line.startswith("| ") and "---" not in line]
    promises = [line for line in lines if not line.endswith("the test |")]
    assert len(promises) > 20
    assert [line for line in promises if "::test_" not in line] == []


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED)))
def test_every_test_that_is_named_exists(file, test):
    assert re.search(rf"^\s*def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_way_to_report_a_hole_leads_to_the_threat_model():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "docs/threat-model.md" in text
    assert "private" in text
