"""The page a figure is drawn on: the book's style, an empty canvas, and the way into a notebook."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from wsss_lib.figures.contents import content
from wsss_lib.figures.lettering import complete

Array = Tensor | NDArray[Any] | Sequence[Any]

STYLE = Path(__file__).parent.with_name("book.mplstyle")
WIDTH = 6.4
"""Inches: what a phone still shows readably (see ``book.mplstyle``)."""
DPI = 100
"""Pixels per inch of what :func:`show` displays: sharp at the width of the book's text column."""


@contextmanager
def style() -> Iterator[None]:
    """Draw in the book's style inside the ``with`` block; outside, the reader's own settings stand."""
    with matplotlib.style.context(STYLE):
        yield


def canvas(rows: int = 1, columns: int = 1, *, size: tuple[float, float] | None = None) -> tuple[Figure, Any]:
    """An empty figure in the book's style and its axes, shaped as ``plt.subplots`` shapes them.

    pyplot does not know the figure, so a notebook cannot show it a second time without its alternative text.

    Args:
        rows: Rows of axes.
        columns: Columns of axes.
        size: Width and height in inches; default 6.4 wide. Beyond 7.5 the text is too small on a phone.

    Returns:
        The figure; one ``Axes``, or an array of them.
    """
    with style():
        fig = Figure(figsize=size or (WIDTH, 3.6 * rows if columns == 1 else WIDTH / columns * rows))
        return fig, fig.subplots(rows, columns)


NO_DESCRIPTION = re.compile(
    r"\.(png|svg|jpe?g|gif|webp|pdf)\b|[0-9a-f]{16,}|^<Figure size|\bTODO\b|\bFIXME\b|^alt(ernative)? text\b", re.I
)
"""What stands in an alternative text that nobody wrote."""


def check_alt(alt: str) -> str:
    """The text without stray white space, if it can stand in for a figure.

    Raises:
        ValueError: Fewer than three different words, or a file name, a hash, a default or a promise among them.
    """
    text = " ".join(str(alt).split())
    words = {word.casefold() for word in re.findall(r"[^\W\d_]{2,}|\b[aAI]\b", text)}
    if len(words) < 3 or NO_DESCRIPTION.search(text):
        raise ValueError(f"alt={alt!r} does not describe the figure: say in a sentence or two what a reader would see")
    return text


def png(fig: Figure, *, dpi: int = DPI) -> bytes:
    """The figure as PNG: the same bytes for the same figure (no date, no version inside).

    Charts are stored with 256 colours, a third of the size; pictures keep all theirs.
    """
    buffer = io.BytesIO()
    complete(fig)
    with style():
        fig.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.08)  # no title is cut off
    picture = Image.open(buffer).convert("RGB")  # nothing shows through the opaque ground
    if not any(ax.images for ax in fig.axes):
        picture = picture.quantize(256)
    packed = io.BytesIO()
    picture.save(packed, format="PNG", optimize=True)
    return packed.getvalue()


def show(fig: Figure, alt: str, *, dpi: int = DPI) -> None:
    """Display a figure in a notebook together with its alternative text, and close it.

    The text goes into the output's metadata, where the book's builder finds it. The plain-text output is its first
    sentence only, so that stored outputs stay comparable while numbers in later sentences move by a digit.
    What the figure shows lies beside it (:func:`wsss_lib.figures.content`), for comparing machines.

    Args:
        fig: The figure.
        alt: What a reader who cannot see it should know: what is drawn, and what it shows.
        dpi: Pixels per inch.

    Raises:
        ValueError: The text does not describe anything (see :func:`check_alt`).
        RuntimeError: Not in a notebook.
    """
    text = check_alt(alt)
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        raise RuntimeError("show() needs a running notebook: in a script, write fig.savefig('figure.png') instead")
    from IPython.display import display

    first = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
    bundle = {"image/png": png(fig, dpi=dpi), "text/plain": f"Figure: {first}"}
    with style():
        about = {"alt": text, "shows": content(fig)}
    display(bundle, raw=True, metadata={"image/png": about})
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(fig)


def to_numpy(values: Array) -> NDArray[Any]:
    """Tensor, array or nested list as an array; a tensor is detached and copied to the CPU."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values)
