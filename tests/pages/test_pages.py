"""Every page is complete with no network, says nothing on the console, and axe-core finds nothing on it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import Opener, names

pytestmark = pytest.mark.browser
VENDOR = Path(__file__).with_name("vendor")
AXE = (VENDOR / "axe.min.js").read_text(encoding="utf-8")
COLOURS = ["color-contrast", "link-in-text-block"]
FINDINGS = """(only) => axe.run(document, {
  preload: false, resultTypes: ["violations"], ...(only ? {runOnly: {type: "rule", values: only}} : {})}).then((r) =>
  r.violations.flatMap((v) => v.nodes.map((n) =>
    v.id + ": " + n.html.slice(0, 160) + " | " + n.failureSummary.slice(0, 240))))"""

# Of thousands of coloured words of code each kind twice, of formulas the first five: else axe takes minutes.
THIN = """() => {
  const seen = new Map(), again = (kind) => seen.set(kind, (seen.get(kind) ?? 0) + 1).get(kind);
  for (const word of document.querySelectorAll(".highlight span:not(:has(*))"))
    if (again(word.className) > 2) word.replaceWith(word.textContent);
  for (const formula of document.querySelectorAll("mjx-container")) if (again("formula") > 5) formula.replaceWith("x");
}"""


def ready(page: Any) -> None:
    """Wait for the formulas, and unfold what is folded."""
    page.evaluate("() => window.MathJax?.startup?.promise?.then(() => true)")
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => (one.open = true))")


@pytest.mark.parametrize("name", names())
def test_a_page_is_complete_and_quiet_without_a_network(name: str, site: Path, opened: Opener) -> None:
    page, heard = opened(site / f"{name}.html")
    ready(page)
    assert heard.other_hosts == []
    assert heard.complaints == []
    formulas, drawn = (page.locator(what).count() for what in (".math", "mjx-container"))
    assert drawn >= formulas
    assert page.locator("mjx-merror").count() == 0
    empty = page.evaluate(
        "() => [...document.images].filter((i) => i.getClientRects().length && !i.naturalWidth).map((i) => i.src)"
    )
    assert empty == []
    fonts = page.evaluate(
        "() => document.fonts.ready.then((all) => [...all].filter((f) => f.status === 'error').length)"
    )
    assert fonts == 0


@pytest.mark.parametrize("name", names())
def test_axe_finds_nothing_light_and_dark_wide_and_phone(name: str, site: Path, opened: Opener) -> None:
    page, _ = opened(site / f"{name}.html", color_scheme="light", reduced_motion="reduce")
    ready(page)
    page.evaluate(THIN)
    page.evaluate(AXE)
    result = {}
    for width, scheme, only in (
        (1280, "light", None),
        (1280, "dark", COLOURS),  # darkness changes colours, and nothing else
        (390, "dark", None),
        (390, "light", COLOURS),
    ):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(f"() => document.documentElement.dataset.theme === '{scheme}'")
        page.wait_for_timeout(500)  # the theme looks which boxes scroll a moment after a change of width
        result[width, scheme] = page.evaluate(FINDINGS, only)
        assert page.evaluate("() => document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert {where: what for where, what in result.items() if what} == {}


def test_axe_would_find_something(tmp_path: Path, opened: Opener) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<html><title>x</title><main><h1>x</h1><img src='data:,'><p style='color:#ccc'>faint</p></main></html>"
    )
    page, _ = opened(bad)
    page.evaluate(AXE)
    rules = {line.split(":")[0] for line in page.evaluate(FINDINGS, None)}
    assert {"image-alt", "html-has-lang", "color-contrast"} <= rules


def test_what_a_page_asks_elsewhere_would_be_heard(tmp_path: Path, opened: Opener) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<script src='https://example.org/a.js'></script><script>undefined_name</script>")
    _, heard = opened(bad)
    assert heard.other_hosts == ["https://example.org/a.js"]
    assert len(heard.complaints) >= 2


@pytest.mark.parametrize("word", ["eigenvector", "threshold"])
def test_search_finds_pages(word: str, site: Path, opened: Opener) -> None:
    page, heard = opened(site / "search.html", f"?q={word}")
    page.wait_for_selector("#search-results li a")
    page.wait_for_function("() => document.querySelector('#search-results p')?.textContent.match(/\\d/)")
    links = page.locator("#search-results li a").evaluate_all("(all) => all.map((a) => a.getAttribute('href'))")
    assert any("chapters/02_eigen_cam" in link for link in links)
    assert heard.other_hosts == []
    assert heard.complaints == []


def test_a_fold_says_what_it_holds(site: Path) -> None:
    page = (site / "book" / "chapters" / "01_cam.html").read_text(encoding="utf-8")
    cell = r'<div class="cell (tag_\w+)[^"]*">\s*<details class="admonition hide.*?>(Show [^<]*)</p>'
    folds = dict(re.findall(cell, page, re.DOTALL))
    assert folds["tag_solution"] == "Show the solution"
    assert folds["tag_check"] == "Show the check"
    assert "Show code cell" not in page


def test_axe_is_the_published_file() -> None:
    wanted = (VENDOR / "SHA256SUMS").read_text().split()[0]
    assert hashlib.sha256((VENDOR / "axe.min.js").read_bytes()).hexdigest() == wanted
