"""Links, citations, terms, equations: what a page points at is there. Read from source, before any book is built.

The built pages are checked as well (:mod:`press.check.site`), but only where a book has been built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from press import cells
from press.chapter import Problem
from press.check.fences import unfenced
from press.project import chapters

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]^]+\]:\s*<?([^\s>]+)", re.M)
FILE = re.compile(
    r"!\[[^\]]*\]\(\s*<?([^)\s>]+)|^:::\{(?:image|figure|include)\}[ \t]*(\S+)"
    r"|\{download\}`(?:[^`<]*<)?([^`>]+)",
    re.M,
)
ROLE = re.compile(r"\{([\w:]+)\}`([^`]+)`")
LABEL = re.compile(r"^\(([\w:.-]+)\)=|^:(?:label|name):\s*(\S+)|\$\$\s*\(([\w:.-]+)\)\s*$", re.M)
DIRECTIVE = re.compile(r"^[`:]{3,}\{(?:exercise|solution|math|figure|table)[\w-]*\}\s*(\S*)", re.M)
CODE = re.compile(r"(\{[\w:]+\}`[^`]+`)|``[^`]*``|`[^`\n]*`")


@dataclass(frozen=True)
class Text:
    """A piece of MyST: whose it is, the folder its links start from, and itself without code."""

    where: str
    folder: Path
    text: str


def references(root: Path) -> Iterator[Problem]:
    """Every link, citation, term, equation and reference in a chapter or page leads to something that exists."""
    texts = [*_chapters(root), *_pages(root)]
    labels: dict[str, str] = {}
    for each, label in [(text, label) for text in texts for label in _labels(text.text)]:
        if label in labels:
            message = f"defines the label {label}, which {labels[label]} defines as well: choose another name"
            yield Problem(each.where, message)
        labels.setdefault(label, each.where)
    keys = set(re.findall(r"^@\w+\{([^,\s]+)", _read(root / "book" / "references.bib"), re.M))
    terms = {term.casefold() for text in texts for term in _terms(text.text)}
    listed = set(re.findall(r"(?:file|root):\s*(\S+)", _read(root / "_toc.yml")))
    known: dict[str, tuple[str, Callable[[str], bool], str]] = {
        "cite": ("cites", keys.__contains__, "add it to book/references.bib, or correct the key"),
        "term": ("uses the term", lambda t: t.casefold() in terms, "add it to book/glossary.md, or correct it"),
        "eq": ("refers to", labels.__contains__, "label an equation `$$ (name)`, or correct the name"),
        "ref": ("refers to", labels.__contains__, "put `(name)=` before a heading, or correct the name"),
        "any": ("refers to", labels.__contains__, "correct the name"),
        "numref": ("refers to", labels.__contains__, "label the figure or table, or correct the name"),
    }
    for text in texts:
        bare = CODE.sub(lambda match: match[1] or " ", unfenced(text.text))
        for target in map("".join, LINK.findall(bare)):
            if not re.match(r"[a-z][a-z0-9+.-]*:", target) and not _leads(root, text, target, set(labels), listed):
                yield Problem(text.where, f"links to {target}, which does not exist: correct the link")
        for target in map("".join, FILE.findall(bare)):
            if not re.match(r"[a-z][a-z0-9+.-]*:|//", target) and not (text.folder / unquote(target)).is_file():
                yield Problem(text.where, f"shows {target}, which does not exist: correct the path")
        for role, content in ROLE.findall(bare):
            verb, exists, remedy = known.get(role.partition(":")[0], ("", _anything, ""))
            for name in _named(role, content):
                if role == "doc" and not _leads(root, text, name, set(labels), listed):
                    yield Problem(text.where, f"links to {name}, which does not exist: correct the link")
                if not exists(name):
                    yield Problem(text.where, f"{verb} {name}, which does not exist: {remedy}")


def _leads(root: Path, text: Text, target: str, labels: set[str], listed: set[str]) -> bool:
    place, _, anchor = target.partition("#")
    if not place:
        return anchor in labels or anchor in _slugs(text.text)
    path = text.folder / unquote(place)
    page = path.resolve()
    inside = page.relative_to(root.resolve()).as_posix() if page.is_relative_to(root.resolve()) else ""
    inside = inside.removesuffix(".md").removesuffix(".ipynb")
    there = path.exists() or any(path.with_name(path.name + suffix).is_file() for suffix in (".md", ".ipynb"))
    return place in labels or (
        (there or inside in listed) and (not anchor or anchor in labels or bool(_slugs(text.text)))
    )


def _anything(_name: str) -> bool:
    """For roles that point at nothing."""
    return True


def _named(role: str, content: str) -> list[str]:
    aimed = re.fullmatch(r".*<([^>]+)>\s*", content, re.S)
    name = " ".join((aimed[1] if aimed else content).split()).lstrip("!")
    return [part.strip() for part in name.split(",")] if role.startswith("cite") else [name]


def _labels(text: str) -> Iterator[str]:
    for found in LABEL.findall(text):
        yield next(filter(None, found))
    yield from filter(None, DIRECTIVE.findall(text))


def _terms(text: str) -> Iterator[str]:
    for body in re.findall(r"^```+\{glossary\}\n(.*?)^```", text, re.M | re.S):
        yield from (line.strip() for line in body.splitlines() if line[:1].strip() and not line.startswith(":"))


def _slugs(text: str) -> set[str]:
    heads = re.findall(r"^#+\s+(.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def _chapters(root: Path) -> Iterator[Text]:
    for path in chapters(root):
        notebook = cells.read(path)
        for cell in notebook.cells:
            where = f"{path.stem}, {cells.label(notebook, cell)}"
            for text in [cell.source] if cell.cell_type == "markdown" else _said(cell):
                yield Text(where, path.parent, text)


def _said(cell: Any) -> Iterator[str]:
    for output in cell.get("outputs", []):
        if "text/markdown" in output.get("data", {}):
            yield "".join(output["data"]["text/markdown"])


def _pages(root: Path) -> Iterator[Text]:
    for path in sorted((root / "book").glob("*.md")):
        yield Text(path.relative_to(root).as_posix(), path.parent, _read(path))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
