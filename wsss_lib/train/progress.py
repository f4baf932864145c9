"""How a run shows its progress: a bar for people who wait, lines for notebooks that are stored."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Literal, get_args

from wsss_lib.train.config import Plan
from wsss_lib.train.history import History

Style = Literal["auto", "bar", "lines", "none"]


def in_notebook() -> bool:
    """Whether a Jupyter kernel, Colab's included, runs this code."""
    ipython = sys.modules.get("IPython")  # not imported: then there is no kernel either
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def choose(style: Style) -> Style:
    """What ``"auto"`` means here: lines in a notebook, a bar in a terminal, nothing in a log file.

    Raises:
        ValueError: An unknown style.
    """
    if style not in get_args(Style):
        raise ValueError(f"progress is {style!r}: choose one of {', '.join(get_args(Style))}")
    if style != "auto":
        return style
    return "lines" if in_notebook() else "bar" if sys.stderr.isatty() else "none"


def epoch_line(history: History, epoch: int, epochs: int) -> str:
    """``epoch 2/8  loss 0.412  validation iou 0.503``: numbers that do not change from run to run, and no times."""
    means = {"loss": history.epoch_means()[epoch - 1]}
    if len(history.terms) > 1:
        means |= {name: history.epoch_means(values)[epoch - 1] for name, values in history.terms.items()}
    text = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
    for metrics in history.metrics:
        if metrics["epoch"] == epoch:
            shown = [f"{name} {value:.3f}" for name, value in metrics.items() if name not in ("epoch", "step")]
            text += "  ".join(["", "validation " + shown[0], *shown[1:]]) if shown else ""
    return f"epoch {epoch}/{epochs}  {text}"


class Progress:
    """Shows a run in one of the styles. A resumed one prints the lines of its earlier epochs too, so that a notebook's
    output is that of the unbroken run.

    Args:
        style: See :func:`choose`; give ``"none"`` to all but the main process.
        plan: The run.
        history: The run so far.
    """

    def __init__(self, style: Style, plan: Plan, history: History) -> None:
        self.style, self.plan, self.history = choose(style), plan, history
        self.bar = None
        if self.style == "bar":
            from tqdm import tqdm

            self.bar = tqdm(
                total=plan.images_before(plan.steps),
                initial=plan.images_before(len(history)),
                unit=" images",
                file=sys.stderr,
                dynamic_ncols=True,
            )
        done = plan.epochs if len(history) == plan.steps else len(history) // plan.steps_per_epoch
        for epoch in range(1, done + 1):
            self.epoch(epoch)

    def step(self, loss: float, images: int) -> None:
        """An update is done."""
        if self.bar is not None:
            self.bar.set_description(f"epoch {self.history.epochs}/{self.plan.epochs}", refresh=False)
            self.bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            self.bar.update(images)

    def epoch(self, epoch: int) -> None:
        """An epoch (1-based) is done, validation included."""
        if self.style == "lines":
            print(epoch_line(self.history, epoch, self.plan.epochs), flush=True)

    def close(self) -> None:
        """The run is over, one way or the other."""
        if self.bar is not None:
            self.bar.close()


def as_metrics(values: Mapping[str, float], epoch: int, step: int) -> dict[str, float]:
    """What ``validate`` returned as the history keeps it.

    Raises:
        TypeError: It is not a dictionary of numbers.
    """
    if not isinstance(values, Mapping):
        raise TypeError(
            f"validate returned {type(values).__name__}, expected a dictionary of numbers: return {{'iou': …}}"
        )
    return {"epoch": epoch, "step": step, **{name: float(value) for name, value in values.items()}}
