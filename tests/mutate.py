"""Do the tests notice? Change one small thing of the library at a time and run the tests that reach it.

    python tests/mutate.py --count 30 --seed 1 --room maps       so many changes of a room, drawn by chance
    python tests/mutate.py --at wsss_lib/maps/scores.py:40       all changes of a line, or of a file

A mutant differs from the library in one operator, comparison, constant, condition or statement. It is *killed* where a
test of its room fails or stands still, and *survives* where all pass: then a test is missing, or the change changes
nothing that a caller could see. Such a one is named, with the reason, in ``tests/mutants.toml``. The work is done in a
copy; the working tree is never touched. Needs an operating system that forks.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.util
import random
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import judge

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("maps", "metrics", "methods", "train", "data", "refine")
"""Folders of ``wsss_lib`` whose tests lie in the folder of ``tests`` with the same name."""
COPIED = ("wsss_lib", "press", "tests", "results", "book", "benchmarks", "pyproject.toml", "_toc.yml", "_config.yml")
"""What the tests of these rooms read."""
EXPLAINED = ROOT / "tests" / "mutants.toml"
RECORD = "mutants"
"""Name of the record, ``book/mutants.json``; not in ``results/``, for no chapter reads it."""

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
"""What an operator becomes."""


@dataclass(frozen=True)
class Mutant:
    """One change: ``before`` becomes ``after`` at a line of a file.

    Attributes:
        path: The file.
        line, column: Where, counted from 1.
        before, after: What changes, as Python.
        position: Of the node in a walk through the file's syntax tree.
        which: Of the node's changes.
        lines: Of the statement that is changed, without the statements inside it.
        at_import: Whether an import executes the statement, and not only who calls a function.
    """

    path: Path
    line: int
    column: int
    before: str
    after: str
    position: int
    which: int
    lines: frozenset[int]
    at_import: bool

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.before}  →  {self.after}"

    def applied(self, source: str) -> str:
        """The whole file with the change."""
        tree = ast.parse(source)
        node = list(ast.walk(tree))[self.position]
        changed = list(_changes(node))[self.which]
        for name, value in ast.iter_fields(changed):
            setattr(node, name, value)
        node.__class__ = type(changed)
        return ast.unparse(ast.fix_missing_locations(tree))


def mutants(path: Path, source: str) -> Iterator[Mutant]:
    """Every mutant of a file.

    Args:
        path: Of the file, for messages.
        source: What it holds.
    """
    tree = ast.parse(source)
    spoken, places = _spoken(tree), dict(_places(tree))
    for position, node in enumerate(ast.walk(tree)):
        if position not in spoken:
            for which, changed in enumerate(_changes(node)):
                place = node.lineno, node.col_offset + 1
                yield Mutant(path, *place, _short(node), _short(changed), position, which, *places[id(node)])


def _places(
    node: ast.AST, lines: frozenset[int] = frozenset(), at_import: bool = True
) -> Iterator[tuple[int, tuple[frozenset[int], bool]]]:
    """Of every node: the lines of the innermost statement around it, and whether an import executes that."""
    yield id(node), (lines, at_import)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            body = isinstance(node, ast.FunctionDef) and child in node.body
            yield from _places(child, _lines(child), at_import and not body)
        else:
            yield from _places(child, lines, at_import)


def _lines(statement: ast.stmt) -> frozenset[int]:
    inside = [inner for inner in ast.walk(statement) if isinstance(inner, ast.stmt) and inner is not statement]
    lines = _range(statement).difference(*map(_range, inside))
    return frozenset(lines | {statement.lineno})


def _range(statement: ast.stmt) -> set[int]:
    decorators = getattr(statement, "decorator_list", [])
    return set(range(min(part.lineno for part in (statement, *decorators)), (statement.end_lineno or 0) + 1))


def _spoken(tree: ast.AST) -> set[int]:
    """Positions in a walk of what only people read: messages, annotations, documentation."""
    silent: set[int] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.Raise | ast.JoinedStr):
            parts = [node]
        elif isinstance(node, ast.arg | ast.AnnAssign):
            parts = [node.annotation]
        elif isinstance(node, ast.FunctionDef):
            parts = [node.returns]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            parts = [node]
        silent |= {id(inner) for part in parts if part is not None for inner in ast.walk(part)}
    return {position for position, node in enumerate(ast.walk(tree)) if id(node) in silent}


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may become; nothing where it is of no kind that is changed."""
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPS:
        changed = copy.deepcopy(node)
        changed.op = SWAPS[type(node.op)]()  # type: ignore[assignment]
        yield changed
    elif isinstance(node, ast.Compare):
        changed = copy.deepcopy(node)
        changed.ops[0] = SWAPS[type(node.ops[0])]()  # type: ignore[call-overload]
        yield changed
    elif isinstance(node, ast.If | ast.IfExp):
        changed = copy.deepcopy(node)
        changed.test = ast.UnaryOp(ast.Not(), node.test)
        yield changed
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        value = not node.value if isinstance(node.value, bool) else node.value + 1
        yield ast.Constant(value, lineno=node.lineno, col_offset=node.col_offset)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield ast.UnaryOp(ast.UAdd(), node.operand)
    if isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield ast.Pass(lineno=node.lineno, col_offset=node.col_offset)


def _short(node: ast.AST) -> str:
    head = f"if {ast.unparse(node.test)}" if isinstance(node, ast.If) else ast.unparse(node)
    return head if len(head) <= 90 else f"{head[:87]}…"


def files(room: str, root: Path = ROOT) -> list[Path]:
    """The modules of a room, relative to the root."""
    return sorted(path.relative_to(root) for path in (root / "wsss_lib" / room).rglob("*.py"))


