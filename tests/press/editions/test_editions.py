"""Editions for a course, cut from the stored chapters."""

import copy
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import nbclient
import nbformat
import pytest
from test_exercises import CHECK, SOLUTION, STUB, WRONG, chapter

from press import cells, parameters, project
from press.cli import editions as command
from press.editions import editions, exercises, lecture
from press.run import execute
from wsss_lib import cli

ROOT = Path(__file__).resolve().parents[3]
CHAPTERS = [path for path in project.chapters(ROOT) if exercises.find(cells.read(path))]


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def stored(request):
    return cells.read(request.param)


def sources(made, tag=None):
    return [cell.source for cell in made.cells if tag is None or tag in cells.tags(cell)]


def test_students_get_stubs_and_checks_and_no_solution(stored):
    made = editions.student(stored)
    nbformat.validate(made)
    present = exercises.find(stored)
    assert sources(made, "exercise") == [exercise.stub.source for exercise in present]
    assert sources(made, "check") == [exercise.check.source for exercise in present]
    assert sources(made, "solution") == []
    everything = cells.dumps(made)
    for exercise in present:
        assert exercise.solution.source not in sources(made)
        assert '"wrong"' not in everything
    assert len(made.cells) == len(stored.cells) - len(present)
    for cell in made.cells:
        if {"exercise", "check"} & set(cells.tags(cell)):
            assert cell.outputs == []
            assert "hide-cell" not in cells.tags(cell)


def test_what_is_no_exercise_stays_as_it_is(stored):
    parts = {id_ for e in exercises.find(stored) for id_ in (e.stub.id, e.solution.id, e.check.id)}
    rest = [cell for cell in copy.deepcopy(stored).cells if cell.id not in parts]
    for cell in rest:  # but for answers to questions in its text
        cell.source = editions.ANSWER.sub("", cell.source).rstrip() if cell.cell_type == "markdown" else cell.source
    assert [cell for cell in editions.student(stored).cells if cell.id not in parts] == rest


def test_instructors_see_everything(stored):
    made = editions.instructor(stored)
    nbformat.validate(made)
    assert not {tag for cell in made.cells for tag in cells.tags(cell)} & set(editions.SHOWN)
    text = "\n".join(sources(made))
    for exercise in exercises.find(stored):
        assert exercise.solution.source in sources(made)
        assert all(answer in text for answer in exercise.wrong[1:])
    outputs = [cell.outputs for cell in cells.code_cells(made)]
    assert outputs == [cell.outputs for cell in cells.code_cells(stored)]


def test_solutions_alone_are_tasks_solutions_and_checks(stored):
    made = editions.solutions(stored)
    nbformat.validate(made)
    present = exercises.find(stored)
    expected = [cell.source for e in present for cell in (e.task, e.solution, e.check)]
    assert sources(made)[1:] == expected
    assert "solutions" in made.cells[0].source


def test_nbgrader_gets_metadata_of_schema_3(stored):
    made = editions.nbgrader(stored)
    nbformat.validate(made)
    present = exercises.find(stored)
    about = [cell.metadata["nbgrader"] for cell in cells.code_cells(made)]
    identifiers = [one["grade_id"] for one in about]
    assert len(set(identifiers)) == len(identifiers)
    assert all(re.fullmatch(r"[a-zA-Z0-9_\-]+", identifier) for identifier in identifiers)  # nbgrader's own rule
    for one in about:
        assert {"schema_version": 3, "task": False}.items() <= one.items()
        assert one["locked"] is not one["solution"]
        assert ("points" in one) is one["grade"]
    assert sum(one["solution"] for one in about) == sum(one["grade"] for one in about) == len(present)
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells.code_cells(made))


def test_clearing_nbgraders_regions_gives_the_stub_back(stored):
    answers = [c for c in cells.code_cells(editions.nbgrader(stored)) if c.metadata["nbgrader"]["solution"]]
    for answer, exercise in zip(answers, exercises.find(stored), strict=True):
        assert cleared_of(answer.source, editions.BEGIN, editions.END, "# here").split("\n\n\n# here")[0] == (
            exercise.stub.source
        )
        unmarked = cleared_of(answer.source, editions.BEGIN, editions.END)
        assert unmarked.endswith(exercise.solution.source), "which defines what the stub does, and so replaces it"


def test_nbgrader_shows_the_first_assertion_and_hides_the_rest(stored):
    checks = [c for c in cells.code_cells(editions.nbgrader(stored)) if c.metadata["nbgrader"]["grade"]]
    for one, exercise in zip(checks, exercises.find(stored), strict=True):
        assert one.source.startswith(f"{editions.GRADED}\n")
        source = one.source.removeprefix(f"{editions.GRADED}\n")
        shown, _, hidden = source.partition(editions.BEGIN_HIDDEN)
        for part in (shown, hidden):
            assert "assert " in part or "agrees(" in part
        assert hidden.rstrip().endswith(editions.END_HIDDEN)
        assert cleared_of(source, editions.BEGIN_HIDDEN, editions.END_HIDDEN).split() == exercise.check.source.split()


def cleared_of(source, begin, end, stub=None):
    """What is left of a source when its marks are taken out, or what is between them is replaced."""
    lines, inside = [], False
    for line in source.splitlines():
        if line.strip() in (begin, end):
            inside = line.strip() == begin
            lines += [line.replace(begin, stub)] if stub and inside else []
        elif not (inside and stub):
            lines.append(line)
    return "\n".join(lines)


def test_hidden_tests_of_a_small_check():
    (exercise,) = exercises.find(chapter())
    first, second, last = CHECK.splitlines()
    assert editions.hide(exercise).splitlines() == [
        first, editions.BEGIN_HIDDEN, second, last, editions.END_HIDDEN
    ]  # fmt: skip


