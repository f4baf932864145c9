"""A small sample of the book: real settings, real extensions, real assets, sample chapters; built once a process."""

import base64
import json
import shutil
from pathlib import Path

import nbformat

from press import cells, first_cell
from press.normalise import normalise
from press.publish.build import pages

ROOT = Path(__file__).resolve().parents[1]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
ALTS = ["A map, lit at the head", "The same map, lit at the body"]
STAMP = {
    "date": "2031-05-17", "profile": "book", "seconds": 71, "memory_mb": 803, "machine": "CPU, one thread (x86_64)",
    "versions": {"python": "3.11", "torch": "2.15.0", "wsss-lib": "0.1.0"}, "data": {"critters": "0123456789ab"},
}  # fmt: skip
MUTANTS = {
    "data": {"maps": {"seed": 3, "possible": 281, "tried": 40, "killed": 37, "survived": [
        *({"path": "a.py", "place": at, "before": "1", "after": "2", "why": ""} for at in ("7:9", "8:9")),
        {"path": "wsss_lib/maps/masks.py", "place": "78:22", "before": "1.0", "after": "2.0", "why": "Halved at once."},
    ]}},
    "provenance": {"command": "make mutate", "date": "2031-05-18", "commit": "0123456789ab"},
}  # fmt: skip
HOUSE = {"data": {"seconds": {"book": 400.4, "prose": 61.2}, "cores": 2}}
RUN = {"choose": "critters/val", "split": "critters/test", "images": 400, "labels_given": True}
RESULT = {
    "name": "sample",
    "data": {"rows": {"cam": [RUN | {"miou": 0.3}, RUN | {"miou": 0.5}], "BAS": [RUN | {"miou": 0.9, "iou": 0.8}]}},
    "provenance": {"command": "python -m wsss_lib.experiments.studies sample", "versions": {"torch": "2.15.0"}},
}
SPEED = {
    "name": "bench_sample",
    "data": {"rows": {"boxes": {"speed": {
        "ours": {"times_ours": 1, "milliseconds_an_image": 1.25}, "a loop": {"times_ours": 33.4},
    }}}},
    "provenance": {"command": "make bench", "device": "CPU, 1 thread (x86_64)"},
}  # fmt: skip
FEW_ROWS = "```{results-table} sample other\n```"
INSIDE = "A dot that lies in the page itself"
v4 = nbformat.v4


def executed(name: str) -> cells.Notebook:
    """A chapter as the runner leaves it: two pictures in one cell, and a sentence with a number and maths."""
    pictures = []
    for alt, grey in zip(ALTS, (0, 99), strict=True):
        data = base64.b64encode(base64.b64decode(PIXEL) + bytes([grey])).decode()
        pictures.append(v4.new_output("display_data", {"image/png": data}, metadata={"image/png": {"alt": alt}}))
    sentence = v4.new_output("display_data", {"text/markdown": "The IoU is **0.46**, and $x^2$."})
    begun = v4.new_output("stream", name="stdout", text="wsss-lib 0.1.0\nProfile book: at most 2 min on two CPUs\n")
    inside = v4.new_output("display_data", {"text/html": f'<img alt="{INSIDE}" src="data:image/png;base64,{PIXEL}">'})
    made = [
        v4.new_markdown_cell(
            f"# Chapter {name}\n\n**What you need.** A pencil and [the glossary](../glossary.md).\n\n"
            "$$\\cancel{a} = 1$$\n\n## Part\n\n[Terms](../glossary.md)."
        ),
        v4.new_code_cell(
            first_cell.source(name), metadata={"tags": list(first_cell.TAGS)}, execution_count=1, outputs=[begun]
        ),
        v4.new_code_cell("show()", outputs=[*pictures, sentence, inside], execution_count=2),
        v4.new_markdown_cell("## Exercises\n\n**Exercise 1: add.** Write it."),
        v4.new_code_cell("def add(a, b): ...", metadata={"tags": ["exercise"]}, execution_count=3),
        v4.new_code_cell("ANSWER = 42", metadata={"tags": ["solution", "hide-cell"]}, execution_count=4),
        v4.new_code_cell("assert add(1, 2) == 3", metadata={"tags": ["check", "hide-cell"]}, execution_count=5),
        v4.new_markdown_cell("## Last words\n\nThe end."),
    ]
    return normalise(v4.new_notebook(cells=made))


def lay_out(root: Path) -> None:
    """Write the sample's sources and executed chapters."""
    for name in ("_config.yml", "_toc.yml", "pyproject.toml"):
        shutil.copyfile(ROOT / name, root / name)
    shutil.copytree(ROOT / "book" / "assets", root / "book" / "assets")
    for page in pages(root):
        path = Path(page)
        if path.parent.name == "chapters":
            cells.write(executed(path.name), root / "_build" / "run" / "book" / f"{path.name}.ipynb")
        else:
            file = root / f"{page}.md"
            file.parent.mkdir(exist_ok=True)
            real = page in ("book/results", "book/status", "book/api/maps")
            text = f"# {path.name}\n\n{FEW_ROWS if page == 'book/own_photographs' else 'Text.'}\n"
            file.write_text((ROOT / f"{page}.md").read_text() if real else text)
    (root / "book" / "references.bib").write_text("")
    (root / "book" / "stamps.json").write_text(json.dumps({"01_cam": STAMP}))
    (root / "book" / "mutants.json").write_text(json.dumps(MUTANTS))
    (root / "book" / "house.json").write_text(json.dumps(HOUSE))
    (root / "results").mkdir()
    (root / "results" / "sample.json").write_text(json.dumps(RESULT))
    (root / "results" / "bench_sample.json").write_text(json.dumps(SPEED))
