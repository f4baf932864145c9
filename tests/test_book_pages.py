"""What stands around the chapters: their heads, the pages of records, titles, the search."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
import yaml
from book_kit import RESULT, ROOT, STAMP, lay_out
from test_book import serving

from press import cells
from press.publish.build import build, config, forget_outdated, pages
from wsss_lib import cli

NOTEBOOK = ROOT / "book" / "chapters" / "90_troubleshooting.ipynb"


def head(page: str) -> str:
    result = re.search(r'</h1>\s*<div class="chapter-head">(.*?</details>)</div></div>', page, re.S)
    assert result, "the head does not follow the title"
    return result[1]


class Table(HTMLParser):
    """Texts of the first table of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(page[page.index("<table") : page.index("</table>")])

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data.strip()


def test_a_chapter_says_what_it_needs_and_when_it_was_verified(chapter):
    top = head(chapter)
    assert '<dt>Needs</dt><dd>A pencil and <a class="reference internal" href="../glossary.html">' in top
    assert chapter.count("A pencil and") == 1, "the paragraph moves, it is not doubled"
    assert STAMP["date"] in top
    assert f"<dt>A run takes</dt><dd>71 s and 0.8 GB of memory · {STAMP['machine']} (at most 20 s with" in top
    assert "torch 2.15.0" in top
    assert "wsss-lib 0.1.0" in chapter, "what the first cell printed is there"
    assert "Profile book:" not in chapter, "but not the limit that every chapter prints alike"


def test_a_chapter_leads_to_its_notebook_and_to_colab(chapter):
    top = head(chapter)
    assert 'href="../../_sources/book/chapters/01_cam.ipynb" download="01_cam.ipynb"' in top
    assert re.search(r'href="https://colab[^"]+/blob/main/book/chapters/01_cam.ipynb">Open in Colab', top)


def test_a_chapter_says_how_to_cite_it(chapter):
    top = head(chapter)
    assert "Chapter 01_cam. In <em>From Labels to Masks</em>, version" in top
    entry = re.search(r"@incollection\{labels-to-masks-chapter-01_cam,(.*?)\n\}", top, re.S)
    assert entry
    assert {"author", "title", "booktitle", "year", "url"} <= set(re.findall(r"^  (\w+) +=", entry[1], re.M))


def test_a_chapter_without_a_stamp_says_so(built):
    top = head((built / "book/chapters/02_eigen_cam.html").read_text())
    assert "<dd>not recorded yet; at most 2 min on two CPU cores (at most 20 s" in top
    assert "<time>" not in top


def test_every_page_is_there_as_markdown_and_says_where(built, sample):
    listed = re.findall(r"\]\((\S+)\.md\)", (built / "llms.txt").read_text())
    assert listed == pages(sample)
    for name in listed:
        assert (built / f"{name}.md").read_text().startswith("# ")
        page = (built / f"{name}.html").read_text()
        links = re.findall(r'<link rel="alternate" type="text/\w+" [^>]*href="([^"]*)"', page)
        assert [(built / name).parent.joinpath(link).resolve() for link in links] == [
            built / f"{name}.md", built / "llms.txt"
        ]  # fmt: skip
    assert "![A map, lit at the head](../../_images/" in (built / "book/chapters/01_cam.md").read_text()


def test_the_status_is_that_of_the_stamps(built):
    page = (built / "book/status.html").read_text()
    rows = {row[0]: row[1:] for row in Table(page).rows}
    assert rows["01_cam"] == ["2031-05-17", "book", "71", "803", "CPU, one thread (x86_64)"]
    assert rows["02_eigen_cam"][0] == "not recorded"
    assert "critters 0123456789ab" in page


def test_the_status_says_what_the_tests_notice(built):
    page = (built / "book/status.html").read_text()
    rows = {row[0]: row[1:] for row in Table(page[page.rindex("<table") :]).rows}
    assert rows["maps"] == ["281", "3", "40", "37", "1", "2", "95%"]
    assert "Halved at once." in page
    assert page.count("no test noticed it when this was measured") == 2
    assert "wsss_lib/maps/masks.py:78:22" in page
    assert "2031-05-18, commit 0123456789ab" in page


