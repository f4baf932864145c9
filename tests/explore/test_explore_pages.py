"""What the book's builder makes of controls, and of what a screen reader would stumble over."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch

from wsss_lib import explore
from wsss_lib.explore.control import asset

EXT = Path(__file__).resolve().parents[2] / "press" / "sphinx"


def extension(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"book_ext_{name}", EXT / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def served(body: str) -> tuple[str, list[str]]:
    files: list[str] = []
    app = SimpleNamespace(add_css_file=files.append, add_js_file=lambda name, **_: files.append(name))
    context = {"body": body}
    extension("controls").once(app, "page", "page.html", context, None)
    return context["body"], files


def test_a_page_gets_style_and_script_of_its_controls_once() -> None:
    control = explore.curtain(torch.zeros(3, 8, 8), torch.ones(3, 8, 8), alt="a dark and a bright square").html()
    body, files = served(f"<p>a</p>{control}<p>b</p>{control}<style>p{{}}</style>")
    assert files == ["explore.css", "explore.js"]
    assert asset("explore.js") not in body
    assert asset("explore.css") not in body
    assert body.count('class="wsss-explore"') == 2
    assert body.endswith("<style>p{}</style>")  # another's style stays


def test_a_page_without_controls_is_left_alone() -> None:
    assert served("<p>a</p><script>1</script>") == ("<p>a</p><script>1</script>", [])


def test_pages_are_mended_once_and_for_all(tmp_path: Path) -> None:
    page = tmp_path / "deep" / "page.html"
    page.parent.mkdir()
    page.write_text(
        '<summary aria-label="Toggle hidden content"><p>Show</p></summary><th class="head text-left"><p></p></th>'
        '<th class="head"><p>kept</p></th><div class="citation" id="id8" role="doc-biblioentry">'
        '<div id="pst-primary-sidebar" class="x">'
    )
    app = SimpleNamespace(outdir=str(tmp_path), builder=SimpleNamespace(format="html"))
    mended = []
    for _ in range(2):
        extension("accessible").mend(app, None)
        mended.append(page.read_text())
    assert mended[0] == mended[1]
    assert mended[0] == (
        '<summary><p>Show</p></summary><td></td><th class="head"><p>kept</p></th><div class="citation" id="id8" '
        'role="listitem"><div id="pst-primary-sidebar" role="navigation" aria-label="Book" class="x">'
    )
