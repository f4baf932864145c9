"""Editions of the chapters for a course, all cut from the one source: student, instructor, solutions, nbgrader.

``student``: solutions removed, stubs left, checks open; a check carries the tag ``raises-exception``, so that running
everything goes on past an exercise that is still to do. ``instructor``: everything there and visible, the wrong
answers too. ``solutions``: tasks, solutions and checks alone, to be read. ``nbgrader``: a course folder for
``nbgrader generate_assignment``, in which a check shows what it asserts first and hides the rest.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from press import cells
from press.editions import exercises, lecture
from press.editions.exercises import Exercise
from press.project import ProjectError, chapters
from wsss_lib.files import made_folder, write_atomically

SHOWN = ("hide-input", "hide-cell", "hide-output")
"""Tags that fold a cell in the page; Jupyter does not know them."""

SCHEMA = 3
"""The version of nbgrader's cell metadata that is written; nbgrader 0.6 and later read it."""

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
"""nbgrader's marks of what the assignment leaves out."""
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"

KERNEL = "labels-to-masks"
"""Name under which the students' environment is registered as a kernel for grading."""

CONFIGURATION = f'''\
"""Settings of nbgrader for this course folder; `wsss edition --nbgrader` wrote it, README.md says how to use it."""

import subprocess

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from nbgrader.converters import Autograde
from nbgrader.preprocessors import DeduplicateIds

c = get_config()  # noqa: F821

KERNEL = "{KERNEL}"
REMEDY = f"in the environment in which wsss-lib works: python -m ipykernel install --user --name {{KERNEL}}"
try:
    python = KernelSpecManager().get_kernel_spec(KERNEL).argv[0]
except NoSuchKernel:
    raise SystemExit(f"nothing was graded, because there is no kernel {{KERNEL}}: register it, {{REMEDY}}") from None
if subprocess.run([python, "-c", "import wsss_lib"], capture_output=True).returncode:
    raise SystemExit(f"nothing was graded, because {{python}} cannot import wsss_lib: register another, {{REMEDY}}")

c.CourseDirectory.course_id = "labels-to-masks"
c.ClearSolutions.code_stub = {{"python": "# Your answer replaces the dots above."}}
c.Execute.kernel_name = KERNEL  # the students', and not the one that nbgrader was installed with
c.Execute.timeout = 600  # seconds a cell may take: training a small network on a slow machine
c.OverwriteCells.add_missing_cells = True  # a check that a student deleted is put back


class DropCopies(DeduplicateIds):
    """nbgrader warns of copies and empties their metadata, at which putting cells back stumbles: take it away."""

    def preprocess(self, nb, resources):
        nb, resources = super().preprocess(nb, resources)
        for cell in nb.cells:
            if cell.metadata.get("nbgrader") == {{}}:
                del cell.metadata["nbgrader"]
        return nb, resources


steps = Autograde.sanitize_preprocessors.default()
c.Autograde.sanitize_preprocessors = [DropCopies if step is DeduplicateIds else step for step in steps]
'''

INSTRUCTIONS = f"""\
# Grading this course

Answers are executed with the kernel `{KERNEL}`. Register it once, in the environment in which `wsss-lib` works, and
then call `nbgrader` here, with nbgrader's own environment activated:

    python -m ipykernel install --user --name {KERNEL}
    nbgrader generate_assignment 01_cam
    nbgrader autograde 01_cam
    nbgrader generate_feedback 01_cam

The page "Teach with this book" says the rest.
"""

GRADED = "# Graded: leave this cell where it is, and do not copy it."


def write(root: Path, kind: str, out: Path, names: Sequence[str] = (), *, force: bool = False) -> list[Path]:
    """Write an edition of chapters into a folder.

    Args:
        root: The clone.
        kind: One of :data:`KINDS` or of :data:`press.editions.lecture.KINDS`.
        out: The folder; made if absent.
        names: Chapters (see :func:`press.project.chapters`); none means all that have exercises, for figures all.
        force: Replace files that are there.

    Returns:
        The files written.

    Raises:
        ProjectError: An unknown chapter, or a file is there already, perhaps with somebody's work in it.
        ValueError: The folder cannot be made.
        ExerciseError: A chapter's exercises are not well made; `wsss check` says more.
    """
    read = {path.stem: cells.read(path) for path in chapters(root, names)}
    every = names or kind == "figures"
    files = contents(kind, {name: book for name, book in read.items() if every or exercises.find(book)})
    present = [out / name for name in files if (out / name).exists()]
    if present and not force:
        raise ProjectError(f"{present[0]} is there already: name another folder, or give --force to replace it")
    for name, content in files.items():
        made_folder((out / name).parent, "an edition")
        write_atomically(out / name, content)
    return [out / name for name in files]


