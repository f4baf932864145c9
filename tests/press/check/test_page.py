from pathlib import Path

import pytest
from notebook_kit import as_text, notebook

from press.chapter import Chapter
from press.check import page

METHOD = {"mirror": "wsss_lib.maps.resize"}


def chapter(*codes, name="01_cam"):
    made = notebook(name, *codes, parameters=None)
    return Chapter(Path(f"{name}.ipynb"), made)


def lines(count, text="x = 1"):
    return "\n\n".join([text] * count)  # the empty lines between do not count


def test_a_line_that_fits_is_accepted_and_one_column_more_is_not():
    assert not list(page.width(chapter("y" * 76)))
    assert "77 columns" in as_text(page.width(chapter("y" * 77)))
    assert not list(page.width(chapter(("y" * 99, {"tags": ["hide-input"]}))))


@pytest.mark.parametrize(("count", "wrong"), [(220, False), (221, True)])
def test_visible_lines_are_counted_without_empty_and_folded_ones(count, wrong):
    made = chapter((lines(count), METHOD), (lines(300), {"tags": ["hide-input"]}))
    assert (f"shows {count} lines of code" in as_text(page.proportion(made))) is wrong


@pytest.mark.parametrize(("before", "wrong"), [(39, False), (40, True)])
def test_the_method_begins_early(before, wrong):
    made = chapter((lines(before), {"role": "experiment"}), (lines(50), METHOD))
    assert ("before the first of its method" in as_text(page.proportion(made))) is wrong


@pytest.mark.parametrize(("machinery", "wrong"), [(15, False), (16, True)])
def test_machinery_is_folded(machinery, wrong):
    rest = [(lines(60), METHOD), (lines(100 - 60 - machinery), {"role": "experiment"})]
    made = chapter(*rest, lines(machinery))
    assert ("neither method nor experiment" in as_text(page.proportion(made))) is wrong


def test_a_stub_of_an_exercise_is_no_machinery():
    assert not as_text(page.proportion(chapter((lines(5), METHOD), (lines(30), {"tags": ["exercise"]}))))


def test_a_chapter_without_a_method_needs_none():
    assert "before the first" in as_text(page.proportion(chapter(lines(60))))
    assert not as_text(page.proportion(chapter(lines(60), name="90_troubleshooting")))
    assert not as_text(page.proportion(chapter(lines(60), name="12_together")))


def test_a_role_that_does_not_exist_is_refused():
    assert "role 'plumbing'" in as_text(page.roles(chapter(("x = 1", {"role": "plumbing"}))))