def test_the_results_are_the_honest_rows(built):
    rows = Table((built / "book/results.html").read_text()).rows
    heads = rows[0]
    cam, bas = (dict(zip(heads, row, strict=True)) for row in rows[1:])
    assert (cam["method"], cam["mIoU"], cam["IoU"], cam["runs"]) == ("CAM", "0.400 ± 0.141", "–", "2")
    assert (bas["method"], bas["mIoU"], bas["IoU"], bas["runs"]) == ("BAS", "0.900", "0.800", "1")
    assert (cam["data / split"], cam["threshold"], cam["images"]) == ("critters/test", "best on critters/val", "400")
    assert (cam["labels at test time"], cam["multi-scale"]) == ("yes", "not recorded")


def test_speed_stands_beside_that_of_others(built):
    page = (built / "book/results.html").read_text().partition("</table>")[2]
    assert Table(page).rows == [
        ["contest", "milliseconds an image", "a loop"],
        ["boxes", "1.2", "33 ×"],
    ]
    assert "bench_sample: their time over ours, on CPU, 1 thread (x86_64)" in page


def test_a_page_shows_the_rows_of_the_results_that_it_names(built):
    page = (built / "book/own_photographs.html").read_text()
    assert Table(page).rows == [
        ["method", "data / split", "mIoU", "mean AP", "runs", "images", "threshold"],
        ["CAM", "critters/test", "0.400 ± 0.141", "–", "2", "400", "best on critters/val"],
        ["BAS", "critters/test", "0.900", "–", "1", "400", "best on critters/val"],
    ]
    assert "recorded as sample and other" in page
    assert 'href="results.html"' in page


def test_new_records_make_their_pages_anew(built, sample):
    path = sample / "book" / "stamps.json"
    path.write_text(json.dumps({"01_cam": STAMP, "02_eigen_cam": STAMP | {"seconds": 33}}))
    try:
        assert build(sample, tell=print)
        assert "33 s" in head((built / "book/chapters/02_eigen_cam.html").read_text())
        rows = Table((built / "book/status.html").read_text()).rows
        assert {row[0]: row[3] for row in rows}["02_eigen_cam"] == "33"
    finally:
        path.write_text(json.dumps({"01_cam": STAMP}))
        build(sample, tell=print)


def test_a_changed_style_or_extension_makes_all_anew(tmp_path):
    for name in ("press/sphinx", "book/assets"):
        (tmp_path / "stage" / name).mkdir(parents=True)
    style, kept = tmp_path / "stage/book/assets/book.css", tmp_path / ".doctrees"

    def built_again() -> bool:
        """Whether Sphinx begins with nothing."""
        kept.mkdir(exist_ok=True)
        forget_outdated(tmp_path, [tmp_path / "stage/press/sphinx", tmp_path / "stage/book/assets"])
        return not kept.is_dir()

    style.write_text("a {}")
    assert [built_again(), built_again()] == [True, False]
    style.write_text("b {}")
    assert [built_again(), built_again()] == [True, False]


@pytest.mark.parametrize("complete", [True, False])
def test_a_build_that_was_cut_off_begins_anew(complete, tmp_path, monkeypatch):
    """The page to open is written last."""
    lay_out(tmp_path)
    remains = [tmp_path / "_build" / name for name in (".doctrees/environment.pickle", "html/_static/book.css")]
    for path in [*remains, *([tmp_path / "_build/html/index.html"] if complete else [])]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    seen = []

    def watched(*args, **kwargs):
        seen.extend(path.exists() for path in remains)
        return subprocess.CompletedProcess(args, 1, "", "")

    monkeypatch.setattr("press.publish.build.forget_outdated", lambda *_: None)
    monkeypatch.setattr("press.publish.build.watched", watched)
    assert build(tmp_path, tell=lambda _: None) is None
    assert seen == [complete, complete]


