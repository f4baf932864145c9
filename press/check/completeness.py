"""Is a stored chapter whole: no parameter overruled, nothing that only a click would run, nothing made and lost?

papermill passes a notebook whose later cell overwrites the parameter that was given, and every runner a button's
callback that nobody has pressed.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
import symtable
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from press import cells, parameters
from press.chapter import Chapter, Problem

DEFERRED = {"on_click", "on_submit", "observe", "interact", "interactive", "interactive_output", "interact_manual"}
"""What gives a control a function that a click calls."""

SHOWN = {"table", "honest_table", "differences", "photographs", "published"}
SHOWN |= {"curtain", "flow", "predict", "steps", "threshold"}
"""What returns something that Jupyter shows only as a cell's last expression."""


def parameters_kept(chapter: Chapter) -> Iterator[Problem]:
    """No later cell overwrites a parameter, which would make `wsss run -p` do nothing."""
    for cell in chapter.code:
        if "parameters" in cells.tags(cell):
            continue
        bound = {name for statement in cells.parse(cell.source).body for name in _replaced(statement)}
        for name in sorted(bound & set(parameters.NAMES)):
            message = f"overwrites the parameter {name}, so that `wsss run -p {name}=…` would change nothing"
            yield chapter.problem(cell, f"{message}: choose another name")


def callbacks_called(chapter: Chapter) -> Iterator[Problem]:
    """No control whose function only a click would call: no test clicks."""
    for cell in chapter.code:
        for name in sorted({_last(node) for node in ast.walk(cells.parse(cell.source))} & DEFERRED):
            remedy = "take a control of wsss_lib.explore, which is drawn in every position"
            yield chapter.problem(cell, f"gives a function to {name}, which no test calls: {remedy}")


def results_shown(chapter: Chapter) -> Iterator[Problem]:
    """No table or control is made and dropped: Jupyter shows the last expression of a cell, and no other."""
    for cell in chapter.code:
        tree = cells.parse(cell.source)
        for node in ast.walk(tree):
            called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            name = _last(node.value.func) if called else ""
            if name in SHOWN and node is not tree.body[-1]:
                message = f"drops what {name} returns (line {node.lineno})"
                yield chapter.problem(cell, f"{message}: make it the last line of a cell")


def stands_alone(chapter: Chapter) -> Iterator[Problem]:
    """A reader has the package: no module that its installation does not bring."""
    for cell in chapter.code:
        for name in sorted(_imported(cells.parse(cell.source)) - _installed()):
            message = f"imports {name}, which a reader who installs wsss-lib may not have"
            yield chapter.problem(
                cell, f"{message}: import it from wsss_lib, or add it to dependencies in pyproject.toml"
            )


def _imported(tree: ast.AST) -> set[str]:
    names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    names += [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level]
    return {name.partition(".")[0] for name in names}


@lru_cache(maxsize=1)
def _installed() -> frozenset[str]:
    """Modules that come with Python, a notebook, or what the package depends on."""
    lines = importlib.metadata.requires("wsss-lib") or []
    wanted = {_plain(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in lines if "extra ==" not in line}
    distributions = importlib.metadata.packages_distributions()
    brought = {module for module, names in distributions.items() if wanted & set(map(_plain, names))}
    return frozenset(sys.stdlib_module_names | brought | {"wsss_lib", "IPython", "nbformat", "google"})


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _replaced(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement binds in the chapter itself and does not also read, as ``data = list(data)`` does."""
    try:
        symbols = symtable.symtable(ast.unparse(statement), "cell", "exec").get_symbols()
    except SyntaxError:  # parsed, but no program; a run says so
        return
    for symbol in symbols:
        if (symbol.is_assigned() or symbol.is_imported()) and not symbol.is_referenced():
            yield symbol.get_name()


def _last(node: Any) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


CHECKS = (parameters_kept, callbacks_called, results_shown, stands_alone)
