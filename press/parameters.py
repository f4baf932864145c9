"""A chapter's parameters: read from its cell tagged ``parameters``, checked before anything runs, put in memory.

papermill alone prints a notice and exits 0 on a misspelt name or a missing tag, and then runs the defaults.
"""

from __future__ import annotations

import ast
import copy
import difflib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from press import cells
from wsss_lib.experiments.profiles import PROFILES

NAMES = ("profile", "seed", "data", "backbone", "device", "out_dir")
"""The parameters of every chapter, in this order."""

PATHS = ("data", "backbone", "out_dir")
"""Those that may name a file or folder; a relative one is meant from where the command is typed."""


class ParameterError(Exception):
    """A parameter is unknown, mistyped or undeclared; nothing has run."""


def cell(notebook: cells.Notebook, name: str) -> Any:
    """The one cell tagged ``parameters``.

    Raises:
        ParameterError: There is none, or more than one.
    """
    tagged = [c for c in notebook.cells if c.cell_type == "code" and "parameters" in cells.tags(c)]
    if len(tagged) != 1:
        raise ParameterError(
            f"{name} has {len(tagged) or 'no'} cell{'s' if len(tagged) > 1 else ''} tagged 'parameters', expected one: "
            "tag the cell that sets " + ", ".join(NAMES)
        )
    return tagged[0]


def declared(notebook: cells.Notebook, name: str) -> dict[str, Any]:
    """Names and default values of a chapter's parameters, in order.

    Raises:
        ParameterError: No such cell, or it holds more than ``name = literal`` lines.
    """
    defaults = {}
    for key, value in _assignments(notebook, name):
        try:
            defaults[key] = ast.literal_eval(value)
        except ValueError as error:
            raise ParameterError(f"{name}: the default of {key!r} is not a literal: write it out") from error
    return defaults


def resolve(notebook: cells.Notebook, name: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Values of the given parameters, in the types that the chapter's defaults have.

    Args:
        notebook: The chapter.
        name: Its name, for messages.
        given: Texts from the command line by parameter name.

    Raises:
        ParameterError: An unknown name or a value of the wrong type.
    """
    defaults = declared(notebook, name)
    values = {}
    for key, text in given.items():
        if key not in defaults:
            near = difflib.get_close_matches(key, defaults, 1)
            hint = f"did you mean {near[0]!r}?" if near else "use one of these."
            raise ParameterError(f"{name} has no parameter {key!r}; it takes {', '.join(defaults)}: {hint}")
        values[key] = _convert(name, key, text, defaults[key])
    if values.get("profile", "book") not in PROFILES:
        raise ParameterError(f"profile is {values['profile']!r}, expected one of {', '.join(PROFILES)}")
    return values


def inject(notebook: cells.Notebook, name: str, values: Mapping[str, Any]) -> cells.Notebook:
    """A copy of the notebook whose parameters cell holds the values, layout and comments kept.

    Raises:
        ParameterError: As :func:`declared`, or a value has no parameter.
    """
    unknown = set(values) - set(declared(notebook, name))
    if unknown:
        raise ParameterError(f"{name} has no parameter {', '.join(sorted(unknown))}: see its parameters cell")
    result = copy.deepcopy(notebook)
    text = cell(result, name).source.encode()
    starts = [0, *itertools.accumulate(map(len, text.splitlines(keepends=True)))]
    for key, value in reversed(list(_assignments(result, name))):  # from the end, so that earlier offsets stay right
        if key in values:
            new = json.dumps(values[key], ensure_ascii=False) if isinstance(values[key], str) else repr(values[key])
            begin = starts[value.lineno - 1] + value.col_offset
            end = starts[value.end_lineno - 1] + value.end_col_offset
            text = text[:begin] + new.encode() + text[end:]
    cell(result, name).source = text.decode()
    return result


def absolute(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The values with relative paths made absolute: a chapter runs in an empty folder, the user typed elsewhere.

    ``out_dir`` is always a path; ``data`` and ``backbone`` are when they contain a slash and exist, otherwise they
    name a data set or an architecture.
    """
    result = dict(values)
    for key in PATHS:
        value = result.get(key)
        if isinstance(value, str) and value:
            path = folder / Path(value).expanduser()
            if key == "out_dir" or ("/" in value.replace("\\", "/") and path.exists()):
                result[key] = str(path.resolve())
    return result


def from_arguments(items: Sequence[str]) -> dict[str, str]:
    """``["seed=1", "data=pets"]`` as a dictionary.

    Raises:
        ParameterError: An item without ``=``, or a name given twice.
    """
    given: dict[str, str] = {}
    for item in items:
        key, sign, value = item.partition("=")
        if not sign or not key.isidentifier():
            raise ParameterError(f"-p {item!r} was given, expected name=value, for example -p seed=1")
        if key in given:
            raise ParameterError(f"-p {key}=… was given twice: keep one")
        given[key] = value
    return given


def _assignments(notebook: cells.Notebook, name: str) -> Iterator[tuple[str, Any]]:
    """Names and the expressions that are assigned to them."""
    for statement in cells.parse(cell(notebook, name).source).body or [None]:
        match statement:
            case ast.Assign(targets=[ast.Name(id=key)], value=value):
                yield key, value
            case ast.AnnAssign(target=ast.Name(id=key), value=ast.expr() as value):
                yield key, value
            case _:
                remedy = "move the rest out"
                raise ParameterError(f"{name}: the parameters cell may hold `name = literal` lines only: {remedy}")


def _convert(name: str, key: str, text: str, default: Any) -> Any:
    """A parameter is a text or a whole number; ``wsss check`` refuses a default of another type."""
    if isinstance(default, str):
        if not text and default:
            raise ParameterError(f"{name}: {key} is empty: give a value like -p {key}={default}, or leave it out")
        return text
    try:
        return int(text)
    except ValueError as error:
        raise ParameterError(
            f"{name}: {key}={text:.80} is not of type int, which its default {default!r} has: "
            f"give a value like -p {key}={default}"
        ) from error
