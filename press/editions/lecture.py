"""What a lecture needs of the chapters as they are stored: their figures with alternative texts, and slide outlines.

``figures``: one zip with a folder a chapter and a list of what each picture shows. ``slides``: a file of Markdown for
each chapter, a slide for each heading (its first sentence or list, its figures), which Marp, Quarto and pandoc read.
"""

from __future__ import annotations

import base64
import html
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from press import cells
from press.publish.common import put

LICENCE = "Text and figures: CC BY 4.0. One line of credit names the book *From Labels to Masks* and its authors."
HEADING = re.compile(r"(#{1,6}) +(.+)")
DIAGRAM = re.compile(r"<svg\b[^>]*\baria-label=\"([^\"]*)\".*?</svg>", re.S)
NO_TEXT = ("|", "```", ":::", "* ", "<", "$$", "(", ">", "![", "**What you need")
"""How a paragraph begins that is a table, code, a directive, a formula or the like, and no sentence."""


@dataclass(frozen=True)
class Figure:
    """A picture of a chapter: its file's name, its bytes, and what it shows in words."""

    name: str
    content: bytes
    alt: str


@dataclass
class Section:
    """A heading with the first sentence or list below it and the figures up to the next heading."""

    depth: int
    title: str
    sentence: str = ""
    figures: list[Figure] = field(default_factory=list)


def sections(notebook: cells.Notebook) -> list[Section]:
    """A chapter's sections in their order; figures are numbered through the chapter."""
    made: list[Section] = []
    count = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            _read(cell.source, made)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if made and not made[-1].sentence and "text/markdown" in data and "text/html" not in data:
                made[-1].sentence = sentence(data["text/markdown"])
            for suffix, content, alt in _pictures(output):
                count += 1
                made[-1].figures.append(Figure(f"{count:02d}-{_slug(made[-1].title)}.{suffix}", content, alt))
    return made


def sentence(text: str) -> str:
    """The first sentence of a paragraph, or a list; links as plain words; empty where it is no text."""
    words = " ".join(text.split())
    if words.startswith("- "):
        return _plain(text)
    if not words or words.startswith(NO_TEXT):
        return ""
    return re.split(r"(?<=[.?!:])\s+(?=[A-Z*`\[$@])", _plain(words), maxsplit=1)[0]


def pack(read: dict[str, list[Section]]) -> dict[str, bytes]:
    """The figures of chapters in one zip, with a list of what they show."""
    lines, files = ["# Figures", "", LICENCE], {}
    for name, parts in read.items():
        lines += ["", f"## {parts[0].title}"] if any(section.figures for section in parts) else []
        for section in parts:
            for figure in section.figures:
                files[f"{name}/{figure.name}"] = figure.content
                lines += ["", f"**{name}/{figure.name}** ({section.title})", "", figure.alt]
    filled = io.BytesIO()
    with zipfile.ZipFile(filled, "w") as packed:
        put(packed, "figures/FIGURES.md", ("\n".join(lines) + "\n").encode())
        for name, content in files.items():
            put(packed, f"figures/{name}", content)
    return {"figures.zip": filled.getvalue()}


def outline(read: dict[str, list[Section]]) -> dict[str, bytes]:
    """A file of slides for each chapter, with its figures beside it."""
    files = {}
    for name, parts in read.items():
        slides = []
        for section in parts:
            figures = [f"![{figure.alt}](figures/{name}/{figure.name})" for figure in section.figures]
            blocks = [f"{'#' if section is parts[0] else '##'} {section.title}", section.sentence, *figures]
            slides.append("\n\n".join(block for block in blocks if block))
            files |= {f"figures/{name}/{figure.name}": figure.content for figure in section.figures}
        files[f"{name}.md"] = ("\n\n---\n\n".join([*slides, LICENCE]) + "\n").encode()
    return files


KINDS = {"figures": pack, "slides": outline}
"""What is made of the chapters' sections: contents by the file's name."""


def _read(source: str, made: list[Section]) -> None:
    """Add the headings of a Markdown cell, each with its first sentence."""
    plain = re.sub(r"^(```+|:::+).*?^\1\s*$", "", source, flags=re.M | re.S)
    for paragraph in re.split(r"\n\s*\n", plain):
        first, _, rest = paragraph.strip().partition("\n")
        heading = HEADING.match(first)
        if heading:
            made.append(Section(len(heading[1]), _plain(heading[2])))
            paragraph = rest
        if made and not made[-1].sentence:
            made[-1].sentence = sentence(paragraph)


def _pictures(output: Any) -> Iterator[tuple[str, bytes, str]]:
    """Suffix, bytes and alternative text of the pictures of an output: SVG where there is one."""
    data, about = output.get("data", {}), output.get("metadata", {})
    alt = next((about[kind]["alt"] for kind in about if "alt" in (about[kind] or {})), "")
    if "image/svg+xml" in data:
        yield "svg", data["image/svg+xml"].encode(), alt
    elif "image/png" in data:
        yield "png", base64.b64decode(data["image/png"]), alt
    for diagram in DIAGRAM.finditer(data.get("text/html", "")):
        yield "svg", diagram[0].encode(), html.unescape(diagram[1])


def _plain(text: str) -> str:
    """Links and roles as their words; citations as pandoc writes them."""
    text = re.sub(r"\{cite:t\}`(\w+)`", r"@\1", text)
    text = re.sub(r"\{cite:p\}`(\w+)`", r"[@\1]", text)
    text = re.sub(r"\{[\w:]+\}`([^`<]*?)(?:\s*<[^`]*)?`", r"\1", text)
    return re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text).strip()


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:48].rstrip("-")