def test_without_an_address_no_button_needs_one(sample):
    file = sample / "pyproject.toml"
    text = file.read_text()
    file.write_text(re.sub(r"(?m)^Repository = .*$", "", text))
    try:
        settings = config(sample)
    finally:
        file.write_text(text)
    assert not {"repository", "launch_buttons"} & set(settings)
    assert settings["html"]["use_repository_button"] is settings["html"]["use_issues_button"] is False


def test_every_page_has_a_title_a_description_and_a_language(built):
    result = [p for p in built.rglob("*.html") if "_static" not in p.parts]
    assert len(result) >= 10
    for path in result:
        page = path.read_text()
        assert '<html lang="en"' in page, path.name
        assert len(re.findall(r"<title>[^<]{4,}</title>", page)) == 1, path.name
        said = re.findall(r'<meta name="description" content="([^"]*)"', page)
        assert len(said) == 1, path.name
        assert 10 < len(said[0]) <= 220, path.name


def test_each_error_of_the_troubleshooting_is_the_one_that_its_cell_printed(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    notebook = cells.read(NOTEBOOK)
    entry, entries = "", 0
    for cell in notebook.cells:
        titles = re.findall(r"(?m)^### `(.+)`$", cell.source) if cell.cell_type == "markdown" else []
        typed = re.fullmatch(r"```console\n\$ wsss (.*)\n(wsss: .*)\n```", cell.source)
        if titles:
            assert not entry, f"no cell provokes {entry}"
            entry = titles[-1]
        elif (cell.cell_type == "code" or typed) and entry:
            if typed:  # a command that only a clone has is printed, not run, in the chapter; it is run here
                assert cli.main(typed[1].split()) == 2
                assert capsys.readouterr().err == f"{typed[2]}\n"
            printed = typed[2] if typed else "".join("".join(output.get("text", "")) for output in cell.outputs)
            pattern = ".*".join(re.escape(part) for part in entry.split("…"))
            assert re.search(rf"(?m)^{pattern}", printed), f"{entry} is not what its cell prints: {printed}"
            entry, entries = "", entries + 1
    assert not entry
    assert entries >= 25


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.mark.browser
def test_the_results_are_sorted_with_the_keyboard(built, browser):
    page = browser.new_page()
    page.goto(f"{built.as_uri()}/book/results.html")
    first = lambda: page.locator("table.sortable tbody tr th").all_inner_texts()  # noqa: E731
    assert first() == ["CAM", "BAS"]
    header = page.locator("table.sortable thead th", has_text="mIoU").first
    header.locator("button").focus()
    page.keyboard.press("Enter")
    assert (first(), header.get_attribute("aria-sort")) == (["BAS", "CAM"], "descending")
    page.keyboard.press("Space")
    assert (first(), header.get_attribute("aria-sort")) == (["CAM", "BAS"], "ascending")
    page.locator("table.sortable thead th button", has_text="method").click()
    assert first() == ["BAS", "CAM"]
    assert header.get_attribute("aria-sort") is None
    page.locator("table.sortable thead th button").nth(4).click()  # IoU, which CAM lacks: last both ways
    assert first() == ["BAS", "CAM"]
    page.locator("table.sortable thead th button").nth(4).click()
    assert first() == ["BAS", "CAM"]


@pytest.mark.browser
def test_on_a_phone_a_wide_table_of_numbers_breaks_before_its_deviations_and_does_not_scroll(browser, tmp_path):
    cells = "".join(f"<td>+0.{k}19 ± 0.007 *</td>" for k in range(6))
    row = f"<tr><th>CAM, random module</th>{cells}</tr>"
    assets = (ROOT / "book" / "assets").as_uri()
    (tmp_path / "page.html").write_text(
        f'<meta charset="utf-8"><link rel="stylesheet" href="{assets}/book.css">'
        f'<script src="{assets}/wide.js"></script>'
        f'<article class="bd-article"><div class="cell_output"><div class="output"><table class="numbers">{row * 2}'
        "</table></div></div></article>"
    )
    seen = {}
    for width in (390, 1200):
        page = browser.new_page(viewport={"width": width, "height": 600})
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_timeout(300)
        if width == 390:
            page.wait_for_selector(".stacked")
        seen[width] = page.evaluate(
            """() => {
              const box = document.querySelector(".output"), cell = document.querySelector("td");
              return [box.scrollWidth <= box.clientWidth + 1, box.classList.contains("stacked"), cell.textContent];
            }"""
        )
    assert seen[390] == [True, True, "+0.019 ±\u00a00.007\u00a0*"]
    assert seen[1200] == [True, False, "+0.019 ± 0.007 *"]


@pytest.mark.browser
@pytest.mark.parametrize(("kind", "step"), [("wide-table", "cards"), ("wide-table sortable", "scrolls")])
def test_on_a_phone_rows_of_records_are_cards_unless_they_are_sorted(kind, step, browser, tmp_path):
    heads = ["method", *(f"milliseconds of part{k}" for k in range(8))]
    row = "<tr><th>Grad-CAM</th>" + "".join(f"<td><p>{k}.5</p></td>" for k in range(8)) + "</tr>"
    assets = (ROOT / "book" / "assets").as_uri()
    styles = "".join(f'<link rel="stylesheet" href="{assets}/{name}.css">' for name in ("book", "pages"))
    (tmp_path / "page.html").write_text(
        f'<meta charset="utf-8">{styles}<script src="{assets}/wide.js"></script><article class="bd-article">'
        f'<div class="pst-scrollable-table-container"><table class="{kind} record-table"><thead><tr>'
        f"{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead><tbody>{row * 2}</tbody></table></div></article>"
    )
    page = browser.new_page(viewport={"width": 390, "height": 600})
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector(f".{step}")
    measured = """() => {
      const box = document.querySelector(".pst-scrollable-table-container");
      const cells = [...box.querySelectorAll("tr:last-child td")];
      const names = cells.map((cell) => getComputedStyle(cell, "::before").content.replaceAll('"', ""));
      return [box.scrollWidth > box.clientWidth + 1, box.querySelector("thead").offsetHeight > 0, names];
    }"""
    table_as_it_is = [True, True, ["none"] * 8]
    assert page.evaluate(measured) == ([False, False, heads[1:]] if step == "cards" else table_as_it_is)
    page.set_viewport_size({"width": 2000, "height": 600})
    page.wait_for_function("document.querySelector('thead').offsetHeight > 0")
    page.wait_for_timeout(300)
    assert page.evaluate(measured) == [False, *table_as_it_is[1:]]


@pytest.mark.browser
@pytest.mark.parametrize("opened", ["served", "file"])
def test_the_search_finds_a_page(built, browser, opened):
    page = browser.new_page()
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.on("console", lambda said: failed.append(said.text) if said.type == "error" else None)
    with serving(built) as address:
        page.goto(f"{address if opened == 'served' else built.as_uri()}/search.html?q=pencil")
        page.wait_for_selector("#search-results li a")
        result = page.locator("#search-results li a").all_inner_texts()
    assert "Chapter 01_cam" in result
    assert failed == []


def test_the_settings_name_the_clone(sample):
    assert config(sample)["sphinx"]["config"]["wsss_root"] == str(sample)
    assert "wsss_root" not in yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]
    assert RESULT["name"] in (sample / "results" / "sample.json").read_text()


def test_what_an_author_waits_for_stands_beside_its_aim(built):
    page = (built / "book/results.html").read_text()
    rows = Table(page[page.rindex("<table") :]).rows
    assert [row[1:] for row in rows] == [
        ["aim, seconds", "measured", "reached"],
        ["720", "400.4", "yes"],
        ["60", "61.2", "no"],
    ]
