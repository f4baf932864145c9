"""A stored chapter and what is wrong with it: what every check takes and yields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from press import cells


@dataclass(frozen=True)
class Chapter:
    """A stored chapter, read once."""

    path: Path
    notebook: cells.Notebook

    @property
    def name(self) -> str:
        """The file name without its suffix."""
        return self.path.stem

    @property
    def code(self) -> list[Any]:
        """Its code cells."""
        return cells.code_cells(self.notebook)

    def problem(self, cell: Any, message: str) -> Problem:
        """A problem of one cell, or of the whole chapter where ``cell`` is None."""
        return Problem(self.name if cell is None else f"{self.name}, {cells.label(self.notebook, cell)}", message)


@dataclass(frozen=True)
class Problem:
    """What is wrong: ``where`` names chapter and cell, ``message`` what was expected and the remedy."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"