def contents(kind: str, read: Mapping[str, cells.Notebook]) -> dict[str, str] | dict[str, bytes]:
    """What the files of an edition hold, by their place in its folder."""
    if kind in lecture.KINDS:
        return lecture.KINDS[kind]({name: lecture.sections(notebook) for name, notebook in read.items()})
    cut, place = KINDS[kind]
    beside = {"nbgrader_config.py": CONFIGURATION, "README.md": INSTRUCTIONS} if kind == "nbgrader" else {}
    return {place.format(name=name): cells.dumps(cut(notebook)) for name, notebook in read.items()} | beside


ANSWER = re.compile(r"\n*:{3,}\{admonition\} Answer\n.*?\n:{3,}(?=\n|$)", re.S)
"""An answer to unfold, as MyST writes it."""


def student(notebook: cells.Notebook) -> cells.Notebook:
    """Solutions and answers to questions removed, stubs left as they are, checks open and without outputs."""
    result = copy.deepcopy(notebook)
    for cell in result.cells:
        if cell.cell_type == "markdown":
            cell.source = ANSWER.sub("", cell.source).rstrip()
    for exercise in exercises.find(result):
        result.cells.remove(exercise.solution)
        _clear(exercise.stub, exercise.check)
        exercise.check.metadata = {"tags": ["check", "raises-exception"]}
    return result


def instructor(notebook: cells.Notebook) -> cells.Notebook:
    """Everything, nothing folded; after a check stand the answers that must fail it."""
    result = copy.deepcopy(notebook)
    for exercise in exercises.find(result):
        blocks = "\n\n".join(f"```python\n{answer}\n```" for answer in exercise.wrong[1:])
        if blocks:
            text = f"*Wrong on purpose: the check of exercise {exercise.number} must refuse these, with a hint.*\n\n"
            note = cells.nbformat.v4.new_markdown_cell(text + blocks, id=f"wrong-{exercise.number}")
            result.cells.insert(result.cells.index(exercise.check) + 1, note)
    for cell in result.cells:
        cell.metadata["tags"] = [tag for tag in cells.tags(cell) if tag not in SHOWN]
    return result


def solutions(notebook: cells.Notebook) -> cells.Notebook:
    """The exercises alone, with solution, check and what the check printed."""
    result = copy.deepcopy(notebook)
    title = next(line for cell in result.cells for line in cell.source.splitlines() if line.startswith("# "))
    text = f"{title}: solutions\n\nThese cells belong to the chapter: they run where it has run, and not alone."
    kept = [cells.nbformat.v4.new_markdown_cell(text, id="solutions")]
    for exercise in exercises.find(result):
        kept += [exercise.task, exercise.solution, exercise.check]
    for cell in kept:
        cell.metadata = {}
    result.cells = kept
    return result


def nbgrader(notebook: cells.Notebook) -> cells.Notebook:
    """A source notebook for ``nbgrader generate_assignment``: one point an exercise, all other code locked."""
    result = copy.deepcopy(notebook)
    for exercise in exercises.find(result):
        identifier = f"exercise-{exercise.number}"
        exercise.stub.source += f"\n\n\n{BEGIN}\n{exercise.solution.source}\n{END}"
        exercise.stub.metadata["nbgrader"] = _metadata(identifier, solution=True)
        exercise.check.source = f"{GRADED}\n{hide(exercise)}"
        exercise.check.metadata = {"nbgrader": _metadata(f"{identifier}-check", grade=True, points=1)}
        result.cells.remove(exercise.solution)
    for cell in result.cells:
        if cell.cell_type == "code":
            _clear(cell)
            cell.metadata.setdefault("nbgrader", _metadata(f"chapter-{cell.id}"))
    return result


def hide(exercise: Exercise) -> str:
    """The check's source with all that follows its first assertion between nbgrader's marks of hidden tests."""
    source = exercise.check.source
    body = ast.parse(cells.python(source)).body
    first = next(node for node in body if any(map(exercises.asserts, ast.walk(node))))
    lines = source.splitlines()
    shown, rest = lines[: first.end_lineno], lines[first.end_lineno or 0 :]
    return "\n".join([*shown, BEGIN_HIDDEN, *rest, END_HIDDEN] if rest else shown)


def _metadata(identifier: str, *, solution: bool = False, grade: bool = False, points: int | None = None) -> Any:
    made = {"grade": grade, "grade_id": identifier, "locked": not solution, "schema_version": SCHEMA}
    return made | {"solution": solution, "task": False} | ({} if points is None else {"points": points})


def _clear(*cleared: Any) -> None:
    for cell in cleared:
        cell.outputs, cell.execution_count = [], None


KINDS: dict[str, tuple[Callable[[cells.Notebook], cells.Notebook], str]] = {
    "student": (student, "{name}.ipynb"),
    "instructor": (instructor, "{name}.ipynb"),
    "solutions": (solutions, "{name}.ipynb"),
    "nbgrader": (nbgrader, "source/{name}/{name}.ipynb"),
}
"""How each edition is cut, and where in its folder a chapter goes."""
