"""Does the code that readers build still equal the library's? Cells declare it, these checks hold them to it.

Cell metadata ``mirror: <qualified name>`` promises the same syntax tree (docstrings and annotations aside);
``derives: <qualified name>`` promises the same numbers, which a later cell asserts. A definition with a namesake in
the library must declare one of the two, and what the library says is "Built in chapter N" must be built there.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from press import cells, syntax
from press.chapter import Chapter, Problem

PACKAGE = "wsss_lib"
HELPERS = ("cli.", "experiments.studies.", "explore.", "pipeline.")
"""Rooms whose functions nobody rebuilds in a chapter."""
EQUALITY = ("assert_close", "assert_allclose", "assert_equal", "assert_array_equal")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def mirrors(chapter: Chapter) -> Iterator[Problem]:
    """A cell that declares ``mirror`` holds the library's code."""
    for cell in chapter.code:
        for name in _names(cell, "mirror"):
            theirs = find(name)
            if theirs is None:
                yield chapter.problem(cell, f"mirrors {name}, which the library does not have: correct the name")
                continue
            mine = next((d for d in reversed(definitions(cell)) if d.name == theirs.name), None)  # the last one counts
            if mine is None:
                yield chapter.problem(cell, f"declares mirror {name} but does not define {theirs.name}: define it")
            elif _bare(mine) != _bare(theirs):
                lines = zip_longest(_bare(mine), _bare(theirs), fillvalue="nothing")
                ours, library = next((a.strip()[:60], b.strip()[:60]) for a, b in lines if a != b)
                message = f"{theirs.name} is no longer the code of {name} (here `{ours}`, there `{library}`)"
                yield chapter.problem(cell, f"{message}: copy the library's code, or declare `derives` and assert")


def derivations(chapter: Chapter) -> Iterator[Problem]:
    """What a cell ``derives`` is asserted equal to the library's in a later cell."""
    for place, cell in enumerate(chapter.code):
        for name in _names(cell, "derives"):
            if find(name) is None:
                yield chapter.problem(cell, f"derives {name}, which the library does not have: correct the name")
                continue
            mine = {d.name for d in definitions(cell)}
            if not mine:
                yield chapter.problem(cell, f"declares derives {name} but defines nothing: move the declaration")
                continue
            if not any(proves(later, mine, _known_as(chapter, name)) for later in chapter.code[place + 1 :]):
                message = f"derives {name}, but no later cell asserts that {' or '.join(sorted(mine))} equals it"
                yield chapter.problem(cell, f"{message}: run both on the same input and assert equality")


def namesakes(chapter: Chapter) -> Iterator[Problem]:
    """A definition with a namesake in the library says how it relates to it."""
    public = {name.rpartition(".")[2]: name for name in reversed(_library())}  # of two, the first
    for cell in chapter.code:
        declared = {name.rsplit(".", 1)[-1] for kind in ("mirror", "derives") for name in _names(cell, kind)}
        for name in dict.fromkeys(_functions(cell)):
            twin = public.get(name)
            if twin and name not in declared and not name.startswith("_"):
                remedy = f"declare `mirror` or `derives: {twin}` in the cell's metadata, or choose another name"
                yield chapter.problem(cell, f"defines {name}, which the library has as {twin}: {remedy}")


def built_here(chapter: Chapter) -> Iterator[Problem]:
    """What the library's docstrings say is built in this chapter is built in this chapter."""
    number = int(chapter.name[:2])
    declared = {name for cell in chapter.code for kind in ("mirror", "derives") for name in _names(cell, kind)}
    for name in promised(number):
        if not any(d == name or d.startswith(f"{name}.") for d in declared):
            message = f"does not build {name}, whose docstring says 'Built in chapter {number}'"
            remedy = "build it in a cell that declares mirror or derives, or write 'Used in' in the docstring"
            yield chapter.problem(None, f"{message}: {remedy}")


def definitions(cell: Any) -> list[Definition]:
    """Functions and classes that a cell defines for the chapter; those in an ``if``, ``try`` or loop as well."""
    return [node for node in _own_scope(cell) if isinstance(node, Definition)]


