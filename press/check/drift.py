"""Does the code that readers build still equal the library's? Cells declare it, these checks hold them to it.

Cell metadata ``mirror: <qualified name>`` promises the same syntax tree (docstrings and annotations aside);
``derives: <qualified name>`` promises the same numbers, which a later cell asserts. A definition with a namesake in
the library must declare one of the two, and what the library says is "Built in chapter N" must be built there.
Everything is read from source; nothing is imported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from press import cells
from press.chapter import Chapter, Problem
from press.check import proofs

PACKAGE = Path(__file__).resolve().parents[2] / "wsss_lib"
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
            elif shape(mine) != shape(theirs):
                message = f"{theirs.name} is no longer the code of {name}{_first_difference(mine, theirs)}"
                yield chapter.problem(cell, f"{message}: copy the library's code, or declare `derives` and assert")


def derivations(chapter: Chapter) -> Iterator[Problem]:
    """What a cell ``derives`` is asserted equal to the library's in a later cell."""
    for place, cell in enumerate(chapter.code):
        for name in _names(cell, "derives"):
            if find(name) is None:
                yield chapter.problem(cell, f"derives {name}, which the library does not have: correct the name")
                continue
            own = {d.name for d in definitions(cell)}
            if not own:
                yield chapter.problem(cell, f"declares derives {name} but defines nothing: move the declaration")
                continue
            aliases = proofs.aliases(chapter.code, name)
            if not any(proofs.asserts(later, own, name, aliases) for later in chapter.code[place + 1 :]):
                message = f"derives {name}, but no later cell asserts that {' or '.join(sorted(own))} equals it"
                yield chapter.problem(cell, f"{message}: run both on the same input and assert equality")


def namesakes(chapter: Chapter) -> Iterator[Problem]:
    """A definition with a namesake in the library says how it relates to it."""
    for cell in chapter.code:
        declared = {name.rsplit(".", 1)[-1] for kind in ("mirror", "derives") for name in _names(cell, kind)}
        for name in [*(definition.name for definition in definitions(cell)), *_lambdas(cell)]:
            twin = _public().get(name)
            if twin and name not in declared:
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
    return [node for node in _statements(cell) if isinstance(node, Definition)]


def _lambdas(cell: Any) -> list[str]:
    """Names that a cell gives to functions without a ``def``."""
    names = []
    for node in _statements(cell):
        for inner in ast.walk(node) if not isinstance(node, Definition) else ():
            if isinstance(inner, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and _is_function(inner.value):
                targets = inner.targets if isinstance(inner, ast.Assign) else [inner.target]
                names += [target.id for target in targets if isinstance(target, ast.Name)]
    return list(dict.fromkeys(names))


def _is_function(value: ast.expr | None) -> bool:
    call = value.func if isinstance(value, ast.Call) else None
    partial = (call.id if isinstance(call, ast.Name) else getattr(call, "attr", "")) == "partial"
    return partial or isinstance(value, ast.Lambda)


def _statements(cell: Any) -> Iterator[ast.stmt]:
    """A cell's statements and those within them, but for the insides of functions and classes."""
    tree = cells.parse(cell.source)
    queue: list[ast.AST] = list(tree.body) if tree else []
    while queue:
        node = queue.pop(0)
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, Definition):
            inside = [inner for inner in ast.iter_child_nodes(node) if not isinstance(inner, ast.expr)]
            queue = inside + queue


def find(name: str) -> Definition | None:
    """The library's definition by qualified name, for example ``wsss_lib.maps.resize`` or ``….CAM.localize``.

    A name that a package re-exports (``wsss_lib.metrics.mean_iou``) is followed to where it is defined.
    """
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        path = _module(parts[:cut])
        if path is not None:
            return _descend(path, parts[:cut], parts[cut:])
    return None


def shape(definition: Definition) -> str:
    """What two definitions must share: the syntax tree without docstrings, annotations and name; decorators stay."""
    return ast.dump(_Bare().visit(ast.parse(ast.unparse(definition)).body[0]))


