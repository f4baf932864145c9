"""What a page would fetch from another host: found in a chapter's source and outputs, and in the built pages.

A reader on a plane, or in ten years, has the book and nothing else. A link that the reader may follow is welcome; an
address that the page itself needs is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from press.check.checks import Chapter, Problem

_HOST = r"(?:https?:|wss?:)?//"
NEEDED = (
    re.compile(rf"!\[[^\]]*\]\(\s*<?({_HOST}[^)\s>]+)"),
    re.compile(rf"^\[[^\]^]+\]:\s*<?({_HOST}\S+\.(?:png|svg|jpe?g|gif|webp)\b)", re.M),
    re.compile(
        r"<(?:script|img|iframe|source|audio|video|embed|link|object|image|use|track|input)\b[^>]*?"
        rf"\s(?:src|href|data|poster|srcset|xlink:href)\s*=\s*[\"']?\s*({_HOST}[^\"'\s>]+)",
        re.I,
    ),
    re.compile(rf"<[a-z][^>]*\ssrcset\s*=\s*[\"'][^\"']*?,\s*({_HOST}[^\"'\s,]+)", re.I),
    re.compile(rf"^(?:```+|:::+)\{{(?:image|figure|iframe|video|audio)\}}\s*({_HOST}\S+)", re.M),
    re.compile(rf"(?:url|image-set)\(\s*[\"']?({_HOST}[^\"')\s]+)", re.I),
    re.compile(rf"@import\s+[\"']({_HOST}[^\"']+)", re.I),
    re.compile(rf"\b(?:fetch|import|importScripts|Worker|WebSocket|EventSource)\(\s*[\"'`]({_HOST}[^\"'`]+)"),
    re.compile(rf"\bfrom\s+[\"']({_HOST}[^\"']+)"),
    re.compile(rf"\.(?:src|href)\s*=\s*[\"'`]({_HOST}[^\"'`]+)"),
)
CANONICAL = re.compile(r"<link\b[^>]*\brel=[\"']?(?:canonical|alternate|author|license)\b[^>]*>", re.I)
SCRIPT = re.compile(r"<script\b[^>]*>(.*?)</script>", re.S | re.I)
LITERAL = re.compile(r"[\"'`]((?:https?|wss?)://(?!www\.w3\.org/)[^\"'`\s]+)")
"""An address in a script of ours, however it is fetched; the names of namespaces are no addresses."""
CONTENT = ("text/html", "text/markdown", "image/svg+xml", "application/javascript", "text/javascript")


def needed(text: str) -> Iterator[str]:
    """Addresses on other hosts that a piece of HTML, Markdown, CSS or JavaScript fetches by itself."""
    bare = CANONICAL.sub("", text)
    for pattern in NEEDED:
        yield from pattern.findall(bare)


def hosts(chapter: Chapter) -> Iterator[Problem]:
    """Nothing in the text or an output is fetched from another host when the page is read."""
    for cell in chapter.notebook.cells:
        texts = [(cell.source, "")] if cell.cell_type == "markdown" else []
        for output in cell.get("outputs", []):
            texts += [("".join(data), mime) for mime, data in output.get("data", {}).items() if mime in CONTENT]
        found = [address for text, kind in texts for address in (*needed(text), *_scripted(text, kind))]
        for address in dict.fromkeys(found):
            remedy = "put the file into book/assets, or the data into the output"
            yield chapter.problem(cell, f"needs {address} when the page is read: {remedy}")


def _scripted(text: str, kind: str) -> Iterator[str]:
    for script in [text] if kind.endswith("javascript") else SCRIPT.findall(text):
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
