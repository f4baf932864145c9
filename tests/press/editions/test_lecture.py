"""What a lecture takes from the chapters: figures with their alternative texts, and slides."""

import base64
import io
import re
import zipfile
from pathlib import Path

import nbformat
import pytest

from press import cells, project
from press.editions import editions, exercises, lecture
from press.project import ProjectError

ROOT = Path(__file__).resolve().parents[3]
PNG = base64.b64encode(b"a picture").decode()
FLOW = '<figure class="flow"><svg xmlns="http://www.w3.org/2000/svg" aria-label="F &amp; P"><path/></svg></figure>'
v4 = nbformat.v4


def notebook():
    picture = v4.new_output("display_data", {"image/png": PNG}, metadata={"image/png": {"alt": "A map"}})
    vector = v4.new_output(
        "display_data",
        {"image/png": PNG, "image/svg+xml": "<svg/>"},
        metadata={"image/png": {"alt": "A curve"}},
    )
    flow = v4.new_output("display_data", {"text/html": FLOW})
    said = v4.new_output("display_data", {"text/markdown": "It is **0.5**. More."})
    texts = [
        "# T\n\n**What you need.** Nothing.\n\n{cite:t}`a2020` ask [why](b.md). Then more.",
        "## One `part`\n\n:::{note}\n## No heading\n:::\n\n| a |\n|--|\n\nFirst words of\nit. Second.",
        "## Two",
        "### List\n\n- one\n- two {cite:p}`b2021`",
    ]
    made = [v4.new_markdown_cell(text) for text in texts]
    made.insert(2, v4.new_code_cell("show()", outputs=[picture, flow]))
    made.insert(4, v4.new_code_cell("say()", outputs=[said, vector]))
    return v4.new_notebook(cells=made)


def test_sections_have_their_first_sentence_and_their_figures():
    parts = lecture.sections(notebook())
    assert [(section.depth, section.title, section.sentence) for section in parts] == [
        (1, "T", "@a2020 ask why."),
        (2, "One `part`", "First words of it."),
        (2, "Two", "It is **0.5**."),
        (3, "List", "- one\n- two [@b2021]"),
    ]
    one, two = parts[1].figures, parts[2].figures
    assert [(figure.name, figure.alt) for figure in one] == [("01-one-part.png", "A map"), ("02-one-part.svg", "F & P")]
    assert one[0].content == b"a picture"
    assert one[1].content.startswith(b"<svg xmlns=")
    assert [(figure.name, figure.content, figure.alt) for figure in two] == [("03-two.svg", b"<svg/>", "A curve")]


def test_the_pack_holds_each_figure_and_says_what_it_shows():
    read = {"01_t": lecture.sections(notebook()), "02_bare": [lecture.Section(1, "Bare")]}
    packed = lecture.pack(read)["figures.zip"]
    assert lecture.pack(read)["figures.zip"] == packed, "the same figures give the same bytes"
    with zipfile.ZipFile(io.BytesIO(packed)) as opened:
        names = ["FIGURES.md", "01_t/01-one-part.png", "01_t/02-one-part.svg", "01_t/03-two.svg"]
        assert opened.namelist() == [f"figures/{name}" for name in names]
        listed = opened.read("figures/FIGURES.md").decode()
    assert re.findall(r"(?m)^\*\*(.*)\*\* \((.*)\)\n\n(.*)$", listed)[1] == (
        "01_t/02-one-part.svg",
        "One `part`",
        "F & P",
    )
    assert "CC BY 4.0" in listed
    assert "Bare" not in listed


def test_a_slide_a_heading():
    made = lecture.outline({"01_t": lecture.sections(notebook())})
    slides = made["01_t.md"].decode().split("\n\n---\n\n")
    assert slides[0] == "# T\n\n@a2020 ask why."
    assert slides[1].startswith(
        "## One `part`\n\nFirst words of it.\n\n![A map](figures/01_t/01-one-part.png)\n\n![F & P]"
    )
    assert len(slides) == 5, "four headings and the licence"
    assert made["figures/01_t/01-one-part.png"] == b"a picture"


@pytest.mark.parametrize("kind", lecture.KINDS)
def test_nothing_is_replaced_unasked(kind, tmp_path):
    made = editions.write(ROOT, kind, tmp_path, ["bas"])
    assert made
    assert all(path.is_file() for path in made)
    with pytest.raises(ProjectError, match="--force"):
        editions.write(ROOT, kind, tmp_path, ["bas"])
    assert editions.write(ROOT, kind, tmp_path, ["bas"], force=True) == made


@pytest.mark.parametrize("path", project.chapters(ROOT), ids=lambda path: path.stem)
def test_every_stored_figure_is_described_and_every_link_of_a_slide_leads_to_it(path):
    stored = cells.read(path)
    parts = lecture.sections(stored)
    assert parts[0].depth == 1
    assert all(len(figure.alt) > 20 for section in parts for figure in section.figures)
    pictures = sum("image/png" in output.get("data", {}) for cell in stored.cells for output in cell.get("outputs", []))
    assert sum(figure.name.endswith(".png") for section in parts for figure in section.figures) == pictures
    made = lecture.outline({path.stem: parts})
    linked = re.findall(r"\]\((figures/[^)]+)\)", made[f"{path.stem}.md"].decode())
    assert sorted(linked) == sorted(set(made) - {f"{path.stem}.md"})
    if exercises.find(stored):
        assert sum(bool(section.sentence) for section in parts) > len(parts) / 2
