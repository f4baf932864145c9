import copy

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from notebook_kit import notebook

from press import cells
from press.normalise import normalise

v4 = nbformat.v4


def executed(*outputs, **metadata):
    chapter = notebook("01_cam", "x")
    for k, cell in enumerate(cells.code_cells(chapter)):
        cell.execution_count = 10 + k
    chapter.cells[-1].outputs = list(outputs)
    chapter.metadata.update(metadata)
    return chapter


def last(chapter):
    return normalise(chapter).cells[-1]


def text_of(output_text, **options):
    result = normalise(executed(v4.new_output("stream", text=output_text)), **options)
    return result.cells[-1].outputs[0].text


def test_what_runners_and_editors_add_is_removed():
    chapter = executed(papermill={"start_time": "2026"}, signature="x")
    chapter.cells[-1].metadata.update(
        papermill={"duration": 1}, execution={"iopub.execute_input": "t"}, collapsed=True, scrolled=True, tags=["a"]
    )
    result = normalise(chapter)
    assert dict(result.cells[-1].metadata) == {"tags": ["a"]}
    assert set(result.metadata) == {"accelerator", "kernelspec", "language_info"}
    assert "2026" not in cells.dumps(result)


def test_what_authors_write_stays():
    chapter = executed()
    chapter.cells[-1].metadata.update(mirror="wsss_lib.maps.resize", mystnb={"figure": {"name": "f"}})
    kept = last(chapter).metadata
    assert kept["mirror"] == "wsss_lib.maps.resize"
    assert kept["mystnb"] == {"figure": {"name": "f"}}


def test_the_injected_cell_goes():
    chapter = executed()
    chapter.cells.insert(3, v4.new_code_cell("seed = 1", metadata={"tags": ["injected-parameters"]}))
    assert "seed = 1" not in [cell.source for cell in normalise(chapter).cells]


def test_counts_run_from_one_and_unexecuted_cells_stay_so():
    chapter = executed()
    chapter.cells[-1].execution_count = None
    assert [c.execution_count for c in cells.code_cells(normalise(chapter))] == [1, 2, None]


def test_valid_ids_stay_and_others_are_made_from_the_text():
    chapter = notebook("01_cam", "x = 1", "x = 1", "x = 1")
    chapter.cells[-1]["id"] = chapter.cells[-2]["id"] = "code-0"
    ids = [cell["id"] for cell in normalise(chapter).cells]
    assert ids[:4] == ["title", "bootstrap", "parameters", "code-0"]
    assert len(set(ids)) == 6
    chapter.cells.insert(1, v4.new_markdown_cell("New prose.", id="new"))
    assert [i for i in (cell["id"] for cell in normalise(chapter).cells) if i != "new"] == ids


def test_neighbouring_streams_are_joined_and_others_not():
    out = [v4.new_output("stream", name=n, text=t) for n, t in (("stdout", "a"), ("stdout", "b"), ("stderr", "c"))]
    assert [(o.name, o.text) for o in last(executed(*out)).outputs] == [("stdout", "ab"), ("stderr", "c")]


def test_a_progress_bar_leaves_its_last_state():
    assert text_of(" 0%|\r50%|\r100%|\nnext\r\n") == "100%|\nnext\n"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("<object at 0x7f12ab34cd56>", "<object at 0x…>"),
        ("colour 0xff", "colour 0xff"),
        ("/tmp/ipykernel_123/456.py:3: UserWarning", "<cell>:3: UserWarning"),
        ("read /home/me/clone/x.png", "read …/x.png"),
        ("read /home/me/clone/.venv/x", "read …/x"),
    ],
)
def test_what_differs_between_machines_is_replaced(raw, clean):
    assert text_of(raw, paths=["/home/me/clone", "/home/me/clone/.venv"]) == clean


def test_alternative_texts_stay_and_other_output_metadata_goes():
    picture = v4.new_output(
        "display_data", {"image/png": "aGk="}, metadata={"image/png": {"alt": "A cat", "width": 3}, "isolated": True}
    )
    assert last(executed(picture)).outputs[0].metadata == {"image/png": {"alt": "A cat"}}


def test_the_state_of_widgets_goes_and_their_names_do_not_depend_on_chance():
    def made(name):
        view = v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": name}})
        state = {"application/vnd.jupyter.widget-state+json": {"state": {name: {"state": {}}}}}
        return executed(view, widgets=state)

    one, two = normalise(made("a" * 32)), normalise(made("b" * 32))
    assert one == two
    assert "widgets" not in one.metadata


def test_the_notebook_given_is_left_alone():
    chapter = executed(v4.new_output("stream", text="0x7f12ab34cd56"))
    before = copy.deepcopy(chapter)
    normalise(chapter)
    assert chapter == before


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(), st.text(alphabet="ab0x12345678\r\n/…T_")), max_size=4))
def test_twice_is_once(texts):
    chapter = notebook("01_cam", *(source for source, _ in texts))
    for cell, (_, output) in zip(chapter.cells[3:], texts, strict=True):
        cell.outputs = [v4.new_output("stream", text=output)]
    once = normalise(chapter)
    assert cells.dumps(normalise(once)) == cells.dumps(once)


def test_what_is_folded_on_the_page_is_folded_everywhere_and_nothing_else_is():
    folded, shown = {"tags": ["hide-input"]}, {"cellView": "form", "role": "experiment"}
    made = normalise(notebook("01_cam", ("x = 1", folded), ("y = 2", shown), parameters=None))
    first, second = (dict(cell.metadata) for cell in cells.code_cells(made)[1:])
    assert first == {"tags": ["hide-input"], "jupyter": {"source_hidden": True}, "cellView": "form"}
    assert second == {"role": "experiment"}
