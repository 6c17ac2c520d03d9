"""Rounds of real workers, each killed (kill -9) at a random point: not one sum may be wrong, and none may hang.

    python -m tests.faults.run [--points 100] [--seed 1]

Writes artifacts/faults/summary.json:

    kill_points      how many rounds were run, one kill in each
    finished         rounds whose sum was the contributors' mean, to the last place of the fixed point
    aborted_cleanly  rounds that ended with an error that names the killed worker and a step, forgotten by the others
    aborted_otherwise, wrong_sums, hangs   what must not be
    longest_seconds  the longest round
    seed, points     what was drawn: for each point its description, how the round ended, and in how many seconds
"""

from __future__ import annotations

# First, because it has PySyft repaired when that is imported.
import pisyft  # noqa: F401

# isort: split
import argparse
import json
import random
import secrets
import sys
import tempfile
from collections import Counter
from pathlib import Path

import syft
import torch

from pisyft.learning.names import read_folder, write_folder
from tests.faults.classroom import Classroom, KillPoint, Outcome, draw

ROOT = Path(__file__).resolve().parents[2]
WORKERS = ["alice", "bob", "carol", "dave"]
NAMES_PER_LANGUAGE = 40
LANGUAGES = ("Czech", "Italian", "Japanese", "Polish")


def judge(classroom: Classroom, point: KillPoint, outcome: Outcome) -> str:
    """What to count a round as."""
    if outcome.kind != "aborted":
        return {"finished": "finished", "wrong sum": "wrong_sums", "hang": "hangs"}[outcome.kind]
    assert outcome.aborted is not None
    names_both = point.victim in outcome.text and f"step {outcome.aborted.step!r}" in outcome.text
    clean = names_both and not classroom.keeps_a_part_of(outcome.aborted.round)
    return "aborted_cleanly" if clean else "aborted_otherwise"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "faults")
    options = parser.parse_args()
    generator = random.Random(options.seed)
    print(f"{options.points} kill points, seed {options.seed}", flush=True)

    told = []
    with tempfile.TemporaryDirectory() as folder:
        names = read_folder(ROOT / "data" / "names")
        chosen = {language: names[language][:NAMES_PER_LANGUAGE] for language in LANGUAGES}
        write_folder(chosen, Path(folder) / "names")
        with Classroom(Path(folder) / "names", WORKERS, Path(folder) / "classroom") as classroom:
            federation = classroom.connect(syft.TorchHook(torch))
            for number in range(1, options.points + 1):
                point = draw(generator, WORKERS)
                outcome = classroom.run_round(federation, point.protocol, point)
                kind = judge(classroom, point, outcome)
                print(f"{number:4} {point}\n     {kind} in {outcome.seconds:.1f} s: {outcome.text}", flush=True)
                told.append({"point": str(point), "ended": kind, "seconds": round(outcome.seconds, 2)})
                if kind == "hangs":
                    break  # its thread is still there
                classroom.restart_the_killed()

    counts = Counter(each["ended"] for each in told)
    summary = {
        "kill_points": len(told),
        **{key: counts[key] for key in ("finished", "aborted_cleanly", "aborted_otherwise", "wrong_sums", "hangs")},
        "longest_seconds": max(each["seconds"] for each in told),
        "seed": options.seed,
        "points": told,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print({key: value for key, value in summary.items() if key != "points"})
    return 1 if counts["aborted_otherwise"] or counts["wrong_sums"] or counts["hangs"] else 0


if __name__ == "__main__":
    sys.exit(main())
