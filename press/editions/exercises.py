"""Exercises: task, stub, solution, check. What belongs together, whether it is well made, whether wrong answers fail.

Four cells in this order: Markdown with the task; code tagged ``exercise``, the stub that a reader fills; code tagged
``solution``, definitions only; code tagged ``check``, assertions whose messages are hints. The check's metadata may
hold ``wrong``, a list of answers that must fail it, and ``right``, other ways to write a right one, which must pass.
:mod:`press.editions.editions` cuts courses from this.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from press import cells
from press.chapter import Chapter, Problem

PARTS = ("exercise", "solution", "check")
"""The tags of an exercise's code cells, in their order."""

TRIAL = "trial-"
"""What the id of a cell begins with that tries wrong answers."""

WORDS = 4
"""A hint has at least so many words."""


class ExerciseError(ValueError):
    """An exercise lacks a part, or its stub does not fit its solution."""


class TrialError(AssertionError):
    """A check accepts a wrong answer, or refuses it without a hint."""


@dataclass(frozen=True)
class Exercise:
    """The cells of one exercise, and its number in the chapter from 1."""

    number: int
    task: Any
    stub: Any
    solution: Any
    check: Any

    @property
    def names(self) -> list[str]:
        """What the stub defines, and so what an answer must define."""
        return defined(self.stub.source)

    @property
    def wrong(self) -> list[str]:
        """Sources of answers that must fail: one that returns nothing, then the author's."""
        nothing = "\n\n\n".join(f"def {name}(*given, **named):\n    return None" for name in self.names)
        return [nothing, *self.check.metadata.get("wrong", [])]

    @property
    def right(self) -> list[str]:
        """Sources of answers that must pass, beside the solution."""
        return list(self.check.metadata.get("right", []))


def find(notebook: cells.Notebook) -> list[Exercise]:
    """The exercises of a chapter, in order.

    Raises:
        ExerciseError: A part is missing or stands alone; the message names the cell.
    """
    result: list[Exercise] = []
    parts = [(place, kind) for place, cell in enumerate(notebook.cells) for kind in PARTS if kind in cells.tags(cell)]
    for start in range(0, len(parts), 3):
        group = parts[start : start + 3]
        first = group[0][0]
        if [kind for _, kind in group] != list(PARTS) or [place - first for place, _ in group] != [0, 1, 2]:
            wanted = "expected neighbours tagged exercise, solution and check, in this order"
            raise ExerciseError(f"{cells.label(notebook, notebook.cells[first])}: {wanted}")
        if first == 0 or notebook.cells[first - 1].cell_type != "markdown":
            raise ExerciseError(f"{cells.label(notebook, notebook.cells[first])}: put the task in Markdown before it")
        result.append(Exercise(len(result) + 1, *notebook.cells[first - 1 : first + 3]))
    return result


def defined(source: str) -> list[str]:
    """Names that the source's own statements define: functions, classes, variables."""
    names = []
    for node in cells.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return names


def with_trials(notebook: cells.Notebook) -> cells.Notebook:
    """A copy with cells at the end that try other answers on the checks; silent if all went as it should."""
    result = cells.nbformat.from_dict(notebook)
    for exercise in find(notebook):
        arguments = f"{exercise.check.source!r}, {exercise.wrong!r}, globals(), {exercise.right!r}"
        source = f"from press.editions.exercises import trial\n\n_hints = trial({arguments})"
        cell = cells.nbformat.v4.new_code_cell(source, id=f"{TRIAL}{exercise.number}", execution_count=1)
        result.cells.append(cell)
    return result


def without_trials(notebook: cells.Notebook) -> cells.Notebook:
    """A copy without the cells of :func:`with_trials`."""
    result = cells.nbformat.from_dict(notebook)
    result.cells = [cell for cell in result.cells if not str(cell.get("id", "")).startswith(TRIAL)]
    return result


def trial(check: str, answers: Sequence[str], names: Mapping[str, Any], right: Sequence[str] = ()) -> list[str]:
    """Run a check against other answers, each in a copy of the names, and return the hints for the wrong ones.

    Args:
        check: Source of the check cell.
        answers: Sources of wrong answers.
        names: The chapter's global names.
        right: Sources of right answers.

    Raises:
        TrialError: A wrong answer passes, or fails without a hint; or a right one fails.
    """
    for answer in right:
        if hint := _refusal(check, answer, names):
            raise TrialError(f"the check refuses a right answer with {': '.join(hint)}: accept it. It was\n{answer}")
    hints = []
    for answer in answers:
        hint = _refusal(check, answer, names)
        if hint is None:
            raise TrialError(f"the check accepts a wrong answer: make it assert what is wrong with\n{answer}")
        if hint[0] != "AssertionError":
            remedy = "assert what is returned, with a hint, before using it"
            raise TrialError(f"the check stops with {': '.join(hint)}: {remedy}. The answer was\n{answer}")
        if len(hint[1].split()) < WORDS:
            raise TrialError(f"the check refuses with {hint[1]!r}, which is no hint. The answer was\n{answer}")
        hints.append(hint[1])
    return hints


def _refusal(check: str, answer: str, names: Mapping[str, Any]) -> tuple[str, str] | None:
    """Kind and message of the error with which a check refuses an answer; None where it accepts it."""
    from IPython.utils.capture import capture_output

    space = dict(names)
    with capture_output():
        exec(compile(cells.python(answer), "<answer>", "exec"), space)
        try:
            exec(compile(cells.python(check), "<check>", "exec"), space)
        except Exception as error:
            return type(error).__name__, str(error)
    return None


def exercises(chapter: Chapter) -> Iterator[Problem]:
    """Each exercise has task, stub, solution and check; the stub fits, the solution only defines, the check hints."""
    try:
        present = find(chapter.notebook)
    except ExerciseError as error:
        yield Problem(chapter.name, str(error))
        return
    for exercise in present:
        for cell, message in _faults(exercise):
            yield chapter.problem(cell, message)


def _faults(exercise: Exercise) -> Iterator[tuple[Any, str]]:
    """What is not well made; whether the check accepts and refuses what it should, every run tries."""
    if not exercise.names:
        yield exercise.stub, "defines nothing, expected a function to fill: write `def name(…): ...`"
    given = {line.strip().removesuffix("...").strip() for line in exercise.stub.source.splitlines()} - {""}
    for line in sorted(given - {line.strip() for line in exercise.solution.source.splitlines()}):
        yield exercise.stub, f"has the line `{line}`, which does not stand in the solution: make them agree"
    for cell in (exercise.solution, exercise.check):
        if "hide-cell" not in cells.tags(cell):
            yield cell, "is open in the page, expected it folded: tag it hide-cell"
    for node in cells.parse(exercise.solution.source).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign)):
            yield exercise.solution, f"does more than define (line {node.lineno}): move it into the check"
    for node in filter(asserts, ast.walk(cells.parse(exercise.check.source))):
        hint: Any = node.msg if isinstance(node, ast.Assert) else node.args[2] if len(node.args) > 2 else None
        if not isinstance(hint, ast.Name) and (hint is None or len(ast.unparse(hint).split()) < WORDS):
            yield exercise.check, f"has an assertion without a hint (line {node.lineno}): say what to look at"


def asserts(node: Any) -> bool:
    """Whether a node can refuse an answer: an ``assert``, or a call of ``agrees(answer, expected, hint)``."""
    return isinstance(node, ast.Assert) or (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "agrees")


CHECKS = (exercises,)
"""The check of a chapter's exercises."""