def find(name: str) -> Definition | None:
    """The library's definition by qualified name, for example ``wsss_lib.maps.resize`` or ``….CAM.localize``."""
    try:
        value = pkgutil.resolve_name(name)
        source = inspect.getsource(value)
    except (ImportError, AttributeError, ValueError, TypeError, OSError):
        return None
    node = ast.parse(textwrap.dedent(source)).body[0]
    its_own = (getattr(value, "__module__", None) or "").partition(".")[0] == PACKAGE
    return node if its_own and isinstance(node, Definition) else None


def proves(cell: Any, mine: set[str], theirs: set[str]) -> bool:
    """Whether an assertion of the cell mentions the reader's version and the library's, directly or by variables.

    One that speaks of shapes does not count: equal shapes prove nothing.
    """
    nodes = list(ast.walk(cells.parse(cell.source)))
    made: dict[str, set[str]] = {}
    for node in nodes:
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.For)):
            value = node.iter if isinstance(node, ast.For) else node.value
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for name in _words(target):
                    made.setdefault(name, set()).update(_words(value) if value else ())
    for node in nodes:
        if isinstance(node, ast.Assert) or (isinstance(node, ast.Call) and getattr(node.func, "attr", "") in EQUALITY):
            words = _words(node)
            only_shapes = "shape" in words
            while more := {word for name in words & made.keys() for word in made[name]} - words:
                words |= more
            if mine & words and (theirs - made.keys()) & words and not only_shapes:
                return True
    return False


def promised(number: int) -> list[str]:
    """Qualified names of functions and classes whose docstring says ``Built in chapter <number>``."""
    says = re.compile(rf"Built in chapter\s+{number}\b")
    return [name for name, node in _library().items() if says.search(ast.get_docstring(node) or "")]


def _functions(cell: Any) -> Iterator[str]:
    """Names of what a cell defines, and names that it gives to functions without a ``def``."""
    for node in _own_scope(cell):
        if isinstance(node, Definition):
            yield node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
            called = ast.unparse(node.value.func) if isinstance(node.value, ast.Call) else ""
            if isinstance(node.value, ast.Lambda) or called.rpartition(".")[2] == "partial":
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                yield from (target.id for target in targets if isinstance(target, ast.Name))


def _own_scope(cell: Any) -> Iterator[ast.AST]:
    """A cell's nodes in order, but for the insides of functions and classes."""
    queue: list[ast.AST] = [cells.parse(cell.source)]
    while queue:
        node = queue.pop(0)
        yield node
        if not isinstance(node, Definition):
            queue = [*ast.iter_child_nodes(node), *queue]


def _bare(definition: Definition) -> list[str]:
    """What two definitions must share, by lines: no docstring, annotation or comment; decorators stay."""
    return ast.unparse(syntax.bare(ast.parse(ast.unparse(definition)))).splitlines()


def _words(node: ast.AST) -> set[str]:
    return set(re.findall(r"\w+", ast.unparse(node)))


def _known_as(chapter: Chapter, name: str) -> set[str]:
    """Names by which a chapter may call the library's object, or the class that holds it."""
    *_, holder, last = name.split(".")
    known = {last, holder} if holder[:1].isupper() else {last}
    source = "\n".join(cell.source for cell in chapter.code)
    return known | {alias for one in known for alias in re.findall(rf"\b{one} as (\w+)", source)}


def _names(cell: Any, kind: str) -> list[str]:
    value = cell.metadata.get(kind, [])
    return [value] if isinstance(value, str) else list(value)


@lru_cache(maxsize=1)
def _library() -> dict[str, Definition]:
    """Functions and classes by qualified name, those of helpers left out."""
    folder = Path(str(importlib.import_module(PACKAGE).__file__)).parent
    made = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if not ".".join(parts).startswith(HELPERS):
            module = ".".join(part for part in (PACKAGE, *parts) if part != "__init__")
            body = ast.parse(path.read_text(encoding="utf-8")).body
            made |= {f"{module}.{node.name}": node for node in body if isinstance(node, Definition)}
    return made


CHECKS = (mirrors, derivations, namesakes, built_here)
"""The checks of a chapter's code against the library."""
