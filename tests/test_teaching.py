"""The pages for teachers and for Colab: what they say can be done, is done here."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from test_project_files import project

from press.cli import editions as edition_command
from wsss_lib.data import load
from wsss_lib.experiments import results
from wsss_lib.experiments.workbench import Workbench

ROOT = Path(__file__).resolve().parents[1]
COLAB = ROOT / ".ci" / "colab"
FILES = sorted(COLAB.glob("*.txt"))


def page(name: str) -> str:
    return (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def prover():
    spec = importlib.util.spec_from_file_location("prove", COLAB / "prove.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_names_every_edition_and_every_chapter_is_planned_or_named() -> None:
    text = page("teach")
    for kind in edition_command.KINDS:
        assert f"`--{kind}`" in text
    plan = text[text.index("## A plan for a term") : text.index("## What to change")]
    assert [int(n) for n in re.findall(r"^\| \d \| (\d),", plan, re.M)] == [0, 1, 1, 2, 3, 4, 5]


def test_images_of_ones_own_as_the_page_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks(page("teach"), "python")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    exec(code, {})
    records = load("photos", split="train")
    assert records.classes == ("leaf", "stone")
    lab = Workbench("smoke", data="photos", device="cpu", side=32)
    assert lab.classes == ("leaf", "stone"), "a table without VOC's animals keeps all its classes"
    assert (len(lab.train_on), len(lab.report_on)) == (12, 6)
    assert lab.report_on[1]["mask"].unique().tolist() == [0, 2]


def test_the_cell_for_colab_is_python_and_calls_what_exists() -> None:
    (code,) = blocks(page("colab"), "python")
    compile(code, "cell", "exec")
    assert "from wsss_lib.notebook import keep_in" in code


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_runtime_of_colab_satisfies_what_the_package_asks_for(path: Path) -> None:
    prove = prover()
    pins = {name: Version(version) for name, version in prove.pins(path).items()}
    assert Version("3.11") <= Version(prove.python_of(path)) <= Version("3.13")
    assert list(pins) == sorted(pins)
    assert pins["ipywidgets"] == Version("7.7.1")
    assert pins["datasets"] == Version("4.0.0")
    for line in project()["dependencies"]:
        wanted = Requirement(line)
        assert wanted.name in pins, f"{path.name} does not say which {wanted.name} this runtime has"
        assert pins[wanted.name] in wanted.specifier


def test_the_runtimes_span_what_the_book_promises() -> None:
    prove = prover()
    oldest, newest = (prove.pins(path) for path in (FILES[0], FILES[-1]))
    assert (prove.python_of(FILES[0]), oldest["torch"], oldest["numpy"]) == ("3.11", "2.6.0", "2.0.2")
    assert (prove.python_of(FILES[-1]), newest["torch"], newest["numpy"]) == ("3.13", "2.11.0", "2.1.3")


def test_no_package_host_is_named() -> None:
    for path in COLAB.iterdir():
        if path.is_file():
            assert not re.search(r"https?://", path.read_text(encoding="utf-8"))


def test_the_reader_of_the_proof_changes_the_notebook_as_the_page_says(tmp_path: Path) -> None:
    notebook = prover().as_reader("01_cam", tmp_path)
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert sources[1].startswith('profile = "smoke"')
    assert sources[2] == f"from wsss_lib.notebook import keep_in\n\nout_dir = keep_in({str(tmp_path)!r})"
    stored = json.loads((ROOT / "book" / "chapters" / "01_cam.ipynb").read_text(encoding="utf-8"))
    assert len(notebook["cells"]) == len(stored["cells"]) + 1


def test_the_page_on_colab_says_what_was_proven_and_no_more() -> None:
    recorded = results.read("colab")
    rows = recorded["data"]["runtimes"]
    assert set(rows) == {path.stem for path in FILES}
    for name, row in rows.items():
        assert row["pins"] == prover().pins(COLAB / f"{name}.txt"), f"{name} was proven with other versions: make colab"
        ran = "yes" if "seconds" in row else "not tried"
        installs = "yes" if row["packages"] else "no"
        versions = (name, row["python"], row["pins"]["torch"], row["pins"]["numpy"])
        line = " | ".join([*(f"`{version}`" for version in versions), installs, ran])
        assert f"| {line} |" in page("colab")
    assert f"Last tried on {recorded['provenance']['date']}." in page("colab")
