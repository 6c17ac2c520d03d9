"""How many kinds of attacks are made under each policy: a test is a kind, however many variants it has."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
# The policies of the workers that a fixture is about.
POLICIES = {
    "anybody": {"teach", "strict", "open"},
    "whoever": {"teach", "strict"},
    "mallory": {"teach"},
    "lab": {"teach"},
    "strict_lab": {"strict"},
    "open_lab": {"open"},
    "without_certificates": {"teach", "open"},
}
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def kinds() -> Counter:
    """How many tests there are about workers under each policy. Beside another one, the fixture `lab` only helps."""
    found: Counter = Counter()
    for file in FOLDER.glob("test_*.py"):
        if file.name == "test_not_promised.py":
            continue
        for function in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                about = {each.arg for each in function.args.args} & POLICIES.keys()
                if len(about) > 1:
                    about -= {"lab"}
                found.update(set().union(*(POLICIES[each] for each in about)))
    return found


@pytest.mark.parametrize("policy", ["strict", "teach", "open"])
def test_at_least_forty_kinds_and_as_many_as_the_readme_says(policy):
    told = re.search(rf"\| `{policy}` \| (\d+) \|", README)
    assert told is not None
    assert kinds()[policy] == int(told[1])
    assert kinds()[policy] >= 40