def drawn(room: str, count: int, seed: int) -> list[Mutant]:
    """``count`` mutants of a room; the same seed draws the same from the same sources."""
    every = of_room(room)
    return random.Random(seed).sample(every, min(count, len(every)))


def of_room(room: str) -> list[Mutant]:
    """All mutants of a room."""
    return [m for path in files(room) for m in mutants(path, (ROOT / path).read_text(encoding="utf-8"))]


def explanations() -> dict[tuple[str, ...], str]:
    """Why a mutant changes nothing that a caller could see, by :func:`key`."""
    known = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))["mutant"]
    return {(of["path"], of["line"], of["before"], of["after"]): of["why"] for of in known}


def key(mutant: Mutant) -> tuple[str, ...]:
    """File, line, before and after. Numbers of lines move, so it is the line's text, ‸ before what changes."""
    text = (ROOT / mutant.path).read_text(encoding="utf-8").splitlines()[mutant.line - 1].encode()
    start = mutant.column - 1  # in bytes
    marked = f"{text[:start].decode()}‸{text[start:].decode()}".strip()
    return mutant.path.as_posix(), marked, mutant.before, mutant.after


def copied(folder: Path) -> None:
    """Copy what the tests read."""
    for part in COPIED:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, folder / part)


def survives(mutant: Mutant, folder: Path, reach: judge.Reach) -> bool:
    """Whether the tests that reach a mutant pass with it, in a copy of the project that is as before afterwards."""
    file = folder / mutant.path
    original = file.read_text(encoding="utf-8")
    Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)
    file.write_text(mutant.applied(original), encoding="utf-8")
    tests = reach.tests(mutant.path, mutant.lines, mutant.at_import)
    survived = not tests or judge.passes(folder, tests, reach.longest)
    file.write_text(original, encoding="utf-8")
    return survived


def chosen(options: argparse.Namespace) -> dict[str, list[Mutant]]:
    """By room, the mutants that the command asks for."""
    if not options.at:
        return {room: drawn(room, options.count, options.seed) for room in options.room or ROOMS}
    made: dict[str, list[Mutant]] = {}
    for place in options.at:
        path, _, line = place.partition(":")
        room = Path(path).parts[1]
        made.setdefault(room, []).extend(m for m in of_room(room) if f"{m.path}" == path and line in ("", f"{m.line}"))
    return made


def write(measured: dict[str, dict[str, Any]]) -> None:
    """Record what was measured; what was measured before of other rooms stays, and gets the reasons of today."""
    sys.path.insert(0, str(ROOT))
    from wsss_lib.experiments import results
    from wsss_lib.files import read_json

    folder = ROOT / "book"
    known = read_json(folder / f"{RECORD}.json")["data"] if (folder / f"{RECORD}.json").is_file() else {}
    known, why = {**known, **measured}, explanations()
    for one in (one for of in known.values() for one in of["survived"]):  # a reason may have been found since
        one["why"] = why.get((one["path"], one["line"], one["before"], one["after"]), "")
    results.record(
        RECORD, {room: known[room] for room in ROOMS if room in known},
        command="make mutate", fingerprint="the sources of the library",
        seeds=tuple(sorted({of["seed"] for of in known.values()})), folder=folder,
        wall_seconds=sum(of["seconds"] for of in known.values()),
        note="Changes of single places of the library, drawn by chance, and what the tests of their room make of them",
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw mutants, judge each, print which survived; 0 where each that survived is explained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=30, help="mutants of each room (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="decides which (default: 0)")
    parser.add_argument("--room", action="append", choices=ROOMS, help="only this room (may be repeated)")
    parser.add_argument("--at", action="append", metavar="FILE[:LINE]", help="all mutants of a file or line")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    parser.add_argument("--record", action="store_true", help=f"write book/{RECORD}.json, which the status page shows")
    options = parser.parse_args(arguments)
    waiting, why, measured = chosen(options), explanations(), {}
    if options.list:
        print("\n".join(str(mutant) for of in waiting.values() for mutant in of))
        return 0
    judge.warm()
    for room, of in ((room, of) for room, of in waiting.items() if of):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="mutants-") as name:
            folder = Path(name).resolve()
            copied(folder)
            reach = judge.explore(folder, room)
            if reach is None:
                print((folder / judge.SAID).read_text(encoding="utf-8"))
                print(f"tests/{room} fails as it stands: mend it first (pytest -x tests/{room})")
                return 1
            print(f"{room}: {len(reach.seconds)} tests, {time.monotonic() - began:.0f} s", flush=True)
            survivors = []
            for number, mutant in enumerate(of, 1):
                survived = survives(mutant, folder, reach)
                survivors += [mutant] * survived
                said = ("explained" if key(mutant) in why else "SURVIVED") if survived else "killed"
                print(f"{number:3}/{len(of)} {said:9} {mutant}", flush=True)
        unexplained = [mutant for mutant in survivors if key(mutant) not in why]
        print(f"{room}: {len(of) - len(survivors)} of {len(of)} killed, {len(unexplained)} of the others unexplained, "
              f"{time.monotonic() - began:.0f} s")  # fmt: skip
        measured[room] = {
            "seed": options.seed, "possible": len(of_room(room)), "tried": len(of), "killed": len(of) - len(survivors),
            "seconds": round(time.monotonic() - began),
            "survived": [
                dict(zip(("path", "line", "before", "after"), key(mutant), strict=True))
                | {"place": f"{mutant.line}:{mutant.column}", "why": why.get(key(mutant), "")}
                for mutant in survivors
            ],
        }  # fmt: skip
    if options.record:
        write(measured)
    return int(any(not one["why"] for of in measured.values() for one in of["survived"]))


if __name__ == "__main__":
    sys.exit(main())
