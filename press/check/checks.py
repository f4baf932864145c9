"""``wsss check``: what a stored chapter must be. One small function a check; each yields what is wrong.

A check takes a :class:`Chapter` and yields :class:`Problem`: the cell, what was expected, what to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from press import cells, first_cell, parameters
from press.chapter import Chapter, Problem
from press.check import markup
from press.normalise import normalise

MAX_BYTES = 1_500_000
MAX_LINES = 40

_TOPS = "home|root|Users|tmp|work|content|mnt|opt|usr|var|private|data|scratch|kaggle|nfs|media|workspace|Volumes|srv"
PLACE = re.compile(
    rf"(?<![\w.:/…])(?:/(?:{_TOPS})/[^\s\"'<>]+|[A-Za-z]:[\\/]{{1,2}}\w+|~/\w[^\s\"'<>]*)|file://+[^\s\"'<>]+"
)
SITE = re.compile(r"\b(?:site-packages|dist-packages)[/\\][^\s\"'<>]*")
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
TIME = re.compile(
    r"\b\d+(?:\.\d+)?(?: ?(?:ms|µs|us|sec|secs|seconds?|min|minutes?|hours?)\b| s\b|s/it\b| ?it/s\b)"
    r"|\b\d+\.\d+s\b|\b\d+m ?\d+s\b|\b\d?\d:\d\d:\d\d\b|\b\d\d:\d\d<|(?<!\d)\d+%\|"
    rf"|\b20\d\d-\d\d-\d\d(?!\d)|\b\d?\d[./]\d?\d[./]20\d\d\b|\b\d?\d\.? {_MONTH} 20\d\d\b|\b{_MONTH} \d?\d, 20\d\d\b"
)
TRACEBACK = "Traceback (most recent call last)"
EMBEDDED = re.compile(r"[A-Za-z0-9+/]{120,}={0,2}")
"""Pictures and other files inside HTML, as base64."""


Check = Callable[[Chapter], Iterator[Problem]]


def normalised(chapter: Chapter) -> Iterator[Problem]:
    """The file is as the normaliser writes it; `wsss check --fix` makes it so."""
    if cells.dumps(normalise(chapter.notebook)) != chapter.path.read_text(encoding="utf-8"):
        yield chapter.problem(None, "is not normalised: run `wsss check --fix`")


def executed(chapter: Chapter) -> Iterator[Problem]:
    """No cell, and nothing that a cell called, has failed."""
    for where, what in cells.errors(chapter.notebook):
        yield Problem(f"{chapter.name}, {where}", f"stores an error ({what}): mend it and run `wsss run --in-place`")
    for cell in chapter.code:
        if TRACEBACK in _output_text(cell):
            message = "prints a traceback, so something in it failed (a callback?) and the run went on"
            yield chapter.problem(cell, f"{message}: mend it, or catch the error and print its message")


def size(chapter: Chapter) -> Iterator[Problem]:
    """The file stays small enough to open on Colab and to diff."""
    bytes_ = chapter.path.stat().st_size
    if bytes_ > MAX_BYTES:
        largest = max(chapter.code, key=lambda cell: len(str(cell.outputs)))
        message = f"is {bytes_ / 1e6:.2f} MB, expected at most {MAX_BYTES / 1e6} MB"
        yield chapter.problem(None, f"{message}: make the figures of {cells.label(chapter.notebook, largest)} smaller")


def parameters_cell(chapter: Chapter) -> Iterator[Problem]:
    """One cell tagged ``parameters`` with exactly the common names, in their order, and the profile ``book``."""
    try:
        declared = parameters.declared(chapter.notebook, chapter.name)
    except parameters.ParameterError as error:
        yield chapter.problem(None, str(error))
        return
    cell = parameters.cell(chapter.notebook, chapter.name)
    if tuple(declared) != parameters.NAMES:
        yield chapter.problem(cell, f"sets {', '.join(declared)}, expected exactly {', '.join(parameters.NAMES)}")
    elif type(declared["seed"]) is not int or not all(type(v) is str for k, v in declared.items() if k != "seed"):
        yield chapter.problem(
            cell, "sets a value of another type: expected a whole number for seed, texts for the rest"
        )
    elif declared["profile"] != "book":
        yield chapter.problem(
            cell, f"stores profile {declared['profile']!r}, expected 'book', whose outputs are stored"
        )


def bootstrap_cell(chapter: Chapter) -> Iterator[Problem]:
    """The first code cell is the generated one, with its tags."""
    if not chapter.code:
        yield chapter.problem(None, "has no code cell, expected the bootstrap cell first: run `wsss check --fix`")
        return
    first = chapter.code[0]
    if first.source != first_cell.source(chapter.name) or sorted(cells.tags(first)) != sorted(first_cell.TAGS):
        yield chapter.problem(first, "is not the bootstrap cell that every chapter begins with: run `wsss check --fix`")


def alt_text(chapter: Chapter) -> Iterator[Problem]:
    """Every image of an output says in words what it shows; of those in the text the built page is asked."""
    for cell in chapter.code:
        for output in cell.outputs:
            data = output.get("data", {})
            for mime in (m for m in data if m.startswith("image/")):
                alt = output.get("metadata", {}).get(mime, {}).get("alt", "")
                if not is_description(alt):
                    remedy = "show it with wsss_lib.figures.show(fig, alt=…)"
                    yield chapter.problem(cell, f"has an image whose alternative text is {alt!r}: {remedy}")
            html = "".join(data.get("text/html", ""))
            for alt in (markup.attribute(tag, "alt") or "" for tag in markup.tags(html, "img")):
                if not is_description(alt):
                    yield chapter.problem(cell, f"has an <img> whose alt is {alt!r}: describe what it shows")


def is_description(alt: str) -> bool:
    """Whether a text can stand in for a figure, by the library's own rule."""
    from wsss_lib.figures import check_alt

    try:
        return bool(check_alt(alt))
    except ValueError:
        return False


