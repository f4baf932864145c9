"""How the library hangs together: which room may know which, no circle, and no file too long to read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "wsss_lib"
LONGEST = 300

KNOWS: dict[str, set[str]] = {
    "data": set(),
    "backbones": set(),
    "maps": set(),
    "metrics": {"maps"},
    "modes": set(),
    "methods": {"data", "backbones", "maps", "modes"},
    "train": {"data"},
    "figures": set(),
    "results": set(),
    "explore": {"figures", "maps", "metrics"},
}
"""The rooms at the bottom, and all that each may import of the library; those on top may know any."""


def modules() -> dict[str, Path]:
    names = {path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in PACKAGE.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


MODULES = modules()


def imported(name: str, *, at_import: bool) -> set[str]:
    """Modules of the library that a module imports; ``at_import``: only what its own import sets off."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    package = name.split(".") if MODULES[name].name == "__init__.py" else name.split(".")[:-1]

    def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
        for child in ast.iter_child_nodes(node):
            for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            later = at_import and (for_types or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))
            if isinstance(child, ast.Import | ast.ImportFrom):
                yield child
            elif not later:
                yield from statements(child)

    found: set[str] = set()
    for statement in statements(tree):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
            continue
        above = package[: len(package) - statement.level + 1] if statement.level else []
        base = ".".join([*above, *filter(None, [statement.module])])
        found |= {f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in statement.names}
    return {module for module in found if module in MODULES and module != name}


@pytest.mark.parametrize("room", KNOWS)
def test_a_room_knows_only_those_below_it(room: str) -> None:
    inside = [name for name in MODULES if name.split(".")[1:2] == [room]]
    assert inside, f"there is no room {room!r} any more"
    known = {(name, other) for name in inside for other in imported(name, at_import=False) if "." in other}
    wrong = [f"{name} imports {other}" for name, other in known if other.split(".")[1] not in {room, *KNOWS[room]}]
    assert not wrong


def test_the_rooms_below_are_seen_at_all() -> None:
    assert "wsss_lib.maps" in imported("wsss_lib.metrics.segmentation", at_import=True)
    assert "wsss_lib.data.records" in imported("wsss_lib.data.transforms", at_import=True)
    assert "wsss_lib.backbones" not in imported("wsss_lib.methods.cam", at_import=True)  # for types only
    assert "wsss_lib.backbones" in imported("wsss_lib.methods.cam", at_import=False)


def test_no_import_goes_in_a_circle() -> None:
    # A package's own modules may not need the package: `from wsss_lib.maps import …` inside maps/ would be a circle.
    try:
        TopologicalSorter({name: imported(name, at_import=True) for name in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))


def test_no_module_is_too_long_to_be_read() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    long = {name: lines for name, lines in lengths.items() if lines > LONGEST}
    assert not long, f"more than {LONGEST} lines: {long}; split them"
