import nbformat
import pytest
from notebook_kit import as_text, notebook

from press.chapter import Chapter
from press.check import addresses

FETCHED = [
    "![A map, lit](https://cdn.example.org/a.png)",
    '<img alt="x" src="//cdn.example.org/a.png">',
    "<script src=https://cdn.example.org/a.js></script>",
    '<link rel="stylesheet" href="https://cdn.example.org/a.css">',
    '<iframe\n src="http://cdn.example.org/"></iframe>',
    "<style>@import 'https://cdn.example.org/a.css';</style>",
    "<style>p { background: url(https://cdn.example.org/a.png) }</style>",
    "<script>fetch('https://cdn.example.org/a.json')</script>",
    "<script type=module>import x from 'https://cdn.example.org/a.js'</script>",
    "<script>picture.src = `https://cdn.example.org/a.png`</script>",
    '<img alt="x" srcset="a.png 1x, https://cdn.example.org/b.png 2x">',
    "<style>p { background: image-set('https://cdn.example.org/a.png' 1x) }</style>",
    "<script>const place = 'https://cdn.example.org/a'; fetch(place)</script>",
    "<script>request.open('GET', 'https://cdn.example.org/a')</script>",
    "```{image} https://cdn.example.org/a.png\n:alt: x\n```",
    "![A map, lit][a]\n\n[a]: https://cdn.example.org/a.png",
    '<svg><image xlink:href="https://cdn.example.org/a.png"/></svg>',
]
HARMLESS = [
    "[a link](https://example.org/)",
    '<a href="https://example.org/">x</a>',
    '<svg xmlns="http://www.w3.org/2000/svg"></svg>',
    '<link rel="canonical" href="https://example.org/">',
    '<img alt="x" src="data:image/png;base64,aGk=">',
    "![A map, lit](../assets/a.png)",
    "<script>const a = 1 // https://example.org</script>",
    "<script>document.createElementNS('http://www.w3.org/2000/svg', 'g')</script>",
    "[A word][a]\n\n[a]: https://example.org/",
]


def problems(tmp_path, text: str, where: str) -> str:
    made = notebook("01_cam", "x")
    if where == "output":
        made.cells[-1].outputs = [nbformat.v4.new_output("display_data", {"text/html": text})]
    else:
        made.cells.append(nbformat.v4.new_markdown_cell(text))
    return as_text(addresses.hosts(Chapter(tmp_path / "01_cam.ipynb", made)))


@pytest.mark.parametrize("where", ["output", "prose"])
@pytest.mark.parametrize("text", FETCHED)
def test_what_a_page_needs_from_addresses_is_found(tmp_path, text, where):
    said = problems(tmp_path, text, where)
    assert "cdn.example.org" in said
    assert "put the file into book/assets" in said
    assert said.count("\n") == 0


@pytest.mark.parametrize("where", ["output", "prose"])
@pytest.mark.parametrize("text", HARMLESS)
def test_what_a_reader_may_follow_is_not(tmp_path, text, where):
    assert problems(tmp_path, text, where) == ""


@pytest.mark.parametrize("name", ["a.md", "assets/a.css", "assets/a.js", "assets/a.svg"])
def test_pages_styles_and_scripts_are_read_too(tmp_path, name):
    path = tmp_path / "book" / name
    path.parent.mkdir(parents=True)
    path.write_text("@import 'https://cdn.example.org/a.css'")
    assert [p.where for p in addresses.sources(tmp_path)] == [f"book/{name}"]
    path.write_text("@import 'a.css'")
    assert list(addresses.sources(tmp_path)) == []