def tags_known(chapter: Chapter) -> Iterator[Problem]:
    """No tag that one tool honours and another ignores."""
    for cell in chapter.notebook.cells:
        if "raises-exception" in cells.tags(cell):
            yield chapter.problem(
                cell, "is tagged raises-exception, at which papermill stops: catch it with try/except"
            )


def places_and_times(chapter: Chapter) -> Iterator[Problem]:
    """Outputs name no place of this machine, and no time unless nbval is told to ignore the cell."""
    for cell in chapter.code:
        text = _output_text(cell)
        match = PLACE.search(text) or SITE.search(text)
        if match:
            yield chapter.problem(cell, f"prints a path of this machine ({match.group()[:60]}): print its name only")
        match = TIME.search(re.sub(r"<[^<>]*>", " ", text))
        if match and "nbval-ignore-output" not in cells.tags(cell):
            message = f"prints a time or a date ({match.group()}), which differs at each run"
            yield chapter.problem(cell, f"{message}: leave it out, or tag the cell nbval-ignore-output")


def controls(chapter: Chapter) -> Iterator[Problem]:
    """Nothing that shows in a live kernel only: a widget needs an HTML twin for the page."""
    for cell in chapter.code:
        for output in cell.outputs:
            data = output.get("data", {})
            if "application/vnd.jupyter.widget-view+json" in data and "text/html" not in data:
                message = "shows a widget, which is invisible in the page: use wsss_lib.explore, or close it"
                yield chapter.problem(cell, message)


def cell_length(chapter: Chapter) -> Iterator[Problem]:
    """A code cell that a page shows holds one idea: at most forty lines."""
    for cell in chapter.code:
        lines = len(cell.source.splitlines())
        if lines > MAX_LINES and not {"hide-input", "hide-cell"} & set(cells.tags(cell)):
            yield chapter.problem(cell, f"has {lines} lines, expected at most {MAX_LINES}: split it")


def fix(chapter: Chapter) -> bool:
    """Put the bootstrap cell in place and normalise the file; returns whether anything changed."""
    notebook = chapter.notebook
    first = next(iter(chapter.code), None)
    if first is None or "begin(" not in first.source:
        place = notebook.cells.index(first) if first is not None else len(notebook.cells)
        first = cells.nbformat.v4.new_code_cell(id="bootstrap")
        notebook.cells.insert(place, first)
    first.source, first.metadata["tags"] = first_cell.source(chapter.name), list(first_cell.TAGS)
    result = normalise(notebook)
    before = chapter.path.read_text(encoding="utf-8")
    cells.write(result, chapter.path)
    return cells.dumps(result) != before


def _output_text(cell: Any) -> str:
    """What the cell's outputs say; of HTML neither styles nor scripts nor files within."""
    parts = []
    for output in cell.outputs:
        parts.append("".join(output.get("text", "")))
        for mime in ("text/plain", "text/markdown", "text/latex", "text/html", "image/svg+xml"):
            text = "".join(output.get("data", {}).get(mime, ""))
            parts.append(EMBEDDED.sub(" ", markup.split(text, "style|script")[0]))
    return "\n".join(parts)


CHECKS: Sequence[Check] = (
    normalised,
    executed,
    size,
    parameters_cell,
    bootstrap_cell,
    alt_text,
    tags_known,
    places_and_times,
    controls,
    cell_length,
)
"""The checks of one chapter's form; :mod:`press.check.drift` adds those of its code."""
