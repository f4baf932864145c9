"""What of the library can a chapter come to run? Read from source: nothing is imported, nothing is executed.

From the names that the cells use, through the library's imports, to every top-level statement that a name leads to.
A function that nobody in the chapter can reach does not count, nor do comments, docstrings and annotations; so what
this module returns changes when the chapter's outputs may, and seldom otherwise.

It follows names, as a reader does. What it cannot follow counts whole: a module passed around as an object, or a
name that a module makes when it is asked. What runs at import (a call, a loop, an ``if``) counts for each module met.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from press.check import drift

Import = tuple[str, str | None]
"""A module, and the name taken from it (None: the module itself)."""


@dataclass
class Module:
    """A module's top level, sorted: what its names are bound to, what they are imported from, what runs at import."""

    name: str
    bound: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imported: dict[str, list[Import]] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)


class Library:
    """A package on disk, whose modules are parsed when they are asked for.

    Args:
        package: Its folder; the folder's name is the package's.
    """

    def __init__(self, package: Path) -> None:
        self.package = package
        self._modules: dict[str, Module | None] = {}
        self._read: dict[int, tuple[str, list[str]]] = {}

    def module(self, name: str) -> Module | None:
        """The module or package of that name; None where there is none."""
        if name not in self._modules:
            path = self._path(name)
            known = sort(name, _tree(path), is_package=path.name == "__init__.py") if path else None
            self._modules[name] = known
        return self._modules[name]

    def read(self, statement: ast.stmt) -> tuple[str, list[str]]:
        """A statement's syntax tree as text, without docstrings and annotations, and the dotted names in it."""
        if id(statement) not in self._read:
            bare = drift._Bare().visit(copy.deepcopy(statement))
            self._read[id(statement)] = (ast.dump(bare), list(dict.fromkeys(names(bare))))
        return self._read[id(statement)]

    def _path(self, name: str) -> Path | None:
        first, *rest = name.split(".")
        if first != self.package.name:
            return None
        base = self.package.joinpath(*rest)
        choices = (base / "__init__.py", base.with_suffix(".py")) if rest else (base / "__init__.py",)
        return next((path for path in choices if path.is_file()), None)


def reached(cells: Iterable[ast.Module], library: Library) -> dict[str, str]:
    """Everything that the cells can come to run, as ``{module.name: its syntax tree as text}``, sorted.

    Args:
        cells: Parsed code cells; what they import counts however it is indented.
        library: The package to follow names into.
    """
    start = Module("")
    nodes = list(cells)
    for tree in nodes:
        for statement in ast.walk(tree):
            _imports(start, statement, "")
    walker = _Walker(library)
    for origins in start.imported.values():  # an import runs its module, used or not
        for module, name in origins:
            walker.touch(f"{module}.{name}" if name and library.module(f"{module}.{name}") else module)
    walker.queue += [(name, start) for tree in nodes for name in names(tree)]
    walker.work()
    return dict(sorted(walker.found.items()))


def sort(name: str, tree: ast.Module, *, is_package: bool) -> Module:
    """Sort a module's top level into bindings, imports and effects."""
    module = Module(name)
    package = name if is_package else name.rpartition(".")[0]
    for statement in ast.walk(tree):  # those inside functions too: a late import is an import
        _imports(module, statement, package)
    for statement in tree.body:
        targets = _targets(statement)
        for target in targets:
            module.bound.setdefault(target, []).append(statement)
        if not targets and not _inert(statement):
            module.effects.append(statement)
    return module


class _Walker:
    def __init__(self, library: Library) -> None:
        self.library = library
        self.found: dict[str, str] = {}
        self.touched: set[str] = set()
        self.queue: list[tuple[str, Module]] = []
        self.followed: set[tuple[str, ...]] = set()

    def touch(self, name: str) -> None:
        """A module is imported, and so are the packages around it: what runs at import counts."""
        parts = name.split(".")
        for cut in range(1, len(parts) + 1):
            module = self.library.module(".".join(parts[:cut]))
            if module is None or module.name in self.touched:
                continue
            self.touched.add(module.name)
            for place, statement in enumerate(module.effects):
                self._add(f"{module.name}.<{place}>", [statement], module)

    def work(self) -> None:
        done: set[tuple[str, str]] = set()
        while self.queue:
            dotted, module = self.queue.pop()
            if (module.name, dotted) not in done:
                done.add((module.name, dotted))
                self._resolve(module, dotted.split("."))

    def _resolve(self, module: Module, chain: list[str]) -> bool:
        head, rest = chain[0], chain[1:]
        if head in module.bound:
            self._add(f"{module.name}.{head}", module.bound[head], module)
            return True
        for target, name in module.imported.get(head, ()):
            self._follow(target, [name, *rest] if name else rest)
        return head in module.imported

    def _follow(self, name: str, chain: list[str]) -> None:
        module = self.library.module(name)
        if module is None or (name, *chain) in self.followed:  # another library, or seen
            return
        self.followed.add((name, *chain))
        self.touch(name)
        itself = chain and (name, chain[0]) in module.imported.get(chain[0], ())  # `from . import part`
        if chain and not itself and self._resolve(module, chain):
            return
        if chain and self.library.module(f"{name}.{chain[0]}"):
            self._follow(f"{name}.{chain[0]}", chain[1:])
            return
        for each in (*module.bound, *module.imported):
            self._resolve(module, [each])

    def _add(self, key: str, statements: list[ast.stmt], module: Module) -> None:
        if key in self.found:
            return
        read = [self.library.read(statement) for statement in statements]
        self.found[key] = "\n".join(text for text, _ in read)
        self.queue += [(name, module) for _, found in read for name in found]


def names(tree: ast.AST) -> Iterator[str]:
    """The dotted names in a tree, each as long as it goes: ``a.b.c`` and not also ``a.b``."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        chain = _chain(node)
        if chain:
            yield ".".join(chain)
        else:
            stack.extend(ast.iter_child_nodes(node))


def _imports(module: Module, statement: ast.AST, package: str) -> None:
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            name, target = (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
            module.imported.setdefault(name, []).append((target, None))
            if not alias.asname and "." in alias.name:  # `import a.b` also makes a.b an attribute of a
                module.imported.setdefault(f"{name}.", []).append((alias.name, None))
    elif isinstance(statement, ast.ImportFrom):
        parts = package.split(".")
        above = parts[: len(parts) - statement.level + 1] if statement.level else []
        source = ".".join([*above, *([statement.module] if statement.module else [])])
        for alias in statement.names:
            module.imported.setdefault(alias.asname or alias.name, []).append((source, alias.name))


def _targets(statement: ast.stmt) -> list[str]:
    if isinstance(statement, drift.Definition):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return [n.id for target in statement.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
    if isinstance(statement, (ast.AnnAssign, ast.AugAssign)) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    return []


def _inert(statement: ast.stmt) -> bool:
    """Imports, texts, and what only a type checker reads."""
    if isinstance(statement, ast.If):
        return isinstance(statement.test, ast.Name) and statement.test.id == "TYPE_CHECKING"
    text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return text or isinstance(statement, (ast.Import, ast.ImportFrom, ast.Pass))


def _chain(node: Any) -> list[str]:
    """``["a", "b", "c"]`` of ``a.b.c``; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def constants(trees: Iterable[ast.AST]) -> Iterator[str]:
    """The texts that stand in the code."""
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
