"""Other machines: the kernels are told to be one, and what differs is reported by cell."""

import nbformat
from figure_kit import chart, png, shown
from notebook_kit import PARAMETERS, notebook, put

from press import cells
from press.check import tolerances
from press.run import machines

v4 = nbformat.v4
ASKS = "import os, torch\nprint(torch.backends.cpu.get_cpu_capability(), os.environ['OMP_NUM_THREADS'])\nprint('half')"


NOTHING = '{"texts": [], "panels": []}'


def chapter(*outputs, **metadata):
    """A chapter with one cell for each list of outputs."""
    made = notebook("01_cam", *[("x", metadata) for _ in outputs], begin=False)
    for cell, given in zip(made.cells[-len(outputs) :], outputs, strict=True):
        cell.outputs = given if isinstance(given, list) else [v4.new_output("stream", text=given)]
    return made


def test_a_summary_holds_what_moved_and_what_is_close():
    stored = chapter("IoU 0.50", "IoU 0.60", "IoU 0.70")
    of = machines.summary(chapter("IoU 0.50", "IoU 0.61", "IoU 0.72"), stored)
    assert of["cells"] == {"code-1": {"absolute": 0.01}, "code-2": {"absolute": 0.02}}
    assert of["used"] == 0.6667
    assert list(of["close"].values()) == ["uses 67% of its tolerance"]


def test_another_word_is_no_number_and_close():
    of = machines.summary(chapter("the fenn"), chapter("the taur"))
    assert (of["used"], of["cells"]) == (None, {})
    assert "prints `the fenn` where `the taur` is stored" in "".join(of["close"].values())


def test_what_was_measured_is_kept_beside_what_is_new(tmp_path):
    stored = chapter("IoU 0.50")
    moved, same = machines.summary(chapter("IoU 0.51"), stored), machines.summary(stored, stored)
    said = machines.summary(chapter("the fenn"), chapter("the taur"))
    machines.record({"01_cam": {"AVX2": moved}, "02_x": {"AVX2": same}}, tmp_path)
    failed = {"failed": "it ran too long"}
    machines.record({"01_cam": {"AVX2": said, "old torch": same}, "02_x": {"AVX2": failed}}, tmp_path)
    kept = tolerances.read(tmp_path)
    assert {name: list(of) for name, of in kept.items()} == {"01_cam": ["AVX2", "old torch"], "02_x": ["AVX2"]}
    assert kept["01_cam"]["AVX2"]["cells"] == {"code-0": {"absolute": 0.01}}, "a word that differs is no measurement"


def test_a_tolerance_that_no_machine_needs_is_told():
    stored = chapter(shown(png(chart()), shows=NOTHING), tolerance={"figure": 0.1})
    of = machines.summary(stored, stored)
    assert "same everywhere" in machines.report({"01_cam": dict.fromkeys(machines.MACHINES, of)})[0]
    moved = machines.summary(chapter(shown(png(chart(noise=9)), shows=NOTHING), tolerance={"figure": 0.1}), stored)
    assert moved["idle"] == []
    assert not machines.report({"01_cam": dict.fromkeys(machines.MACHINES, of) | {"AVX2": moved}}), "one needs it"


def test_kernels_are_told_which_machine_to_be(clone):
    path = put(clone, "01_cam", ASKS, begin=False, parameters=PARAMETERS)
    stored = cells.read(path)
    stored.cells[-1].outputs = [v4.new_output("stream", text="DEFAULT 1\nhalf\n")]
    cells.write(stored, path)
    measured = machines.measure(clone, (), {name: machines.MACHINES[name] for name in ("SSE4.1", "two threads")})[
        "01_cam"
    ]
    assert measured["SSE4.1"]["close"] == {}
    assert " 2" in "".join(measured["two threads"]["close"].values())
