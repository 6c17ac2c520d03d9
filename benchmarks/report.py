"""What a run of the benchmark leaves behind: summary.json, details.json, report.md and pictures."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

_STYLE: dict = {"font.size": 12, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 110}


@dataclass(frozen=True)
class Bar:
    """What a figure has to reach.

    Attributes:
        text: what it says.
        value: how much it has to be.
        is_limit: whether it must stay below, not above.
    """

    text: str
    value: float
    is_limit: bool = False

    def is_met_by(self, figure: float) -> bool:
        return figure <= self.value if self.is_limit else figure >= self.value


BARS = {
    "pointer_over_original": Bar("training by pointer, batch of one, over the original stack", 15),
    "pointer_5ms_over_original": Bar("the same with 5 ms of delay each way", 50),
    "waits_per_name": Bar("answers waited for, the loss read every 50 names", 0.2, is_limit=True),
    "bytes_over_original": Bar("bytes on the wire per name, over the original's", 0.125, is_limit=True),
    "batch32_over_batch1": Bar("by pointer, batches of 32 over batches of one", 10),
    "fit_over_plain": Bar("`fit` on a worker, over plain PyTorch in one process", 0.9),
    "round_overhead_ms": Bar("a round beyond the slower worker's own computation, ms", 60, is_limit=True),
    "ready_over_import_torch": Bar("a worker's start, over `import torch`", 2, is_limit=True),
    "worker_rss_mb": Bar("a worker's resident memory after a round, MB", 330, is_limit=True),
    "worker_rss_over_torch": Bar("the same, over a bare `import torch`", 1.25, is_limit=True),
    "rss_growth_mb_1000_rounds": Bar("how much a worker grows in 1,000 rounds of each kind, MB", 5, is_limit=True),
}


def write(
    out: Path, figures: Mapping[str, float | None], details: Mapping[str, Sequence[float]], has_original: bool
) -> None:
    """Write everything, and print the table."""
    facts = {
        "python": platform.python_version(),
        "torch": version("torch"),
        "syft": version("syft"),
        "machine": platform.machine(),
        "original_measured": has_original,
    }
    _write_json(out / "summary.json", {**{key: figures.get(key) for key in BARS}, **figures, **facts})
    _write_json(out / "details.json", details)
    for name, title, shown in _PICTURES:
        chosen = {label: details[label] for label in shown if label in details}
        if chosen:
            _picture(title, chosen).savefig(out / f"{name}.png")
    text = _report(figures, details, facts)
    (out / "report.md").write_text(text, encoding="utf-8")
    print(text)


_PICTURES = (
    (
        "pointers",
        "Training by pointer, names per second",
        (
            "original: names/s",
            "pointers, own names: names/s",
            "pointers: names/s",
            "pointers, own names, batch 32: names/s",
        ),
    ),
    ("delayed", "The same with 5 ms of delay each way", ("original, 5 ms: names/s", "pointers, 5 ms: names/s")),
    ("bytes", "Bytes on the wire per name", ("original: bytes/name", "pointers: bytes/name")),
    (
        "fit",
        "Training on the worker, names per second",
        ("plain PyTorch: names/s", "fit, teach: names/s", "fit: names/s"),
    ),
    ("round", "A round, milliseconds", ("its computation: ms", "round: ms")),
    ("start", "Seconds until ready", ("import torch: s", "worker ready, strict: s", "worker ready: s")),
)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _readable(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"


def _picture(title: str, measured: Mapping[str, Sequence[float]]) -> Figure:
    """A bar for the median of each, and a dot for each measurement."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8, 1.2 + 0.6 * len(measured)), layout="constrained")
        axes = figure.subplots()
        for row, values in enumerate(measured.values()):
            middle = statistics.median(values)
            axes.barh(row, middle, color="#56B4E9", height=0.6)
            axes.plot(values, [row] * len(values), ".", color="#0072B2")
            axes.annotate(f" {_readable(middle)}", (max(values), row), va="center")
        axes.set_yticks(range(len(measured)), [label.partition(":")[0] for label in measured])
        if max(map(max, measured.values())) > 20 * min(map(min, measured.values())):
            axes.set_xscale("log")
        axes.margins(x=0.12)
        axes.set_title(title, loc="left")
    return figure


def _report(
    figures: Mapping[str, float | None], details: Mapping[str, Sequence[float]], facts: Mapping[str, object]
) -> str:
    lines = ["# Benchmark", "", ", ".join(f"{name} {value}" for name, value in facts.items()), ""]
    if not facts["original_measured"]:
        lines += ["There was no Python 3.7, so that nothing could be compared with the original stack.", ""]
    lines += ["| figure | key | measured | bar | |", "| --- | --- | --- | --- | --- |"]
    for key, bar in BARS.items():
        figure = figures.get(key)
        verdict = "not measured" if figure is None else "met" if bar.is_met_by(figure) else "**missed**"
        wanted = f"at {'most' if bar.is_limit else 'least'} {bar.value:g}"
        lines.append(f"| {bar.text} | `{key}` | {'' if figure is None else figure} | {wanted} | {verdict} |")
    lines += ["", "| also measured | |", "| --- | --- |"]
    lines += [f"| `{key}` | {figure} |" for key, figure in figures.items() if key not in BARS]
    lines += ["", "| measurement | median | lowest | highest | turns |", "| --- | --- | --- | --- | --- |"]
    for label, values in details.items():
        numbers = (statistics.median(values), min(values), max(values))
        lines.append(f"| {label} | {' | '.join(_readable(number) for number in numbers)} | {len(values)} |")
    lines += [""] + [f"![{title}]({name}.png)" for name, title, shown in _PICTURES if set(shown) & set(details)]
    return "\n".join(lines) + "\n"
