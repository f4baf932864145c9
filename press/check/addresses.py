"""What a page would fetch from another host: found in a chapter's source and outputs, and in the built pages.

A reader on a plane, or in ten years, has the book and nothing else. A link that the reader may follow is welcome; an
address that the page itself needs is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from press.chapter import Chapter, Problem
from press.check import markup

_HOST = r"(?:https?:|wss?:)?//"
FETCHING = "script|img|iframe|source|audio|video|embed|link|object|image|use|track|input"
"""Tags that fetch what they name."""
ATTRIBUTES = ("src", "href", "data", "poster", "xlink:href")
FOLLOWED = re.compile(r"\brel=[\"']?(?:canonical|alternate|author|license)\b", re.I)
"""A ``<link>`` that nothing fetches."""
NEEDED = (
    re.compile(rf"!\[[^\]]{{0,1000}}\]\(\s*<?({_HOST}[^)\s>]+)"),
    re.compile(rf"^\[[^\]^\n]{{1,200}}\]:[ \t]*<?({_HOST}\S+\.(?:png|svg|jpe?g|gif|webp)\b)", re.M),
    re.compile(rf"^(?:```+|:::+)\{{(?:image|figure|iframe|video|audio)\}}[ \t]*({_HOST}\S+)", re.M),
    re.compile(rf"(?:url|image-set)\([ \t]*[\"']?({_HOST}[^\"')\s]+)", re.I),
    re.compile(rf"@import[ \t]+[\"']({_HOST}[^\"']+)", re.I),
    re.compile(rf"\b(?:fetch|import|importScripts|Worker|WebSocket|EventSource)\([ \t]*[\"'`]({_HOST}[^\"'`]+)"),
    re.compile(rf"\bfrom[ \t]+[\"']({_HOST}[^\"']+)"),
    re.compile(rf"\.(?:src|href)[ \t]*=[ \t]*[\"'`]({_HOST}[^\"'`]+)"),
)
LITERAL = re.compile(r"[\"'`]((?:https?|wss?)://(?!www\.w3\.org/)[^\"'`\s]+)")
"""An address in a script of ours, however it is fetched; the names of namespaces are no addresses."""
CONTENT = ("text/html", "text/markdown", "image/svg+xml", "application/javascript", "text/javascript")


def needed(text: str) -> Iterator[str]:
    """Addresses on other hosts that a piece of HTML, Markdown, CSS or JavaScript fetches by itself."""
    for tag in markup.tags(text, FETCHING):
        if not FOLLOWED.search(tag):
            named = [(markup.attribute(tag, name) or "").strip() for name in ATTRIBUTES]
            named += [part.strip() for part in (markup.attribute(tag, "srcset") or "").split(",")]
            yield from (address.split()[0] for address in named if re.match(_HOST, address, re.I))
    for pattern in NEEDED:
        yield from pattern.findall(text)


def hosts(chapter: Chapter) -> Iterator[Problem]:
    """Nothing in the text or an output is fetched from another host when the page is read."""
    for cell in chapter.notebook.cells:
        texts = [(cell.source, "")] if cell.cell_type == "markdown" else []
        for output in cell.get("outputs", []):
            texts += [("".join(data), mime) for mime, data in output.get("data", {}).items() if mime in CONTENT]
        outside = [address for text, kind in texts for address in (*needed(text), *_scripted(text, kind))]
        for address in dict.fromkeys(outside):
            remedy = "put the file into book/assets, or the data into the output"
            yield chapter.problem(cell, f"needs {address} when the page is read: {remedy}")


def _scripted(text: str, kind: str) -> Iterator[str]:
    for script in [text] if kind.endswith("javascript") else markup.split(text, "script")[1]:
        yield from LITERAL.findall(script)


def sources(root: Path) -> Iterator[Problem]:
    """Nothing in the book's pages, styles and scripts is fetched from another host."""
    folder = root / "book"
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".md", ".css", ".js", ".svg", ".html")):
        if "vendor" in path.relative_to(folder).parts:
            continue
        text, where = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
        kind = "javascript" if path.suffix == ".js" else ""
        for address in dict.fromkeys((*needed(text), *_scripted(text, kind))):
            yield Problem(where, f"needs {address} when the page is read: put the file into book/assets")


CHECKS = (hosts,)
