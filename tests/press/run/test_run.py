"""The runner with real kernels: each chapter here takes about two seconds, so they share few runs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from notebook_kit import PARAMETERS, notebook, put, skeleton

import wsss_lib
from press import cells, parameters
from press.parameters import ParameterError
from press.project import ProjectError, chapters, find_root
from press.run import execute
from press.run.run import prepare, run

GOOD = [
    "import os, sys\nprint(profile, seed, data, sorted(os.listdir()))\nprint(os.environ.get('OMP_NUM_THREADS'))",
    "e = os.environ\nprint('nowhere' in e['PYTHONPATH'], e.get('MPLBACKEND'), e['HF_HUB_OFFLINE'], sys.prefix)",
    "import ipywidgets\nprint(os.getcwd())\nipywidgets.interact(lambda x=1: print(x), x=(0, 3));",
    "import hashlib, wsss_lib\nprint(hashlib.sha256(wsss_lib.__file__.encode()).hexdigest())",
]
BOOM = "import ipywidgets\nipywidgets.interact(lambda x=1: 1 / 0, x=(0, 3));"
PRESSED = "import ipywidgets\nbutton = ipywidgets.Button()\nbutton.on_click(lambda _: 1 / 0)\nbutton.click()"


CUT = """\
from pathlib import Path

mark = Path(out_dir, "epoch-1")
if not mark.exists():
    mark.parent.mkdir(parents=True)
    mark.touch()
    os.kill(os.getpid(), 9)
print("goes on", len(list(mark.parent.iterdir())))"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One run of a good chapter and three that fail, two kernels side by side."""
    root = skeleton(tmp_path_factory.mktemp("clone"))
    put(root, "01_good", *GOOD, begin=False)
    put(root, "02_exception", "print(1)", "raise KeyError('lost')", "print('never')", begin=False)
    put(root, "03_callback", BOOM, begin=False)
    put(root, "05_button", PRESSED, "print('never')", begin=False)
    put(root, "04_slow", "import time\ntime.sleep(60)", begin=False)
    lines: list[str] = []
    old = dict(os.environ)
    os.environ.update(PYTHONPATH="/nowhere", MPLBACKEND="svg")
    try:
        jobs = run(root, ["1", "2", "3", "5"], given={"seed": "3"}, tell=lines.append)
        jobs += run(root, ["slow"], tell=lines.append, timeout=1)
    finally:
        os.environ.clear()
        os.environ.update(old)
    return root, {job.name: job for job in jobs}, lines


def texts(path: Path) -> list[str]:
    return ["".join(o.get("text", "") for o in cell.outputs) for cell in cells.code_cells(cells.read(path))]


def test_a_chapter_runs_in_an_empty_folder_with_a_bare_environment(ran):
    root, jobs, _ = ran
    assert not jobs["01_good"].failure
    out = texts(root / "_build/run/book/01_good.ipynb")
    assert out[1] == "book 3 critters []\n1\n"
    assert out[2] == "False module://matplotlib_inline.backend_inline 1 …\n"
    assert out[3] == "…\n"


def test_a_kernel_imports_the_library_that_runs_it(ran):
    import hashlib

    root, _, _ = ran
    mine = hashlib.sha256(wsss_lib.__file__.encode()).hexdigest()
    assert texts(root / "_build/run/book/01_good.ipynb")[4] == f"{mine}\n"


def test_the_page_shows_the_parameters_that_were_used_and_no_injected_cell(ran):
    root, _, _ = ran
    chapter = cells.read(root / "_build/run/book/01_good.ipynb")
    assert "seed = 3" in cells.code_cells(chapter)[0].source
    assert [cells.tags(cell) for cell in chapter.cells] == [[], ["parameters"], [], [], [], []]


