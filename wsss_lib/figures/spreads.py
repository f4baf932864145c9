"""Dots with their spread: rows of them group by group, and steps panel by panel, on one scale."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsss_lib.figures.page import WIDTH, Array, style, to_numpy

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


def climbs(
    panels: Mapping[str, Mapping[str, Array]],
    steps: Sequence[str],
    *,
    metric: str,
    top: tuple[str, Array] | None = None,
) -> tuple[Figure, str]:
    """Scores over the steps of a way, a panel a method: mean ± standard deviation, beside the means of the others.

    Curves with bands hide one another where there are many. Here each has a panel, and the others are thin lines in it.

    Args:
        panels: By title, by name of the variant, (S, T) with one row a seed; NaN where a step was not measured. The
            first variant is the method as it is, and stands in the other panels too. At most three variants.
        steps: T words, so short that six stand under half of the figure's width.
        metric: What is measured.
        top: Name and values (S, T) of what bounds all of them, in every panel; NaN where it has no value.

    Returns:
        The figure, and a text that gives each variant's mean at each step.

    Raises:
        ValueError: No panel, or values that have not one column a step.
    """
    means, spreads = {}, {}
    for title, own in panels.items():
        for name, values in own.items():
            means[title, name], spreads[title, name] = _over_seeds(values, name, len(steps))
    if not means:
        raise ValueError("panels is empty, expected at least one method with its values: pass one")
    variants: Sequence[str] = max((list(each) for each in panels.values()), key=len)
    if len(variants) > len(_OFFSETS):
        raise ValueError(f"{len(variants)} variants in a panel, expected at most {len(_OFFSETS)}: make more panels")
    ceiling = _over_seeds(top[1], top[0], len(steps))[0] if top else np.full(len(steps), np.nan)
    with style():
        down = (len(panels) + 2) // 2  # one place is left for the legend
        fig = Figure(figsize=(WIDTH, 2.2 * down))
        axes = fig.subplots(down, 2, sharex=True, sharey=True, squeeze=False).flatten()
        at = np.arange(len(steps))
        for ax, (title, own) in zip(axes, panels.items(), strict=False):
            for other, theirs in panels.items():
                if other != title:
                    _through(ax, at, means[other, next(iter(theirs))], color="#9A9A94", linewidth=0.9)
            ax.plot(at, ceiling, "_", color="#1A1A1A", markersize=18, markeredgewidth=2)
            for index, name in enumerate(own):
                mean, sd = means[title, name], spreads[title, name]
                places, colour = at + _OFFSETS[index], f"C{index}"
                _through(ax, places, mean, color=colour, linewidth=1.4, linestyle="--" if index else "-")
                for x, middle, half in zip(places, mean, sd, strict=True):
                    ax.plot([x, x], [middle - half, middle + half], "-", color=colour, linewidth=4, alpha=0.4)
                filled = "none" if index else colour
                ax.plot(places, mean, _MARKERS[index], color=colour, markerfacecolor=filled, linestyle="none")
            ax.set_title(title)
            ax.set_xticks(at, list(steps), fontsize=10)
            ax.tick_params(labelbottom=True)
            ax.set_xlim(-0.6, len(steps) - 0.4)
        for ax in axes[0::2]:
            ax.set_ylabel(metric)
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        _legend(axes[-1], variants, top[0] if top else "", several=len(panels) > 1)
    text = f"Dots of {metric} at {', '.join(word.replace(chr(10), ' ') for word in steps)}, in {len(panels)} panels."
    known = {name: mean for (_, name), mean in means.items()} | ({top[0]: ceiling} if top else {})
    for name, mean in known.items():
        text += f" {name}: {', '.join('–' if np.isnan(value) else f'{value:.2f}' for value in mean)}."
    return fig, text


_OFFSETS = (-0.12, 0.16, 0.34)


def _over_seeds(values: Array, name: str, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and sample standard deviation (T,) of values (S, T)."""
    array = to_numpy(values).astype(float)
    if array.ndim != 2 or array.shape[1] != count:
        raise ValueError(f"{name!r} has shape {array.shape}, expected (seeds, {count}): one column a step")
    return array.mean(axis=0), array.std(axis=0, ddof=1) if len(array) > 1 else np.zeros(count)


def _through(ax: Axes, x: NDArray[Any], mean: NDArray[Any], **look: Any) -> None:
    """A line through the points that are known."""
    known = ~np.isnan(mean)
    ax.plot(x[known], mean[known], zorder=1.5, **({"linestyle": "-"} | look))


def _legend(ax: Axes, variants: Sequence[str], top: str, *, several: bool) -> None:
    """What the marks mean, in a panel of its own."""
    words = ["as it is", *(name.partition(" ")[2] or name for name in variants[1:])]
    for index, word in enumerate(words):
        look: dict[str, Any] = {"markerfacecolor": "none", "linestyle": "--"} if index else {"linestyle": "-"}
        ax.plot([], [], marker=_MARKERS[index], color=f"C{index}", label=f"{word} (bar: ± 1 s.d.)", **look)
    if several:
        ax.plot([], [], "-", color="#9A9A94", linewidth=0.9, label="the other methods")
    if top:
        ax.plot([], [], "_", color="#1A1A1A", markersize=18, markeredgewidth=2, label=top)
    ax.legend(loc="center", frameon=False)
