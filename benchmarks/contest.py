"""Competitors on the same input, in turn, several rounds, and a record of them: what every benchmark here does."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from wsss_lib.experiments import results

Contest = dict[str, Callable[[], Any]]


def measure(contest: Contest, rounds: int) -> dict[str, list[float]]:
    """Processor seconds of every competitor in every round, after one call of ours that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contest}
    next(iter(contest.values()))()
    for number in range(rounds):
        # Backwards every other round, so that no one always follows the same neighbour.
        for name in list(contest)[:: 1 if number % 2 == 0 else -1]:
            start = time.process_time()
            contest[name]()
            seconds[name].append(time.process_time() - start)
    return seconds


def compare(seconds: dict[str, list[float]], ours: str, images: int) -> dict[str, dict[str, Any]]:
    """For each competitor the median over the rounds of its time over ours, and the smallest and largest."""
    rows = {}
    for name, times in seconds.items():
        ratios = [other / mine for other, mine in zip(times, seconds[ours], strict=True)]
        rows[name] = {
            "times_ours": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
            "milliseconds_an_image": 1000 * statistics.median(times) / images,
        }
    return rows


def table(rows: dict[str, Any]) -> str:
    """The ratios of rows with a ``speed``, as Markdown."""
    peers = list(dict.fromkeys(peer for row in rows.values() for peer in row["speed"] if peer != "ours"))
    lines = ["| time / ours | " + " | ".join(peers) + " |", "|:--|" + "--:|" * len(peers)]
    for name, row in rows.items():
        ratios = [row["speed"][p]["times_ours"] if p in row["speed"] else None for p in peers]
        cells = ["–" if r is None else f"{r:.0f}" if r >= 10 else f"{r:.1f}" for r in ratios]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def record(name: str, data: dict[str, Any], *, command: str, fingerprint: str, note: str) -> None:
    """Keep what a benchmark measured on seed 0 under ``results``, and say where (see :func:`results.record`)."""
    path = results.record(name, data, command=command, fingerprint=fingerprint, seeds=[0], note=note)
    print(f"\nrecorded in {path.parent.name}/{path.name}")