def test_what_is_written_is_normalised(ran):
    from press.normalise import normalise

    root, _, _ = ran
    path = root / "_build/run/book/01_good.ipynb"
    assert cells.dumps(normalise(cells.read(path))) == path.read_text()
    assert "papermill" not in path.read_text()
    assert str(root) not in path.read_text()


def test_an_exception_fails_the_chapter_and_says_where(ran):
    root, jobs, lines = ran
    assert "02_exception failed in cell 3/4: KeyError: 'lost'" in jobs["02_exception"].failure
    assert jobs["02_exception"].failure in lines
    failed = root / "_build/run/book/02_exception.failed.ipynb"
    assert texts(failed)[1] == "1\n"
    assert not (root / "_build/run/book/02_exception.ipynb").exists()


def test_an_exception_in_a_widget_callback_fails_the_chapter(ran):
    _, jobs, _ = ran
    assert "03_callback failed in a widget's callback: ZeroDivisionError" in jobs["03_callback"].failure


def test_an_exception_in_what_a_button_calls_fails_the_chapter(ran):
    _, jobs, _ = ran
    assert "05_button failed in cell 2/3: ZeroDivisionError" in jobs["05_button"].failure


def test_a_cell_that_hangs_fails_the_chapter(ran):
    _, jobs, _ = ran
    assert "cell 2/2: it did not finish within 1 s" in jobs["04_slow"].failure


def test_a_request_to_end_leaves_no_temporary_folder(clone, tmp_path):
    started, places = tmp_path / "started", tmp_path / "temporary"
    places.mkdir()
    put(clone, "01_slow", f"import time\nopen({str(started)!r}, 'w').close()\ntime.sleep(60)", begin=False)
    program = "import sys; from wsss_lib.cli import main; sys.exit(main(['run']))"
    environment = os.environ | {"TMPDIR": str(places)}
    running = subprocess.Popen([sys.executable, "-c", program], cwd=clone, env=environment, stdout=subprocess.PIPE)
    try:
        end = time.monotonic() + 60
        while not started.exists() and time.monotonic() < end:
            time.sleep(0.1)
        assert list(places.glob("wsss-run-*"))
        running.terminate()
        assert running.wait(30) == 143
    finally:
        running.kill()
    assert list(places.glob("wsss-run-*")) == []


