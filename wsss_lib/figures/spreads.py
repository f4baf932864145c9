"""Rows of dots: a few numbers each, group by group, on one scale."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from wsss_lib.figures.page import WIDTH, style

_MARKERS = "osD^vPX"


def dots(
    groups: Mapping[str, Mapping[str, Sequence[float]]], *, metric: str, ceiling: str = "", order: str = ""
) -> tuple[Figure, str]:
    """Mean ± standard deviation of each row, a panel a group, all on the scale from zero to one.

    Args:
        groups: By title of the panel, by name of the row, one value a seed. The first row stands on top.
        metric: What is measured.
        ceiling: What reaches one: a solid line marks it; nothing where nothing does.
        order: By what the rows of each panel are ordered, for the axis and the text.

    Returns:
        The figure, and a text that gives each row's mean.

    Raises:
        ValueError: No group, or one without a row.
    """
    if not groups or not all(groups.values()):
        raise ValueError("a group has no rows: pass at least one group, and at least one row of values in each")
    counts = [len(rows) for rows in groups.values()]
    with style():
        fig = Figure(figsize=(WIDTH, 0.9 + 0.34 * sum(counts) + 0.5 * len(counts)))
        axes = fig.subplots(
            len(counts), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": [n + 0.6 for n in counts]}
        )[:, 0]
        colours = [f"C{index}" for index in range(len(counts))]
        for index, (ax, (title, rows)) in enumerate(zip(axes, groups.items(), strict=True)):
            for at, values in enumerate(rows.values()):
                mean, sd = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
                ax.plot([mean - sd, mean + sd], [at, at], "-", color=colours[index], linewidth=5, alpha=0.35)
                ax.plot(list(values), [at] * len(values), "|", color=colours[index], markersize=9)
                ax.plot(mean, at, _MARKERS[index % len(_MARKERS)], color=colours[index], markersize=7)
            if ceiling:
                ax.axvline(1, color="#1A1A1A", linewidth=1.2)
            ax.set_yticks(range(len(rows)), list(rows))
            ax.set(ylim=(len(rows) - 0.4, -0.6), xlim=(0, None))
            ax.set_title(title, loc="left")
        number = max(len(values) for rows in groups.values() for values in rows.values())
        notes = [f"marks: {number} seeds; band: ± 1 s.d."] if number > 1 else []
        notes += [f"line: {ceiling}"] if ceiling else []
        axes[-1].set_xlabel("\n".join([metric, *([f"({'; '.join(notes)})"] if notes else [])]))
    text = f"Dots of {metric} in {len(groups)} panel{'s' if len(groups) > 1 else ''}"
    text += f", in each from top to bottom by {order}." if order else "."
    for title, rows in groups.items():
        means = ", ".join(f"{name} {statistics.fmean(values):.2f}" for name, values in rows.items())
        text += f" {title}: {means}."
    return fig, text
