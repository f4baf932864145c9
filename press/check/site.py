"""The built pages: links lead somewhere, nothing is fetched from addresses, every picture is described."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path

from press.chapter import Problem
from press.check import addresses
from press.check.checks import is_description

HTML = Path("_build", "html")


class Page(HTMLParser):
    """What a page refers to: places in it, links, files that it fetches, pictures, addresses on other hosts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.alts: list[tuple[str, str | None]] = []
        self.needed = list(addresses.needed(text))
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {str(given[name]) for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if tag in ("script", "img", "iframe", "source", "audio", "video", "embed") and given.get("src"):
            self.fetched.append(str(given["src"]))
        if tag == "link" and given.get("href") and (given.get("rel") or "") not in ("canonical", "alternate"):
            self.fetched.append(str(given["href"]))
        if tag == "img":
            self.alts.append((given.get("src") or "", given.get("alt")))


def links(root: Path) -> Iterator[Problem]:
    """Every link within the book leads to a page and a place that exist (where the book has been built)."""
    base = root / HTML
    for path, page in _pages(base):
        for link in [*page.links, *page.fetched]:
            target = urllib.parse.urlsplit(link)
            if target.scheme or target.netloc or link.startswith(("#tab-", "data:")):
                continue
            file = path if not target.path else (path.parent / urllib.parse.unquote(target.path)).resolve()
            file = file / "index.html" if file.is_dir() else file
            where = str(path.relative_to(base))
            if not file.exists():
                yield Problem(where, f"links to {link}, which does not exist: correct the link")
            elif not _has(file, urllib.parse.unquote(target.fragment)):
                yield Problem(where, f"links to {link}, but that page has no such place: correct the link")


def externals(root: Path) -> Iterator[Problem]:
    """No page fetches a script, style, font, picture or data from another host."""
    base = root / HTML
    requests = [(path, source) for path, page in _pages(base) for source in page.needed]
    styles = sorted((base / "_static").rglob("*.css"))
    requests += [(path, source) for path in styles for source in addresses.needed(path.read_text(encoding="utf-8"))]
    for path, source in requests:
        yield Problem(str(path.relative_to(base)), f"fetches {source} from another host: serve it from book/assets")


def images(root: Path) -> Iterator[Problem]:
    """Every figure of a page is described in words, and no picture by a file name; decorations say nothing."""
    base = root / HTML
    for path, page in _pages(base):
        for source, alt in page.alts:
            figure = "_images/" in source or source.startswith("data:")  # the rest is the theme's furniture
            if alt is None or (not is_description(alt) and (figure or re.search(r"/|\.\w{3,4}$|[0-9a-f]{16}", alt))):
                message = f"shows {Path(source).name} with the alternative text {alt!r}: describe it"
                yield Problem(str(path.relative_to(base)), message)


def _has(file: Path, anchor: str) -> bool:
    return anchor in ("", "top") or file.suffix != ".html" or anchor in _read(file).anchors


def _pages(base: Path) -> Iterator[tuple[Path, Page]]:
    for path in sorted(base.rglob("*.html")):
        if "_static" not in path.relative_to(base).parts:
            yield path, _read(path)


def _read(path: Path) -> Page:
    return _parse(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=512)
def _parse(path: Path, _modified: int) -> Page:
    return Page(path.read_text(encoding="utf-8"))