def test_only_what_changed_runs_again(tmp_path):
    root = skeleton(tmp_path)
    # The cell counts its executions in a file outside of what the key sees.
    count = f"from pathlib import Path\np = Path({str(tmp_path / 'count')!r})\nn = p.exists() and int(p.read_text())\n"
    path = put(root, "01_cam", count + "p.write_text(str(n + 1));", begin=False)
    target = root / "_build/run/book/01_cam.ipynb"

    def executions(**options) -> int:
        assert not [job.failure for job in run(root, tell=lambda line: None, **options) if job.failure]
        return int((tmp_path / "count").read_text())

    assert executions() == 1
    assert executions() == 1, "a second call executes nothing"

    chapter = cells.read(path)
    chapter.cells[0].source = "# Another title"
    cells.write(chapter, path)
    assert executions() == 1, "changed prose executes nothing"
    assert cells.read(target).cells[0].source == "# Another title", "but is taken over"

    (root / "wsss_lib" / "maps.py").write_text("A = 2\n")
    assert executions() == 2, "a changed library executes"

    (root / "results" / "cam.json").write_text("{}")
    assert executions(store="outputs") == 3, "changed results execute"
    assert cells.code_cells(cells.read(path))[-1].execution_count == 2, "--in-place stores the outputs"

    chapter = cells.read(path)
    chapter.cells[-1].source += "\n1;"
    cells.write(chapter, path)
    assert executions() == 4, "changed code executes"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"sed": "1"}, "did you mean 'seed'"),
        ({"seed": "x"}, "not of type int"),
        ({"profile": "smoke"}, "use --profile"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(clone, given, reason):
    put(clone, "01_cam", "print(1)", begin=False)
    with pytest.raises(ParameterError, match=reason):
        run(clone, given=given)
    assert not (clone / "_build").exists()


def test_one_chapter_without_the_tag_stops_all_before_anything_runs(clone):
    put(clone, "01_cam", "print(1)", begin=False)
    put(clone, "02_eigen_cam", PARAMETERS, parameters=None, begin=False)
    with pytest.raises(ParameterError, match="02_eigen_cam has no cell tagged 'parameters'"):
        run(clone)
    assert not (clone / "_build").exists()


@pytest.mark.parametrize("options", [{"given": {"seed": "1"}}, {"profile": "smoke"}])
def test_in_place_stores_only_what_the_chapter_itself_computes(clone, options):
    put(clone, "01_cam", "print(1)", begin=False)
    with pytest.raises(ProjectError, match="--in-place"):
        run(clone, store="outputs", **options)


def test_outputs_are_not_given_to_code_that_changed_meanwhile():
    from press.run.run import carry_over

    with pytest.raises(ValueError, match="run it again"):
        carry_over(notebook("01_cam", "a = 2"), notebook("01_cam", "a = 1"))


def test_chapters_are_found_by_number_name_and_path(clone):
    for name in ("00_world", "01_cam", "02_eigen_cam"):
        put(clone, name)
    every = [p.stem for p in chapters(clone)]
    assert every == ["00_world", "01_cam", "02_eigen_cam"]
    for name in ("1", "01", "cam", "01_cam", "book/chapters/01_cam.ipynb"):
        assert [p.stem for p in chapters(clone, [name])] == ["01_cam"]
    with pytest.raises(ProjectError, match="choose from 00_world, 01_cam"):
        chapters(clone, ["seam"])


def test_the_root_is_found_from_below_and_missed_elsewhere(clone, tmp_path_factory):
    assert find_root(clone / "book" / "chapters") == clone.resolve()
    with pytest.raises(ProjectError, match="inside a clone"):
        find_root(tmp_path_factory.mktemp("elsewhere"))


def test_a_run_that_was_killed_goes_on_when_the_command_is_typed_again(clone):
    put(clone, "01_long", "import os", CUT, begin=False)
    (cut,) = run(clone, profile="colab", tell=print)
    assert "the kernel died" in cut.failure
    (again,) = run(clone, profile="colab", tell=print)
    assert again.failure == ""
    assert "goes on 1" in cells.code_cells(cells.read(again.target))[-1].outputs[0].text
    assert 'out_dir = "out"' in again.target.read_text().replace("\\", ""), "the page shows no folder of this machine"
    assert len(list((clone / "runs").glob("01_long-colab-*"))) == len(list((clone / "runs").iterdir())) == 1


def test_one_chapter_on_photographs_has_every_core(clone, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(execute, "start", lambda *_, **__: {"error": "not today"})
    monkeypatch.setattr(execute, "environment", lambda *_, **options: said.append(options["one_thread"]) or {})
    for name in ("01_one", "02_other"):
        put(clone, name, "x = 1")
    photographs = {"data": str(tmp_path)}
    for names, given in ((["1"], {}), (["1"], photographs), (["1", "2"], photographs)):
        run(clone, names, given=given, tell=print)
    assert said == [True, False, True, True]


def test_other_parameters_and_named_folders_are_places_of_their_own(clone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (path,) = [put(clone, "01_long", "x = 1")]

    def folder(profile, given=None):
        (job,) = prepare(clone, [path], profile, given or {}, clone / "out")
        return parameters.declared(job.executed, job.name)["out_dir"]

    assert folder("colab") == folder("colab")
    assert folder("colab").startswith(str(clone / "runs" / "01_long-colab-"))
    assert len({folder("colab"), folder("colab", {"seed": "1"}), folder("paper")}) == 3
    assert folder("colab", {"out_dir": "mine"}) == str(tmp_path / "mine")
    assert folder("book") == "out"
