import nbformat
import pytest
from notebook_kit import lay, notebook, put

from press import cells
from press.check.references import references

GOOD = """\
(here)=
## A part

$$
x = 1
$$ (eq-one)

See [the terms](../glossary), [a part](#here), [the other](02_eigen_cam.ipynb), [a page](../results), [a label](here),
[outside](https://example.org/), {cite:t}`zhou2016cam`, {cite:p}`zhou2016cam,jo2023mars`, {term}`CAM`,
{term}`maps <activation map>`, {eq}`eq-one`, {ref}`here`, `[no](link)`, {kbd}`x`.
"""


@pytest.fixture
def book(clone):
    """A clone with two chapters, a glossary, and whatever Markdown the first chapter holds."""
    lay(clone, {
        "_toc.yml": "root: book/welcome\nchapters:\n- file: book/results\n",
        "book/references.bib": "@article{zhou2016cam,\n}\n@article{jo2023mars,\n}\n",
        "book/glossary.md": "# Terms\n\n```{glossary}\nCAM\nactivation map\n  A map.\n```\n",
    })  # fmt: skip
    put(clone, "02_eigen_cam")

    def told(text: str, output: str = "") -> list[str]:
        made = notebook("01_cam", "say()")
        made.cells.append(nbformat.v4.new_markdown_cell(text, id="prose"))
        made.cells[-2].outputs = [nbformat.v4.new_output("display_data", {"text/markdown": output})]
        cells.write(made, clone / "book/chapters/01_cam.ipynb")
        return [str(problem) for problem in references(clone)]

    return told


def test_what_leads_somewhere_is_no_problem(book):
    assert book(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("../glossary)", "../glosary)", "links to ../glosary, which does not exist"),
        ("02_eigen_cam.ipynb", "03_bas.ipynb", "links to 03_bas.ipynb"),
        ("](#here)", "](#her)", "links to #her"),
        ("../results", "../reults", "links to ../reults"),
        ("{cite:t}`zhou2016cam`", "{cite:t}`zhou2017cam`", "cites zhou2017cam, which does not exist: add it to book"),
        ("zhou2016cam,jo2023mars", "zhou2016cam,jo", "cites jo,"),
        ("{term}`CAM`", "{term}`KAM`", "uses the term KAM"),
        ("<activation map>", "<activation maps>", "uses the term activation maps"),
        ("{eq}`eq-one`", "{eq}`eq-two`", "refers to eq-two"),
        ("{ref}`here`", "{ref}`there`", "refers to there"),
    ],
)
def test_what_leads_nowhere_is_found_with_its_cell(book, old, new, reason):
    assert old in GOOD
    told = book(GOOD.replace(old, new))
    assert len(told) == 1
    assert told[0].startswith("01_cam, cell 5 (prose: (here)=): ")
    assert reason in told[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("![A map, lit](../assets/none.png)", "shows ../assets/none.png, which does not exist"),
        ("```{figure} ../assets/none.png\n:alt: A map, lit\n```", "shows ../assets/none.png"),
        ("```{include} ../none.md\n```", "shows ../none.md"),
        ("{doc}`../none`", "links to ../none"),
        ("{any}`none`", "refers to none"),
        ("[a word][a]\n\n[a]: ../none.md", "links to ../none.md"),
        ("[terms](../glossary.html)", "links to ../glossary.html"),
        ("(here)=\n## One\n\n(here)=\n## Two", "defines the label here, which 01_cam, cell 5 (prose"),
        ("```{note}\n[lost](../none)\n```\nAnd more\n```{note}\nText\n```", "links to ../none"),
        ("```{download}\n```\n{download}`a <../none.zip>`", "shows ../none.zip"),
        ("(there)=\n## One", "defines the label there, which 01_cam, cell 5 (prose"),
    ],
)
def test_files_and_labels_that_lead_nowhere_or_twice_are_found(book, clone, text, reason):
    other = notebook("02_eigen_cam")
    other.cells.append(nbformat.v4.new_markdown_cell("(there)=\n## There", id="prose"))
    cells.write(other, clone / "book/chapters/02_eigen_cam.ipynb")
    (told,) = book(text)
    assert reason in told
    assert "which does not exist" in told or "choose another name" in told


def test_sentences_that_a_cell_computed_are_read_too(book):
    assert "cites nobody" in book(GOOD, "By {cite:t}`nobody`.")[0]


def test_pages_are_read_too(book, clone):
    lay(clone, {"book/welcome.md": "# Hello\n\n[lost](nowhere.md), [found](chapters/01_cam.ipynb)\n"})
    assert book(GOOD) == ["book/welcome.md: links to nowhere.md, which does not exist: correct the link"]
