"""Curves with their spread, and the tables of numbers behind them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wsss_lib.figures.page import Array, canvas, style, to_numpy

_MARKERS = "osD^vPX"
_PADDING = "padding:.25em .8em"


def threshold_curve(
    curves: Sequence[Array],
    labels: Sequence[str],
    *,
    thresholds: Array,
    chosen: float | Sequence[float] | None = None,
    metric: str = "mIoU",
) -> tuple[Figure, str]:
    """A score over the threshold, one curve a method, as mean ± standard deviation over seeds.

    Args:
        curves: Each (T,), or (S, T) with one row a seed.
        labels: One a curve.
        thresholds: (T,) where the curves were measured.
        chosen: The threshold in use, one for all or one a curve (chosen on another split than the curve's): marked.
        metric: Name of the score.

    Returns:
        The figure, and a text that gives each curve's maximum and its value at the chosen threshold.

    Raises:
        ValueError: Lengths that do not agree.
    """
    x = to_numpy(thresholds)
    if len(curves) != len(labels):
        raise ValueError(f"{len(curves)} curves but {len(labels)} labels: pass one label per curve")
    picks = list(chosen) if isinstance(chosen, Sequence) else [chosen] * len(labels)
    if len(picks) != len(labels):
        raise ValueError(f"{len(picks)} chosen thresholds for {len(labels)} curves: pass one, or one per curve")
    fig, ax = canvas()
    series = {label: _spread(curve, label) for label, curve in zip(labels, curves, strict=True)}
    colours = _lines(ax, x, series, markers=min(8, len(x)))
    text = f"Curves of {metric} over the threshold for {_listed(labels)}."
    with style():
        for label, pick in zip(labels, picks, strict=True):
            mean = series[label][0]
            best = int(np.nanargmax(mean))
            text += f" {label}: at most {mean[best]:.2f}, at threshold {x[best]:.2f}"
            if pick is not None:
                value = float(np.interp(pick, x, mean))
                ax.plot([pick, pick], [0, value], color=colours[label], linestyle=(0, (1, 2)), linewidth=1.4)
                ax.plot(pick, value, "*", color=colours[label], markersize=15, markeredgecolor="#1A1A1A", zorder=5)
                text += f"; {value:.2f} at the chosen {pick:.2f}"
            text += "."
        star = "star: the one in use" if chosen is not None else ""
        ax.set(xlabel=_explained("threshold", star, _band(series.values(), curves)), ylabel=metric)
        ax.set(xlim=(x.min(), x.max()), ylim=(0, None))
    return fig, text


def dial_curves(
    x: Array, curves: Mapping[str, Any], *, dial: str = "dial", metric: str = "IoU", ticks: Sequence[str] | None = None
) -> tuple[Figure, str]:
    """How a score answers to a dial of the world, one curve a method, as mean ± standard deviation.

    Args:
        x: (T,) settings of the dial.
        curves: ``{"CAM": (mean, sd)}``, each (T,); or ``{"CAM": values}``, (T,) or (S, T) with one row a seed.
        dial: Name of the dial.
        metric: Name of the score.
        ticks: Words to write at the settings instead of the numbers.

    Returns:
        The figure, and a text that gives each curve's value at both ends of the dial.
    """
    settings = to_numpy(x)
    fig, ax = canvas()
    series = {label: _spread(curve, label) for label, curve in curves.items()}
    _lines(ax, settings, series, markers=len(settings))
    text = f"Curves of {metric} over {dial} for {_listed(list(series))}."
    first, last = (ticks[0], ticks[-1]) if ticks else (f"{settings[0]:g}", f"{settings[-1]:g}")
    for label, (mean, _) in series.items():
        text += f" {label}: {mean[0]:.2f} at {first}, {mean[-1]:.2f} at {last}."
    with style():
        ax.set(xlabel=_explained(dial, _band(series.values(), list(curves.values()))), ylabel=metric)
        if ticks:
            ax.set_xticks(settings, list(ticks))
    return fig, text


def loss_curve(history: Any, *, log: bool = False) -> tuple[Figure, str]:
    """The losses of a training run over its updates: each update thin, their running mean (1/20 of the run) thick.

    Args:
        history: What ``wsss_lib.train.fit`` returns, or ``{"classification": values, …}``, one value an update.
        log: Whether the losses are drawn on a logarithmic scale; below about a hundredth of the largest it is linear,
            down to zero, where a loss falls to zero.

    Returns:
        The figure, and a text that gives the running mean of each loss at the start and at the end.

    Raises:
        ValueError: No update was recorded.
    """
    losses = _losses(history)
    count = len(next(iter(losses.values())))
    window = max(1, count // 20)
    means = {name: np.convolve(values, np.ones(window) / window, mode="valid") for name, values in losses.items()}
    fig, ax = canvas()
    middles = np.arange(1, count - window + 2) + (window - 1) / 2
    colours = _lines(ax, middles, {name: (values, None) for name, values in means.items()}, markers=6)
    with style():
        for name, values in losses.items() if window > 1 else ():
            ax.plot(np.arange(1, count + 1), values, "-", color=colours[name], linewidth=0.6, alpha=0.4, zorder=1)
        ax.set(xlabel=_explained("update", f"thin: each update; thick: mean of {window}" * (window > 1)), ylabel="loss")
        if log:
            largest = max(float(np.nanmax(v)) for v in means.values()) or 1.0  # or all are zero
            smallest = min((float(v[v > 0].min()) for v in means.values() if (v > 0).any()), default=largest)
            lowest = max(smallest / 2, 1e-4 * largest)
            if any((v == 0).any() for v in means.values()):
                # A loss that comes and goes around zero moves by decades, from machine to machine as well.
                linear = 10.0 ** np.round(np.log10(largest / 100))
                ax.set_yscale("symlog", linthresh=linear)
                ax.set(ylim=(0, None), ylabel=f"loss (below {linear:g}: linear)")
            else:
                ax.set_yscale("log")
                ax.set_ylim(bottom=lowest)  # a single update may fall below it
        else:
            ax.set_ylim(bottom=min(0.0, *(float(np.nanmin(v)) for v in losses.values())))
    ends = [f"{name} {values[0]:.2f} to {values[-1]:.2f}" for name, values in means.items()]
    names = _listed(list(losses))
    return fig, f"Training curves of {names} over the updates. From start to end: {'; '.join(ends)}."


_TAG = re.compile(r"<(?=[A-Za-z/!?])")
"""What begins a tag; a sign of less than stays."""


class Table(str):
    """Markdown text of a table that a notebook shows as a real one, with caption and header cells."""

    caption: str
    header: list[str]
    cells: list[list[str]]

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        # Styles within the tags: a notebook on Colab has none of the book's.
        def row(kind: str, first: str, rest: list[str]) -> str:
            tag = "th" if kind == "col" else "td"
            scope = ' scope="col"' if kind == "col" else ""
            others = "".join(f'<{tag}{scope} style="{_PADDING};text-align:right">{escape(c)}</{tag}>' for c in rest)
            return f'<tr><th scope="{kind}" style="{_PADDING};text-align:left">{escape(first)}</th>{others}</tr>'

        top = "caption-side:top;color:inherit;text-align:left;font-style:italic"
        caption = f'<caption style="{top}">{escape(self.caption)}</caption>' if self.caption else ""
        head = row("col", self.header[0], self.header[1:])
        body = "".join(row("row", first, rest) for first, *rest in self.cells)
        return f'<table class="numbers">{caption}<thead>{head}</thead><tbody>{body}</tbody></table>'


def table(rows: Sequence[Mapping[str, Any]], *, caption: str = "", digits: int = 2) -> Table:
    """The numbers behind a plot, for readers who cannot see it: as the last line of a cell it is shown as a table.

    Args:
        rows: One mapping a row, all with the same keys; the first key names the row. A pair ``(mean, sd)`` is written
            as mean ± sd, None as a dash.
        caption: What the table is about.
        digits: Decimals of floats. Two: learned numbers differ in the third from machine to machine.

    Returns:
        Markdown text; Jupyter shows it as HTML with header cells.

    Raises:
        ValueError: No rows, or rows with different keys.
    """
    if not rows:
        raise ValueError("no rows: pass at least one mapping from column to value")
    header = list(rows[0])
    odd = next((index for index, row in enumerate(rows) if list(row) != header), None)
    if odd is not None:
        raise ValueError(f"row {odd} has the columns {list(rows[odd])}, the first row {header}: give all the same")
    cells = [[_cell(row[name], digits) for name in header] for row in rows]
    lines = [[str(name) for name in header], [":--"] + ["--:"] * (len(header) - 1), *cells]
    text = "\n".join("| " + " | ".join(_in_markdown(c).replace("|", "\\|") for c in line) + " |" for line in lines)
    result = Table(f"{_in_markdown(caption)}\n\n{text}" if caption else text)
    result.caption, result.header, result.cells = caption, lines[0], cells
    return result


def _in_markdown(words: str) -> str:
    """Words in one line, in which nothing begins a tag of HTML."""
    return _TAG.sub("&lt;", " ".join(words.splitlines()))


def _cell(value: Any, digits: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, tuple) and len(value) == 2:
        return f"{_cell(value[0], digits)} ± {_cell(value[1], digits)}"
    number = value.item() if hasattr(value, "item") else value
    return f"{number:z.{digits}f}" if isinstance(number, float) else str(number)


def _spread(values: Any, label: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Mean and standard deviation of a curve given as (mean, sd), (T,) or (S, T)."""
    if isinstance(values, tuple) and len(values) == 2:
        mean, sd = to_numpy(values[0]), None if values[1] is None else to_numpy(values[1])
    else:
        array = to_numpy(values).astype(float)
        many = array.ndim == 2
        # n - 1: the seeds are a sample of all seeds.
        mean = array.mean(axis=0) if many else array
        sd = array.std(axis=0, ddof=1) if many and len(array) > 1 else None
    if mean.ndim != 1 or (sd is not None and sd.shape != mean.shape):
        raise ValueError(f"curve {label!r} has shape {mean.shape}: expected (T,), (S, T) or a pair (mean, sd) of (T,)")
    return mean, sd


def _lines(ax: Axes, x: NDArray[Any], series: Mapping[str, Any], *, markers: int) -> dict[str, Any]:
    """Draw each series with its own colour, dashes and marker, its band between two thin lines of those dashes."""
    colours = {}
    with style():
        for index, (label, (mean, sd)) in enumerate(series.items()):
            if len(mean) != len(x):
                raise ValueError(
                    f"curve {label!r} has {len(mean)} values for {len(x)} places on the axis: give one each"
                )
            every = max(1, round(len(x) / max(1, markers)))
            # Staggered, so that the markers of curves that lie on one another stay apart.
            offset = index * every // max(1, len(series))
            line = ax.plot(x, mean, marker=_MARKERS[index % len(_MARKERS)], markevery=(offset, every), label=label)[0]
            colours[label] = line.get_color()
            if sd is not None:
                ax.fill_between(x, mean - sd, mean + sd, color=line.get_color(), alpha=0.16, linewidth=0)
                for edge in (mean - sd, mean + sd):
                    ax.plot(x, edge, color=line.get_color(), linestyle=line.get_linestyle(), linewidth=0.7, alpha=0.8)
        if len(series) > 1:
            ax.figure.legend(loc="outside upper left", ncols=min(3, len(series)))  # above the axes: it hides no curve
        elif series:
            ax.set_title(next(iter(series)))
    return colours


def _band(series: Iterable[tuple[Any, Any]], given: Sequence[Any]) -> str:
    """What the bands of some curves mean; nothing where there is none."""
    if all(sd is None for _, sd in series):
        return ""
    arrays = [to_numpy(values) for values in given if not isinstance(values, tuple)]
    counts = {len(array) for array in arrays if array.ndim == 2}
    return "band: ± 1 s.d." + (f" over {counts.pop()} seeds" if len(counts) == 1 else "")


def _explained(label: str, *notes: str) -> str:
    """The label of an axis, and under it what the marks of the figure mean."""
    shown = "; ".join(note for note in notes if note)
    return f"{label}\n({shown})" if shown else label


def _losses(history: Any) -> dict[str, NDArray[Any]]:
    """Each loss of a mapping; of a run's history its sum, and the terms where there are several."""
    if isinstance(history, Mapping):
        losses = dict(history)
    else:
        losses = (
            {"sum": history.loss, **history.terms}
            if len(history.terms) > 1
            else history.terms or {"loss": history.loss}
        )
    arrays = {str(name): to_numpy(values).astype(float) for name, values in losses.items()}
    if not arrays or min(len(values) for values in arrays.values()) == 0:
        raise ValueError("the history holds no update: train for at least one before drawing it")
    return arrays


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
