"""Notebooks as plain data: read, write, and the few questions that running, normalising and checking share."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from press import syntax

Notebook = Any
"""An ``nbformat`` notebook node (a dictionary with attributes)."""


def read(path: Path) -> Notebook:
    """Read a notebook as version 4.

    Raises:
        ValueError: The file is not a notebook.
    """
    try:
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except (json.JSONDecodeError, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        message = f"{path.name} is not a notebook ({error}): open it in Jupyter and save it again"
        raise ValueError(message) from error


def write(notebook: Notebook, path: Path) -> None:
    """Write a notebook with a fixed layout (indent 1, no escaped letters, one final newline), atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(dumps(notebook), encoding="utf-8")
    partial.replace(path)


def dumps(notebook: Notebook) -> str:
    """The text that :func:`write` writes: long strings split into lines, so that a diff shows what changed."""
    return str(nbformat.writes(notebook, version=4)).rstrip("\n") + "\n"


def code_cells(notebook: Notebook) -> list[Any]:
    """The code cells in order, those without any source left out (a kernel skips them as well)."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def tags(cell: Any) -> list[str]:
    """The cell's tags."""
    return list(cell.metadata.get("tags", []))


def label(notebook: Notebook, cell: Any) -> str:
    """How messages name a cell: its place among all cells, its id, and its first line of text."""
    place = next(i for i, other in enumerate(notebook.cells) if other is cell) + 1
    first = next((line.strip() for line in cell.source.splitlines() if line.strip()), "empty")
    return f"cell {place} ({cell.get('id', 'no id')}: {first[:50]})"


def python(source: str) -> str:
    """A cell's source with IPython's magics blanked, so that Python can parse it; line numbers stay."""
    if source.lstrip().startswith("%%"):
        return ""
    return re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", source)


def parse(source: str) -> ast.Module | None:
    """The cell's syntax tree, or None where it is not Python (the kernel will say so)."""
    try:
        return ast.parse(python(source))
    except SyntaxError:
        return None


def code(cell: Any) -> str:
    """What the cell's code does, without comments; the source where it holds magics, which no syntax tree shows."""
    plain = parse(cell.source) is not None and python(cell.source) == cell.source
    return syntax.code(cell.source) if plain else str(cell.source).strip("\n")


def errors(notebook: Notebook) -> Iterator[tuple[str, str]]:
    """Error outputs, in cells and in saved widget state, as (where, what) pairs.

    papermill and nbclient look at cells only; an exception inside ``@interact`` sits in the widget state of its
    Output widget, and the run passes.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                yield label(notebook, cell), f"{output.ename}: {output.evalue}"
    for model in widget_state(notebook).values():
        for output in model.get("state", {}).get("outputs", None) or []:
            if isinstance(output, dict) and output.get("output_type") == "error":
                yield "a widget's callback", f"{output.get('ename')}: {output.get('evalue')}"


def widget_state(notebook: Notebook) -> dict[str, Any]:
    """Saved widget models by id; empty where there are none."""
    widgets = notebook.metadata.get("widgets", {})
    return dict(widgets.get("application/vnd.jupyter.widget-state+json", {}).get("state", {}))
