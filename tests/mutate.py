"""Do the tests notice? Change one small thing of the library at a time and run the tests of its room.

    python tests/mutate.py --count 20 --seed 1 --room maps

A mutant differs from the library in one operator, comparison, constant, condition or statement. It is *killed* where a
test fails or stands still, and *survives* where all pass: then a test is missing, or the change changes nothing. The
work is done in a copy; the working tree is never touched.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("maps", "metrics", "methods", "train", "data")
"""Folders of ``wsss_lib`` whose tests lie in the folder of ``tests`` with the same name."""
COPIED = ("wsss_lib", "press", "tests", "results", "book", "benchmarks", "pyproject.toml", "_toc.yml", "_config.yml")
"""What the tests of these rooms read."""

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
        line: Where, counted from 1.
        before, after: What changes, as Python.
        position: Of the node in a walk through the file's syntax tree.
        which: Of the node's changes.
    """

    path: Path
    line: int
    before: str
    after: str
    position: int
    which: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before}  →  {self.after}"

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
    spoken = _spoken(tree)
    for position, node in enumerate(ast.walk(tree)):
        if position not in spoken:
            for which, changed in enumerate(_changes(node)):
                yield Mutant(path, node.lineno, _short(node), _short(changed), position, which)


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


def drawn(rooms: Sequence[str], count: int, seed: int) -> list[tuple[str, Mutant]]:
    """``count`` mutants with their rooms, the rooms in turn; the same seed draws the same from the same sources."""
    generator = random.Random(seed)
    waiting = {}
    for room in rooms:
        every = [m for path in files(room) for m in mutants(path, (ROOT / path).read_text(encoding="utf-8"))]
        waiting[room] = generator.sample(every, min(count, len(every)))
    turns = [(room, waiting[room][turn]) for turn in range(count) for room in rooms if turn < len(waiting[room])]
    return turns[:count]


def run_tests(folder: Path, room: str, limit: float) -> bool:
    """Whether the tests of a room pass in a copy of the project, within ``limit`` seconds."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    order = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"tests/{room}", "-m", "not shared"]
    with subprocess.Popen(
        order, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            return process.wait(limit) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # its own group: tests start processes too
            return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw mutants, judge each, print which survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="mutants in all (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="decides which (default: 0)")
    parser.add_argument("--room", action="append", choices=ROOMS, help="only this room (may be repeated)")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    options = parser.parse_args(arguments)
    chosen = drawn(options.room or ROOMS, options.count, options.seed)
    if options.list:
        print("\n".join(str(mutant) for _, mutant in chosen))
        return 0
    survivors = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, folder / part)
        limits: dict[str, float] = {}
        for number, (room, mutant) in enumerate(chosen, 1):
            if room not in limits:
                began = time.monotonic()
                if not run_tests(folder, room, 1800):
                    print(f"tests/{room} fails as it stands: mend it first (pytest -x tests/{room})")
                    return 1
                limits[room] = 30 + 3 * (time.monotonic() - began)
            original = (folder / mutant.path).read_text(encoding="utf-8")
            (folder / mutant.path).write_text(mutant.applied(original), encoding="utf-8")
            survived = run_tests(folder, room, limits[room])
            (folder / mutant.path).write_text(original, encoding="utf-8")
            survivors += [mutant] * survived
            print(f"{number:3}/{len(chosen)} {'SURVIVED' if survived else 'killed  '} {mutant}", flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} killed (seed {options.seed})")
    for mutant in survivors:
        print(f"  survived: {mutant}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
