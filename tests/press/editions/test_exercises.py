"""Exercises: what belongs together, what is refused, and that wrong answers fail with a hint."""

from pathlib import Path

import nbformat
import pytest
from notebook_kit import notebook, skeleton

from press import cells, project
from press.chapter import Chapter
from press.check import everything as check
from press.editions import exercises
from press.run import validate

STUB = "def double(x): ..."
SOLUTION = "def double(x):\n    return 2 * x"
CHECK = """\
assert double(2) is not None, "double returns nothing yet: return the number"
assert double(2) == 4, f"double(2) is {double(2)}, and twice two is four"
print("right")"""
WRONG = "def double(x):\n    return x"
ROOT = Path(__file__).resolve().parents[3]


def chapter(stub=STUB, solution=SOLUTION, checked=CHECK, wrong=(WRONG,), tags=("hide-cell",)):
    """A chapter of one exercise."""
    made = notebook(
        "07_twice",
        (stub, {"tags": ["exercise"]}),
        (solution, {"tags": ["solution", *tags]}),
        (checked, {"tags": ["check", *tags], "wrong": list(wrong)}),
    )
    task = nbformat.v4.new_markdown_cell("**Exercise 1: twice.** Double it.", id="task")
    made.cells.insert(next(i for i, c in enumerate(made.cells) if "exercise" in cells.tags(c)), task)
    return made


def faults(made):
    return [problem.message for problem in exercises.exercises(Chapter(Path("07_twice.ipynb"), made))]


def test_a_good_exercise_is_found_whole_and_has_no_fault():
    made = chapter()
    (exercise,) = exercises.find(made)
    assert (exercise.number, exercise.names) == (1, ["double"])
    assert exercise.task.source.startswith("**Exercise 1")
    assert (exercise.stub.source, exercise.solution.source, exercise.check.source) == (STUB, SOLUTION, CHECK)
    assert faults(made) == []


@pytest.mark.parametrize("lost", ["exercise", "solution", "check"])
def test_a_part_that_is_missing_is_named(lost):
    made = chapter()
    made.cells = [cell for cell in made.cells if lost not in cells.tags(cell)]
    (message,) = faults(made)
    assert "expected neighbours tagged exercise, solution and check" in message


def test_parts_that_are_not_neighbours_are_refused():
    made = chapter()
    made.cells.insert(-1, nbformat.v4.new_markdown_cell("something between", id="between"))
    assert "expected neighbours" in faults(made)[0]


def test_a_task_in_words_comes_before_the_stub():
    made = chapter()
    made.cells = [cell for cell in made.cells if cell.get("id") != "task"]
    assert "put the task in Markdown before it" in faults(made)[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stub": "def double(y): ..."}, "the line `def double(y):`, which does not stand in"),
        ({"stub": "def double(x):\n    result = 0\n    ..."}, "the line `result = 0`, which does not stand in"),
        ({"stub": "# think first"}, "defines nothing"),
        ({"tags": ()}, "tag it hide-cell"),
        ({"solution": SOLUTION + "\n\n\nprint(double(2))"}, "does more than define (line 5)"),
        ({"solution": "def double(x):\n    return 1\n\n\ndel double"}, "does more than define"),
        ({"checked": "assert double(2) == 4"}, "without a hint (line 1)"),
        ({"checked": 'assert double(2) == 4, "wrong"'}, "without a hint"),
    ],
)
def test_what_is_not_well_made_is_named_with_its_remedy(change, reason):
    assert any(reason in message for message in faults(chapter(**change))), faults(chapter(**change))


def test_wsss_check_knows_the_check():
    assert "exercises" in [name for name, _ in check.listing()]


def test_wrong_answers_fail_with_their_hints():
    (exercise,) = exercises.find(chapter())
    hints = exercises.trial(CHECK, exercise.wrong, {})
    assert hints == ["double returns nothing yet: return the number", "double(2) is 2, and twice two is four"]


def test_an_answer_that_is_right_is_not_taken_for_a_wrong_one():
    with pytest.raises(exercises.TrialError, match="accepts a wrong answer"):
        exercises.trial(CHECK, [SOLUTION], {})


def test_a_check_that_stumbles_gives_no_hint():
    with pytest.raises(exercises.TrialError, match="stops with TypeError"):
        exercises.trial('assert double(2) > 3, "twice two is four"', ["def double(x):\n    return None"], {})


def test_a_message_of_one_word_is_no_hint():
    with pytest.raises(exercises.TrialError, match="no hint"):
        exercises.trial('assert double(2) == 4, "wrong"', [WRONG], {})


def test_a_trial_changes_no_name_and_shows_nothing(capsys):
    names = {"double": len}
    exercises.trial(f"print('noise')\n{CHECK}", [WRONG], names)
    assert names == {"double": len}
    assert capsys.readouterr().out == ""


def test_trials_follow_all_cells_of_a_chapter_whose_numbers_they_would_change():
    made = chapter()
    made.cells.append(nbformat.v4.new_code_cell("import random\nprint(random.random())", id="after"))
    tried = exercises.with_trials(made)
    assert [cell.id for cell in tried.cells] == [*(cell.id for cell in made.cells), "trial-1"]
    assert exercises.without_trials(tried) == made


def test_a_chapter_with_trials_runs_only_if_its_checks_refuse_wrong_answers():
    def run(made):
        space = {}
        for cell in cells.code_cells(exercises.with_trials(made))[2:]:  # not the bootstrap cell and the parameters
            exec(cell.source, space)

    run(chapter())
    for bad in (
        chapter(wrong=("def double(x):\n    return x + x",)),
        chapter(wrong=("def triple(x):\n    return 3 * x",)),
        chapter(checked="def double(x):\n    return 2 * x\n\n\n" + CHECK),
        chapter(checked="print(double(2))"),
    ):
        with pytest.raises(exercises.TrialError, match="accepts a wrong answer"):
            run(bad)
    with pytest.raises(AssertionError, match="returns nothing yet"):
        run(chapter(solution="def twice(x):\n    return 2 * x"))


def test_nbval_is_given_the_chapters_with_their_trials(tmp_path, monkeypatch):
    root = skeleton(tmp_path)
    cells.write(chapter(), root / "book" / "chapters" / "07_twice.ipynb")
    folders = []
    monkeypatch.setattr(validate, "watched", lambda command, what, cwd, **rest: folders.append(cwd) or NothingRan)
    assert validate.main(root) == 1, "nothing was executed, so nothing agrees"
    staged = cells.read(folders[0] / "07_twice" / "07_twice.ipynb")
    (trial,) = [cell for cell in staged.cells if cell.id == "trial-1"]
    assert f"{CHECK!r}" in trial.source


class NothingRan:
    returncode = 0


@pytest.mark.parametrize("path", project.chapters(ROOT), ids=lambda path: path.stem)
def test_every_stored_chapter_has_exercises_that_are_well_made(path):
    stored = Chapter(path, cells.read(path))
    assert exercises.find(stored.notebook) or path.stem >= "90", "a chapter has exercises; from 90 on they are pages"
    assert list(exercises.exercises(stored)) == []


def test_another_way_to_write_a_right_answer_must_pass():
    check = 'assert abs(f(2) - 4) < 1e-6, "f doubles what it is given"'
    assert exercises.trial(check, [], {}, right=["def f(x):\n    return x + x", "def f(x):\n    return 2.0 * x"]) == []
    with pytest.raises(exercises.TrialError, match="refuses a right answer with AssertionError"):
        exercises.trial(
            'assert isinstance(f(2), float), "a float and nothing else"', [], {}, right=["def f(x):\n    return 2 * x"]
        )
