"""The book on paper (``make pdf``) and in a folder (``make offline``), from the sample of ``test_book``."""

import re
import shutil
import urllib.parse
import zipfile
from pathlib import Path

import pytest
from book_kit import ALTS, INSIDE
from bs4 import BeautifulSoup

from press.project import ProjectError
from press.publish import offline, pdf
from press.publish.build import pages
from press.publish.paper import assemble


@pytest.fixture(scope="module")
def paper(built, sample):
    return assemble(sample, sample / "_build" / "pdf" / "book.html")


@pytest.fixture(scope="module")
def soup(paper):
    return BeautifulSoup(paper.read_text(), "html.parser")


def test_every_page_is_on_paper_in_the_order_of_the_contents(soup, sample):
    parts = soup.select("section.paper-page")
    assert len(parts) == len(pages(sample))
    assert [link["href"][1:] for link in soup.select(".paper-contents a")] == [part["id"] for part in parts]
    assert soup.select_one(".paper-title").text == "From Labels to Masks"
    assert soup.html["lang"] == "en"


def test_links_stay_inside_and_no_name_comes_twice(soup):
    names = [element["id"] for element in soup.find_all(id=True)]
    assert len(names) == len(set(names))
    inside = [link["href"][1:] for link in soup.find_all("a", href=re.compile("^#"))]
    assert len(inside) > 20
    assert [target for target in inside if target not in set(names)] == []
    others = {link["href"] for link in soup.find_all("a", href=True) if not link["href"].startswith("#")}
    assert all(re.match(r"https?://", link) for link in others), others


def test_pictures_and_styles_are_those_of_the_site(soup, paper):
    pictures = soup.select(".cell_output img")
    assert [image["alt"] for image in pictures][: len(ALTS)] == ALTS
    inside = soup.find("img", alt=INSIDE)["src"]
    assert inside.startswith("data:image/png;base64,")
    files = [image["src"] for image in soup.find_all("img") if not image["src"].startswith("data:")]
    for source in files + [link["href"] for link in soup.find_all("link")]:
        assert (paper.parent / urllib.parse.unquote(source)).is_file(), source


def test_solutions_stand_at_the_end_of_their_chapter(soup):
    chapter = next(p for p in soup.select("section.paper-page") if "Chapter 01_cam" in p.h1.text)
    text = chapter.get_text(" ", strip=True)
    order = ["Exercise 1: add", "def add", "end of the chapter", "Last words", "Solutions", "ANSWER", "assert add"]
    places = [text.index(word) for word in order]
    assert places == sorted(places)
    assert text.count("ANSWER") == 1
    link = chapter.select_one(".paper-solution a")["href"][1:]
    assert soup.find(id=link).text.strip() == "Exercise 1: add"


def test_nothing_stays_folded_and_nothing_is_for_the_screen_only(soup):
    assert [d for d in soup.find_all("details") if not d.has_attr("open")] == []
    assert soup.select("summary") == [s for s in soup.select("summary") if "cell" not in s.text]
    assert soup.select(".chapter-actions, .headerlink") == []
    assert "begin(chapter=" in soup.text  # plumbing is folded on the screen


def test_without_chromium_one_sentence_says_what_is_needed(sample, monkeypatch, capsys):
    monkeypatch.chdir(sample)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("WSSS_CHROMIUM", raising=False)
    assert pdf.main() == 1
    said = capsys.readouterr().err
    assert said == (
        "make pdf: the PDF is printed by Chromium, and there is none on the path: install it, or name another one\n"
    )
    monkeypatch.setenv("WSSS_CHROMIUM", "/nowhere/chromium")
    with pytest.raises(ProjectError, match="none at WSSS_CHROMIUM=/nowhere/chromium"):
        pdf.browser()


@pytest.mark.parametrize("command", [pdf, offline])
def test_a_book_that_was_not_built_is_named(command, tmp_path, monkeypatch, capsys):
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/welcome\n")
    (tmp_path / "book").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pdf, "browser", lambda: "chromium")
    assert command.main() == 1
    assert "has not been built: run `make book` first" in capsys.readouterr().err


@pytest.fixture(scope="module")
def chromium() -> str:
    pytest.importorskip("playwright.sync_api")
    try:
        return pdf.browser()
    except ProjectError as error:
        pytest.skip(str(error))


@pytest.mark.browser
def test_the_pdf_has_an_outline_and_a_place_for_every_page(built, sample, chromium):
    target = pdf.write(sample, sample / "_build" / "sample.pdf")
    printed = target.read_bytes()
    assert printed.startswith(b"%PDF-")
    assert all(f"/page{number} [".encode() in printed for number in range(len(pages(sample))))
    assert b"/Outlines" in printed


@pytest.fixture(scope="module")
def unpacked(built, sample, tmp_path_factory) -> Path:
    stored = shutil.copytree(sample / "_build" / "run" / "book", sample / "book" / "chapters")
    packed = offline.write(sample, sample / "_build" / "sample.zip")
    shutil.rmtree(stored)  # the sample belongs to other tests too, in whatever order they come
    folder = tmp_path_factory.mktemp("offline")
    with zipfile.ZipFile(packed) as opened:
        opened.extractall(folder)
    return folder / offline.NAME


def test_the_folder_holds_site_and_notebooks(unpacked, sample):
    assert sorted(p.name for p in unpacked.iterdir()) == ["README.txt", "START-HERE.html", "notebooks", "site"]
    chapters = [Path(p).name for p in pages(sample) if "/chapters/" in p]
    assert [p.stem for p in sorted((unpacked / "notebooks").iterdir())] == sorted(chapters)
    assert "{" not in (unpacked / "README.txt").read_text() + (unpacked / "START-HERE.html").read_text()


@pytest.mark.browser
def test_the_folder_opens_without_a_server(unpacked, chromium):
    from playwright.sync_api import sync_playwright

    asked, failed = [], []
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = started.new_page()
        page.on("request", lambda request: asked.append(request.url))
        # What is still on its way when the next page is opened is aborted: an icon, at most.
        page.on("requestfailed", lambda r: failed.append(r.url) if "ABORTED" not in (r.failure or "") else None)
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto((unpacked / "START-HERE.html").as_uri())
        page.wait_for_url("**/site/book/welcome.html")
        page.goto((unpacked / "site/book/chapters/01_cam.html").as_uri())
        page.wait_for_selector("mjx-container[display]")
        started.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert failed == []
