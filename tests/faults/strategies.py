"""Tables, notebooks, parameters and checkpoints that nobody thought of, for ``hypothesis``."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pyarrow as pa
from fault_kit import encoded, patch, photo
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("WSSS_EXAMPLES", "25"))
"""Of each test: few in `make test`, the same on every machine; `make hard` asks for many, and for others each time."""
few = settings(
    derandomize="WSSS_EXAMPLES" not in os.environ,
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
fewer = settings(few, max_examples=EXAMPLES if "WSSS_EXAMPLES" in os.environ else 10)
"""For what takes longer."""
TRIED: list[int] = [0]
"""How many examples the running test has tried."""


def tried() -> None:
    """Count an example, for what ``conftest.py`` tells at the end."""
    TRIED[0] += 1


SIDE = 12
PHOTO, MASK = photo(SIDE, SIDE), encoded(patch(1, SIDE, SIDE, (2, 3, 7, 9)))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
"""Anything that JSON can say."""

_numbers = st.integers(-2, 4) | st.integers(250, 260)
_cells: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "image": (pa.binary(), st.sampled_from([PHOTO, PHOTO, PHOTO, PHOTO[:60], b"", b"<html>", None])),
    "mask": (
        pa.binary(),
        st.sampled_from([MASK, MASK, encoded(patch(255, SIDE, SIDE, (2, 3, 7, 9))), MASK[:40], PHOTO, b"", None]),
    ),
}
_labels: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int64(), st.integers(0, 2) | _numbers | st.none()),
    (pa.float64(), st.floats() | st.sampled_from([0.0, 1.0, 0.5])),
    (pa.string(), st.sampled_from(["a", "b", "", "c"]) | st.none()),
    (pa.bool_(), st.booleans()),
    (pa.list_(pa.int64()), st.lists(st.integers(0, 2), max_size=3) | st.lists(_numbers | st.none(), max_size=3)),
    (pa.list_(pa.float32()), st.lists(st.sampled_from([0.0, 1.0, 0.5, float("nan")]), max_size=3)),
    (pa.list_(pa.bool_()), st.lists(st.booleans(), min_size=2, max_size=2) | st.lists(st.booleans(), max_size=3)),
    (pa.list_(pa.string()), st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=2)),
    (pa.struct([("k", pa.int64())]), st.just({"k": 1})),
    (pa.timestamp("s"), st.just(0)),
]
_numbers_of_boxes = st.floats(0, SIDE, width=32) | st.floats(-2, 1e6, width=32) | st.floats(0, 1, width=32)
_boxes: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.list_(pa.list_(pa.float32())), st.lists(st.lists(_numbers_of_boxes, min_size=4, max_size=4), max_size=2)),
    (pa.list_(pa.list_(pa.float64())), st.lists(st.lists(st.floats(), max_size=5), max_size=2) | st.none()),
    (pa.list_(pa.float32()), st.lists(_numbers_of_boxes, min_size=4, max_size=4)),
    (pa.string(), st.text(max_size=3)),
]


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.Table, dict[str, Any]]:
    """A table of one to three rows under the usual names, and the options to load it with."""
    rows = draw(st.integers(1, 3))
    columns: dict[str, pa.Array] = {}
    wanted = [
        "image",
        *draw(st.lists(st.sampled_from(["mask", "boxes"]), unique=True)),
        *(["label"] * draw(st.booleans())),
    ]
    for name in wanted:
        kind, cells = _cells[name] if name in _cells else draw(st.sampled_from(_labels if name == "label" else _boxes))
        columns[name] = pa.array(draw(st.lists(cells, min_size=rows, max_size=rows)), kind)
    options: dict[str, Any] = draw(st.sampled_from([{}, {"names": ["a", "b"]}, {"names": ["a", "b"], "size": 8}]))
    return pa.table(columns), dict(options)


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path] * bool(path) + [place for key, value in inside for place in _places(value, (*path, key))]


def _template() -> Any:
    cell = nbformat.v4.new_code_cell(
        'seed = 0\ndata = "critters"',
        id="a",
        metadata={"tags": ["parameters"]},
        outputs=[
            nbformat.v4.new_output("stream", text="1\n"),
            nbformat.v4.new_output("display_data", {"image/png": "AAAA", "text/plain": "x"}),
            nbformat.v4.new_output("error", ename="E", evalue="v", traceback=["t"]),
        ],
    )
    made = nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_markdown_cell("# A", id="b")])
    state = {"m": {"model_name": "OutputModel", "state": {"outputs": [{"output_type": "error"}]}}}
    made.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": state}}
    return json.loads(json.dumps(made))


_TEMPLATE = _template()
_PLACES = _places(_TEMPLATE)


@st.composite
def notebooks(draw: st.DrawFn) -> str:
    """The text of a notebook in which one or two places hold something else, or nothing."""
    made = copy.deepcopy(_TEMPLATE)
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(_PLACES))
        node = made
        try:
            for key in path[:-1]:
                node = node[key]
            if draw(st.booleans()):
                node[path[-1]] = draw(json_values)
            else:
                del node[path[-1]]
        except (KeyError, IndexError, TypeError):  # an earlier change took this place away
            continue
    return json.dumps(made)


_literals = st.recursive(
    st.integers(-(2**70), 2**70) | st.floats() | st.booleans() | st.none() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.tuples(inner),
    max_leaves=3,
).map(repr)
_words = st.sampled_from(["seed", "data", "backbone", "device", "out_dir", "sed", "profile"]) | st.text(max_size=6)
parameter_cells = st.lists(
    st.tuples(_words, _literals | st.text(max_size=8)).map(" = ".join) | st.text(max_size=12), max_size=4
).map("\n".join)
"""What may stand in a cell of parameters."""
parameter_texts = st.lists(
    st.tuples(_words, _literals | st.text(max_size=8)).map("=".join) | st.text(max_size=8), max_size=3
)
"""What may be typed behind ``-p``."""


@st.composite
def damages(draw: st.DrawFn) -> tuple[str, float, Any]:
    """What happens to a file of a checkpoint: (how, at which share of its length, with what)."""
    how = draw(st.sampled_from(["flip", "cut", "remove", "folder", "append", "json"]))
    return how, draw(st.floats(0, 0.999)), draw(json_values if how == "json" else st.binary(min_size=1, max_size=4))


def inflict(path: Path, damage: tuple[str, float, Any]) -> None:
    """Damage a file in the way that :func:`damages` drew."""
    how, share, what = damage
    content = bytearray(path.read_bytes())
    place = int(share * len(content))
    if how in ("remove", "folder"):
        path.unlink()
        if how == "folder":
            path.mkdir()
    elif how == "json":
        path.write_text(json.dumps(what))
    elif how == "cut":
        path.write_bytes(content[:place])
    elif how == "append":
        path.write_bytes(bytes(content) + what)
    elif content:
        content[place] ^= 1 + np.frombuffer(what, np.uint8)[0] % 255
        path.write_bytes(content)