def test_the_command_writes_all_chapters_or_those_named(tmp_path, capsys):
    assert cli.main(["edition", "--student", str(tmp_path / "all")]) == 0
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == [path.name for path in CHAPTERS]
    assert cli.main(["edition", "--nbgrader", str(tmp_path / "course"), "1"]) == 0
    assert (tmp_path / "course" / "source" / "01_cam" / "01_cam.ipynb").is_file()
    compile((tmp_path / "course" / "nbgrader_config.py").read_text(), "nbgrader_config.py", "exec")
    assert "01_cam.ipynb" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kernel", "program", "refusal"),
    [
        (None, "", "there is no kernel labels-to-masks: register it"),
        (editions.KERNEL, "/bin/false", "/bin/false cannot import wsss_lib: register another"),
        (editions.KERNEL, sys.executable, ""),
    ],
)
def test_nbgrader_grades_with_the_students_kernel_or_not_at_all(tmp_path, monkeypatch, kernel, program, refusal):
    """The settings as nbgrader loads them, before it does anything; nbgrader's own classes stand in as small ones."""
    from traitlets import HasTraits, List
    from traitlets.config import Config

    class Deduplicate:
        def preprocess(self, nb, resources):
            nb.cells[0].metadata["nbgrader"] = {}
            return nb, resources

    converter = type("Autograde", (HasTraits,), {"sanitize_preprocessors": List(["ClearOutput", Deduplicate])})
    monkeypatch.setitem(sys.modules, "nbgrader", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "nbgrader.converters", SimpleNamespace(Autograde=converter))
    monkeypatch.setitem(sys.modules, "nbgrader.preprocessors", SimpleNamespace(DeduplicateIds=Deduplicate))

    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "none"))
    if kernel:
        folder = tmp_path / "kernels" / kernel
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(f'{{"argv": ["{program}"], "display_name": "x", "language": "python"}}')
    c = Config()
    code = compile(editions.CONFIGURATION, "nbgrader_config.py", "exec")
    if refusal:
        with pytest.raises(SystemExit, match="nothing was graded") as stop:
            exec(code, {"get_config": lambda: c})
        assert refusal in str(stop.value)
    else:
        exec(code, {"get_config": lambda: c})
        assert c.Execute.kernel_name == editions.KERNEL
        assert c.OverwriteCells.add_missing_cells is True
        first, second = c.Autograde.sanitize_preprocessors
        assert first == "ClearOutput"
        cleaned, _ = second().preprocess(chapter(), {})
        assert "nbgrader" not in cleaned.cells[0].metadata


def test_somebodys_work_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "01_cam.ipynb").write_text("an answer")
    assert cli.main(["edition", "--student", str(tmp_path)]) == 2
    assert "--force" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["01_cam.ipynb"]
    assert (tmp_path / "01_cam.ipynb").read_text() == "an answer"
    assert cli.main(["edition", "--student", str(tmp_path), "1", "--force"]) == 0
    assert cells.read(tmp_path / "01_cam.ipynb").cells


def test_an_edition_must_be_named(tmp_path):
    with pytest.raises(SystemExit) as stop:
        cli.main(["edition", str(tmp_path)])
    assert stop.value.code == 2


def test_the_command_knows_every_kind():
    assert set(command.KINDS) == set(editions.KINDS) | set(lecture.KINDS)


def ran(made, folder, monkeypatch):
    """The notebook, executed in a folder by the kernel of this environment, as far as it gets."""
    execute.specify_kernel(folder)
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
    monkeypatch.setenv("PYTHONPATH", str(execute.LIBRARY))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    client = nbclient.NotebookClient(
        made, kernel_name=execute.KERNEL, timeout=300, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return [
        (cell, output) for cell in made.cells for output in cell.get("outputs", []) if output.output_type == "error"
    ]


def test_a_students_right_answer_passes_and_a_wrong_one_gets_a_hint(tmp_path, monkeypatch):
    made = editions.student(chapter())
    made.cells = [cell for cell in made.cells if cell.cell_type == "code"][2:]  # no library in this one
    tried = [STUB, WRONG, SOLUTION]
    made.cells = [
        nbformat.v4.new_code_cell(source if cell.source == STUB else cell.source, metadata=cell.metadata)
        for source in tried
        for cell in made.cells
    ]
    failed = ran(made, tmp_path, monkeypatch)
    assert [output.evalue.split(":")[0] for _, output in failed] == [
        "double returns nothing yet",
        "double(2) is 2, and twice two is four",
    ]
    assert made.cells[-1].outputs[0].text == "right\n"


def test_the_students_first_chapter_runs_up_to_the_stubs(tmp_path, monkeypatch):
    path = CHAPTERS[0]
    made = parameters.inject(editions.student(cells.read(path)), path.stem, {"profile": "smoke"})
    failed = ran(made, tmp_path, monkeypatch)
    assert [cell.source for cell, _ in failed] == [e.check.source for e in exercises.find(cells.read(path))]
    for _, output in failed:
        assert output.ename == "AssertionError"
        assert len(output.evalue.split()) >= exercises.WORDS


def test_a_student_gets_the_question_and_not_the_answer():
    answers = [f":::{{admonition}} Answer\n{body}\n:::" for body in (":class: dropdown\nBecause.", "So.")]
    text = f"Why?\n\n{answers[0]}\n\nAnd then?\n\n{answers[1]}"
    made = cells.nbformat.v4.new_notebook(cells=[cells.nbformat.v4.new_markdown_cell(text)])
    assert editions.student(made).cells[0].source == "Why?\n\nAnd then?"
    assert editions.instructor(made).cells[0].source == text
