"""Does a cell assert that the reader's version equals the library's? Read from source; nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any

from press import cells

EQUALITY = ("assert_close", "assert_allclose", "assert_equal", "assert_array_equal")


def asserts(cell: Any, own: set[str], name: str, known: set[str]) -> bool:
    """Whether an assertion of the cell mentions the reader's version and the library's, directly or by variables."""
    tree = cells.parse(cell.source)
    if tree is None:
        return False
    made: dict[str, list[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.For, ast.NamedExpr)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            value = node.iter if isinstance(node, ast.For) else node.value
            for target in (t for outer in targets for t in ast.walk(outer) if isinstance(t, ast.Name)):
                made.setdefault(target.id, []).extend([value] if value is not None else [])
    for node in ast.walk(tree):
        called = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
        if isinstance(node, ast.Assert) or called in EQUALITY:
            plain, dotted = _mentions([node], made)
            library = known & plain or name.rsplit(".", 1)[-1] in dotted
            if own & plain and library:
                return True
    return False


def _mentions(nodes: Iterable[ast.AST], made: dict[str, list[ast.AST]]) -> tuple[set[str], set[str]]:
    plain: set[str] = set()
    dotted: set[str] = set()
    queue = list(nodes)
    while queue:
        for node in _values(queue.pop()):
            if isinstance(node, ast.Attribute):
                dotted.add(node.attr)
            elif isinstance(node, ast.Name) and node.id not in plain:
                plain.add(node.id)
                queue.extend(made.get(node.id, []))
    return plain, dotted


def _values(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree, without what is asked for its shape or type only: equal shapes prove nothing."""
    queue = [tree]
    while queue:
        node = queue.pop()
        if not (isinstance(node, ast.Attribute) and node.attr in ("shape", "dtype", "ndim", "device")):
            yield node
            queue.extend(ast.iter_child_nodes(node))


def aliases(code: Iterable[Any], name: str) -> set[str]:
    """Names under which the chapter imported the library's object (or the class that holds it)."""
    module, _, last = name.rpartition(".")
    wanted = {last, module.rsplit(".", 1)[-1]} if module.rsplit(".", 1)[-1][:1].isupper() else {last}
    names_of_it = set()
    for cell in code:
        tree = cells.parse(cell.source)
        for node in ast.walk(tree) if tree else []:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wsss_lib"):
                names_of_it |= {alias.asname or alias.name for alias in node.names if alias.name in wanted}
    return names_of_it
