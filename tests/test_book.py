"""The book is built from a small sample: see ``book_kit``."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from book_kit import ALTS, ROOT

from press import cells
from press.check import site
from press.project import ProjectError, repository
from press.publish.build import build, pages, stage

VENDOR = ROOT / "book" / "assets" / "vendor"


def test_pages_are_built_and_the_index_leads_to_the_welcome(built, sample):
    for page in pages(sample):
        assert (built / f"{page}.html").is_file()
    assert "book/welcome.html" in (built / "index.html").read_text()


def test_every_picture_has_its_own_alternative_text(chapter):
    assert re.findall(r'<img alt="([^"]*)" src="[^"]*_images/', chapter) == ALTS


def test_links_lead_somewhere_and_nothing_comes_from_elsewhere(built, sample):
    assert [str(p) for one in (site.links, site.externals, site.images) for p in one(sample)] == []


def test_buttons_lead_to_colab_the_repository_and_a_download(chapter):
    address = repository(ROOT).split("/", 3)[3]
    assert f"colab.research.google.com/github/{address}/blob/main/book/chapters/01_cam.ipynb" in chapter
    assert 'href="../../_sources/book/chapters/01_cam.ipynb"' in chapter


def test_no_script_comes_twice(chapter):
    scripts = [body for body in re.findall(r"<script>(.*?)</script>", chapter, re.S) if body.strip()]
    assert len(scripts) == len(set(scripts))
    assert chapter.count("const THEBE_JS_URL") == 1


def test_a_second_build_reads_only_what_changed(built, sample):
    path = sample / "book" / "glossary.md"
    path.write_text(path.read_text() + "\nMore.\n")
    assert build(sample, tell=lambda line: None)
    log = (sample / "_build" / "build.log").read_text()
    assert "0 added, 1 changed, 0 removed" in log
    assert "More." in (built / "book" / "glossary.html").read_text()


def test_a_record_that_changes_or_appears_is_on_its_page_after_the_next_build(built, sample):
    page = built / "book" / "results.html"
    before = json.loads((sample / "book" / "house.json").read_text())
    assert "benchmarks/house.py" not in page.read_text()
    try:
        changed = {"data": before["data"] | {"seconds": {"book": 123.4}}}
        (sample / "book" / "house.json").write_text(json.dumps(changed))
        assert build(sample, tell=lambda line: None)
        assert "123.4" in page.read_text()
        (sample / "book" / "house.json").unlink()
        assert build(sample, tell=lambda line: None)
        assert "benchmarks/house.py" in page.read_text()
    finally:
        (sample / "book" / "house.json").write_text(json.dumps(before))
    assert build(sample, tell=lambda line: None)
    assert "400.4" in page.read_text()


DEAD = {
    "a link": ("[lost](nowhere.md)", "nowhere.md"),
    "a label": ("[lost](#nowhere)", "'nowhere'"),
    "a picture": ("![A map, lit left](../assets/none.png)", "none.png"),
    "a figure": ("```{figure} absent.png\n:alt: A map, lit left\n```", "absent.png"),
    "a citation": ("{cite:t}`nobody`", "nobody"),
    "a term": ("{term}`unheard of`", "unheard of"),
    "an equation": ("{eq}`unnumbered`", "unnumbered"),
    "a reference": ("{ref}`unlabelled`", "unlabelled"),
    "a document": ("{doc}`unwritten`", "unwritten"),
    "a label twice": ("(twice)=\n### One\n\n(twice)=\n### Two", "twice"),
}
"""What leads nowhere, and what the build says of it."""


def test_the_build_names_everything_that_leads_nowhere_again_and_again(built, sample):
    text = "\n\n".join(text for text, _ in DEAD.values())
    chapter = sample / "_build" / "run" / "book" / "01_cam.ipynb"
    page = sample / "book" / "glossary.md"
    good = chapter.read_text(), page.read_text()
    made = cells.read(chapter)
    made.cells[-1].source += f"\n\n{text}"
    tries: list[list[str]] = [[], []]  # Sphinx forgets the warnings of pages that it does not read again
    try:
        cells.write(made, chapter)
        page.write_text(f"{good[1]}\n{text}\n")
        for messages in tries:
            assert build(sample, tell=messages.append) is None
    finally:
        chapter.write_text(good[0])
        page.write_text(good[1])
    for messages in tries:
        for where in ("book/chapters/01_cam.ipynb", "book/glossary.md"):
            here = [line for line in messages if where in line]
            for what, (_, words) in DEAD.items():
                assert any(words in line for line in here), f"{what} in {where}: {here}"
    assert build(sample, tell=lambda line: None)


def test_a_chapter_that_was_not_executed_is_named(sample, tmp_path):
    executed = sample / "_build" / "run"
    executed.rename(tmp_path / "run")
    try:
        with pytest.raises(ProjectError, match=r"00_world has not been executed: run `wsss run` first"):
            stage(sample)
    finally:
        (tmp_path / "run").rename(executed)


def test_the_stored_chapters_can_be_built_without_executing_them(sample):
    chapters = [Path(page).name for page in pages(sample) if page.startswith("book/chapters/")]
    stored = sample / "book" / "chapters"
    assert not stored.exists()
    stored.mkdir()
    try:
        for name in chapters:
            (stored / f"{name}.ipynb").write_text(f"stored {name}")
        staged = stage(sample, stored=True) / "book" / "chapters"
        assert {path.stem: path.read_text() for path in staged.iterdir()} == {n: f"stored {n}" for n in chapters}
    finally:
        shutil.rmtree(stored)
        stage(sample)


def test_a_page_that_does_not_exist_is_named(sample):
    toc = sample / "_toc.yml"
    text = toc.read_text()
    toc.write_text(text.replace("book/glossary", "book/glosary"))
    try:
        with pytest.raises(ProjectError, match=r"names book/glosary, which does not exist"):
            stage(sample)
    finally:
        toc.write_text(text)


def test_the_address_comes_from_pyproject(sample):
    settings = yaml.safe_load((stage(sample) / "_config.yml").read_text())
    assert settings["repository"]["url"].startswith("https://")
    assert "url" not in yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]


@pytest.mark.parametrize(
    ("folder", "licence", "version"),
    [("mathjax", "Apache License", "MathJax 3.2.2"), ("fonts", "SIL Open Font License", "Source Serif 4")],
)
def test_what_is_vendored_is_what_was_published(folder, licence, version):
    vendored = VENDOR / folder
    listed = dict(line.split("  ")[::-1] for line in (vendored / "SHA256SUMS").read_text().splitlines())
    present = {
        f"./{path.relative_to(vendored).as_posix()}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendored.rglob("*") if path.is_file() and path.name != "SHA256SUMS"
    }  # fmt: skip
    assert present == listed
    assert licence in (vendored / "LICENSE").read_text()
    assert (vendored / "VERSION").read_text().startswith(version)


@pytest.mark.browser
@pytest.mark.parametrize("opened", ["served", "file"])
def test_a_page_works_without_a_network(built, opened):
    """Maths is set, nothing is asked of another host, nothing is missing, no script fails; also from a file."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver, serving(built) as address:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        asked, missing, failed = [], [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("response", lambda reply: missing.append(reply.url) if reply.status >= 400 else None)
        page.on("pageerror", lambda error: failed.append(str(error)))
        start = address if opened == "served" else built.as_uri()
        page.goto(f"{start}/book/chapters/01_cam.html")
        page.wait_for_selector("mjx-container[display] mjx-menclose")  # \cancel is loaded when it is first needed
        assert page.locator("mjx-container").count() == 2
        browser.close()
    assert [url for url in asked if not url.startswith((start, "data:", "blob:"))] == []
    assert missing == []
    assert failed == []


def serving(folder: Path):
    import contextlib
    import functools
    import http.server
    import threading

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    @contextlib.contextmanager
    def served():
        handler = functools.partial(Quiet, directory=str(folder))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()

    return served()
