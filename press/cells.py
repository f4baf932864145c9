"""Notebooks as plain data: read, write, and the few questions that running, normalising and checking share."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from press import syntax
from wsss_lib.files import write_atomically

Notebook = Any
"""An ``nbformat`` notebook node (a dictionary with attributes)."""


MAX_BYTES = 100_000_000
"""A notebook beyond this size is not opened: it holds something else than a chapter."""
OURS: dict[str, tuple[type, ...]] = {"mirror": (str, list), "derives": (str, list), "wrong": (list,), "right": (list,)}
"""Cell metadata of this project that hold texts, and their types."""


def read(path: Path) -> Notebook:
    """Read a notebook as version 4.

    Raises:
        ValueError: The file is no notebook of format 4, or is damaged; the message says in one sentence what is wrong.
    """
    remedy = "open it in Jupyter and save it again"
    if not path.is_file():  # nor a pipe, which would wait for a writer
        fault = "it is no file" if os.path.lexists(path) else "there is no such file"
        raise ValueError(f"{path.name} is not a notebook ({fault}): name one that ends in .ipynb")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path.name} is not a notebook ({size / 1e6:.0f} MB): clear its outputs in Jupyter")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        fault = _fault(json.loads(text))
    except UnicodeDecodeError as error:
        fault = f"it is not UTF-8, from byte {error.start} on"
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError as well
        fault = f"it is not JSON: {error}"
    if fault:
        raise ValueError(f"{path.name} is not a notebook ({fault}): {remedy}")
    return nbformat.v4.reads(text)


def _fault(data: Any) -> str:
    """What keeps data from being a notebook; empty where nothing does. Ids may be absent: normalising gives them."""
    if not isinstance(data, dict):
        return f"it holds a {type(data).__name__}, expected an object with cells"
    if data.get("nbformat") != 4:
        return f"its format is {data.get('nbformat')!r}, expected 4"
    if not isinstance(data.get("cells"), list) or not all(isinstance(cell, dict) for cell in data["cells"]):
        return "its cells are no list of objects"
    bare = [{name: value for name, value in cell.items() if name != "id"} for cell in data["cells"]]
    try:
        nbformat.validate({**data, "cells": bare, "nbformat_minor": 4}, version=4, version_minor=4)
        json.dumps(data, ensure_ascii=False).encode()
    except (nbformat.ValidationError, TypeError) as error:  # nbformat stumbles over a cell_type that is no text
        return " ".join(str(error).split())[:200]
    except UnicodeEncodeError:
        return "it holds half a character (a lone surrogate)"
    for place, cell in enumerate(data["cells"], 1):
        if not isinstance(cell.get("id", ""), str):
            return f"cell {place} has the id {cell['id']!r}, expected text"
        for name, types in OURS.items():
            value = cell["metadata"].get(name, "" if str in types else [])
            if not isinstance(value, types) or not all(isinstance(part, str) for part in value):
                return f"cell {place} has {name} = {value!r}, expected text"
        for output in cell.get("outputs", []):
            for mime, about in output.get("metadata", {}).items():
                if mime.startswith("image/") and not (
                    isinstance(about, dict) and isinstance(about.get("alt", ""), str)
                ):
                    return f"cell {place} says {about!r} about its picture, expected its alternative text"
    return ""


def write(notebook: Notebook, path: Path) -> None:
    """Write a notebook with a fixed layout (indent 1, no escaped letters, one final newline), atomically."""
    write_atomically(path, dumps(notebook))


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
    """A cell's source as Python: magics and commands of the shell become calls, as in the kernel."""
    return TransformerManager().transform_cell(source)


def parse(source: str) -> ast.Module:
    """The cell's syntax tree; an empty one where it is not Python: the style check and the kernel say so."""
    try:
        return ast.parse(python(source))
    except SyntaxError:
        return ast.Module([], [])


def code(cell: Any) -> str:
    """What the cell's code does, without comments; the source where it is not Python."""
    try:
        return syntax.code(python(cell.source))
    except SyntaxError:
        return str(cell.source)


def errors(notebook: Notebook) -> Iterator[tuple[str, str]]:
    """Error outputs, in cells and in saved widget state, as (where, what) pairs.

    papermill and nbclient look at cells only; an exception inside ``@interact`` sits in the widget state of its
    Output widget, and the run passes.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                yield label(notebook, cell), f"{output.ename}: {output.evalue}"
    for output in _failed(notebook.metadata.get("widgets")):
        yield "a widget's callback", f"{output.get('ename')}: {output.get('evalue')}"


def _failed(node: Any) -> Iterator[dict[str, Any]]:
    """Error outputs anywhere in saved state, whose format nobody promises."""
    if isinstance(node, dict) and node.get("output_type") == "error":
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _failed(child)