@lru_cache(maxsize=64)
def promised(number: int) -> tuple[str, ...]:
    """Qualified names of functions and classes whose docstring says ``Built in chapter <number>``."""
    result = []
    for module, tree in _modules():
        for node in tree.body:
            if isinstance(node, Definition) and re.search(
                rf"Built in chapter\s+{number}\b", ast.get_docstring(node) or ""
            ):
                result.append(f"{module}.{node.name}")
    return tuple(result)


class _Bare(ast.NodeTransformer):
    def _body(self, node: Any) -> Any:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:] or [ast.Pass()]
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        return self._body(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        return self._body(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        node.returns = None
        return self._body(node)

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:  # a field without default: its name is what counts
            return ast.Expr(value=node.target)
        return self.generic_visit(ast.Assign(targets=[node.target], value=node.value, lineno=0))


def _first_difference(mine: Definition, theirs: Definition) -> str:
    pair = [ast.unparse(_Bare().visit(ast.parse(ast.unparse(d)).body[0])).splitlines() for d in (mine, theirs)]
    for here, there in zip(*pair, strict=False):
        if here != there:
            return f" (here `{here.strip()[:60]}`, there `{there.strip()[:60]}`)"
    return f" (here {len(pair[0])} lines, there {len(pair[1])})"


def _names(cell: Any, kind: str) -> list[str]:
    value = cell.metadata.get(kind, [])
    return [value] if isinstance(value, str) else list(value)


def _module(parts: list[str]) -> Path | None:
    if parts[0] != PACKAGE.name:
        return None
    base = PACKAGE.joinpath(*parts[1:])
    return next((p for p in (base / "__init__.py", base.with_suffix(".py")) if p.is_file() and p != PACKAGE), None)


def _descend(path: Path, module: list[str], rest: list[str]) -> Definition | None:
    body: list[ast.stmt] = ast.parse(path.read_text(encoding="utf-8")).body
    node = _defined(body, rest[0])
    if node is None:
        package = module if path.name == "__init__.py" else module[:-1]
        source = _imported_from(body, rest[0], package)
        return find(".".join([source, *rest[1:]])) if source else None
    for part in rest[1:]:
        node = _defined(node.body, part)
        if node is None:
            return None
    return node


def _defined(body: Iterable[ast.stmt], name: str) -> Definition | None:
    return next((node for node in body if isinstance(node, Definition) and node.name == name), None)


def _imported_from(body: Iterable[ast.stmt], name: str, package: list[str]) -> str:
    """The qualified name behind a re-export, absolute or relative; empty where there is none."""
    for statement in body:
        if not isinstance(statement, ast.ImportFrom):
            continue
        for alias in statement.names:
            if (alias.asname or alias.name) == name:
                above = package[: len(package) - statement.level + 1] if statement.level else []
                return ".".join([*above, *([statement.module] if statement.module else []), alias.name])
    return ""


@lru_cache(maxsize=1)
def _modules() -> tuple[tuple[str, ast.Module], ...]:
    """Modules that readers may rebuild: all but the house's own machinery and the controls."""
    result = []
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE.parent).with_suffix("")
        if relative.parts[1] in ("notebooks", "cli", "explore"):
            continue
        module = ".".join(p for p in relative.parts if p != "__init__")
        result.append((module, ast.parse(path.read_text(encoding="utf-8"))))
    return tuple(result)


@lru_cache(maxsize=1)
def _public() -> dict[str, str]:
    definitions_by_name: dict[str, str] = {}
    for module, tree in _modules():
        for node in tree.body:
            if isinstance(node, Definition) and not node.name.startswith("_"):
                definitions_by_name.setdefault(node.name, f"{module}.{node.name}")
    return definitions_by_name


CHECKS = (mirrors, derivations, namesakes, built_here)
"""The checks of a chapter's code against the library."""
