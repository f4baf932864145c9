"""The built book in headless Chromium, from file:// and with the network off.

Skipped with a reason where there is no Chromium. The site is built from the stored chapters if it is absent or older
than what it is made from, which takes seconds and executes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


def names() -> list[str]:
    """Pages of the book as they will be built, without suffix."""
    from press.publish.build import pages

    return [*pages(ROOT), "search", "genindex"]


@pytest.fixture(scope="session")
def site() -> Path:
    """The built book."""
    from filelock import FileLock

    from press.publish.build import build

    (ROOT / "_build").mkdir(exist_ok=True)
    with FileLock(ROOT / "_build" / "pages.lock"):  # two test processes build once
        index = HTML / "index.html"
        sources = [ROOT / "_toc.yml", ROOT / "_config.yml"]
        for folder in ("book", "press/sphinx", "wsss_lib/explore/web"):
            sources += [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        if not index.is_file() or index.stat().st_mtime < max(p.stat().st_mtime for p in sources):
            messages: list[str] = []
            assert build(ROOT, stored=True, tell=messages.append), "\n".join(messages)
    return HTML


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from press.project import ProjectError
    from press.publish.pdf import browser as find

    try:
        program = find()
    except ProjectError:
        pytest.skip("no Chromium: install one (apt install chromium), or name it in WSSS_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=program, args=FLAGS)
        yield opened
        opened.close()


class Heard:
    """What a page asked for and complained about."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.complaints: list[str] = []

    def listen(self, page: Any) -> None:
        page.on("request", lambda r: self.asked.append(r.url))
        page.on("requestfailed", lambda r: self.complaints.append(f"not loaded: {r.url[:200]}"))
        page.on("response", lambda r: self.complaints.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        page.on("pageerror", lambda e: self.complaints.append(f"error: {e}"))
        page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)

    @property
    def other_hosts(self) -> list[str]:
        """Requests that leave the folder."""
        return [url for url in self.asked if not url.startswith(("file:", "data:", "blob:", "about:"))]


Opener = Callable[..., tuple[Any, Heard]]


@pytest.fixture
def opened(browser: Any) -> Iterator[Opener]:
    """Open a file with the network off; keywords as for a Playwright context."""
    contexts = []

    def open_(path: Path, query: str = "", **settings: Any) -> tuple[Any, Heard]:
        settings.setdefault("viewport", {"width": 1280, "height": 900})
        context = browser.new_context(offline=True, **settings)
        contexts.append(context)
        page, heard = context.new_page(), Heard()
        heard.listen(page)
        page.goto(path.as_uri() + query, wait_until="load")
        return page, heard

    yield open_
    for context in contexts:
        context.close()
