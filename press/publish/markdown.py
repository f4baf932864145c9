"""Each built page as Markdown, and ``llms.txt``, which lists them: for programs that read, and for notes.

What a page shows is what its Markdown says. Folded plumbing and what only a screen can do are left out; a figure or a
control is named by its alternative text.
"""

from __future__ import annotations

import re
import textwrap
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wsss_lib.files import write_atomically

LEFT_OUT = (
    ".headerlink, .chapter-actions, .copybtn, .toctree-wrapper, .prev-next-footer, script, style, "
    "noscript, colgroup, .cell.tag_hide-input:not(.tag_solution) details.hide, details.hide > summary"
)
MARKS = {"strong": "**", "b": "**", "em": "*", "i": "*", "cite": "*"}
BLOCKS = ("p", "pre", "ul", "ol", "dl", "table", "div", "section", "figure", "details", "blockquote", "article")


def write(site: Path, title: str, parts: dict[str, Sequence[str]]) -> None:
    """Write ``PAGE.md`` beside each ``PAGE.html`` that is newer, and ``llms.txt`` into the site's root.

    Args:
        site: The built HTML.
        title: Of the book.
        parts: Names of the pages by the caption of their part; the first page says what the book is.
    """
    lines = [f"# {title}"]
    for caption, names in parts.items():
        lines += ["", f"## {caption}", ""] if caption else []
        for name in names:
            page = site / f"{name}.html"
            text, copy = page.read_text(encoding="utf-8"), page.with_suffix(".md")
            if not copy.is_file() or copy.stat().st_mtime_ns < page.stat().st_mtime_ns:
                write_atomically(copy, converted(text))
            heading = re.match(r"# (.*)", copy.read_text(encoding="utf-8"))
            about = re.search(r'<meta name="description" content="([^"]*)"', text)
            link = f"[{heading[1] if heading else name}]({name}.md)"
            words = _plain(about[1]) if about else ""
            lines += [f"- {link}: {words}"] if caption else ["", f"> {words}", "", f"- {link}"]
    write_atomically(site / "llms.txt", "\n".join(lines) + "\n")


def converted(page: str) -> str:
    """The article of a page of HTML as Markdown."""
    from bs4 import BeautifulSoup, SoupStrainer

    article = BeautifulSoup(page, "html.parser", parse_only=SoupStrainer("article", class_="bd-article"))
    for element in article.select(LEFT_OUT):
        element.decompose()
    return "\n\n".join(_blocks(article)) + "\n"


def _blocks(parent: Any) -> Iterator[str]:
    """The blocks inside an element; loose words between them make paragraphs."""
    loose = ""
    for child in parent.children:
        if child.name in BLOCKS or (child.name and re.fullmatch(r"h[1-6]", child.name)):
            yield from _paragraph(loose)
            loose = ""
            yield from (block for block in _block(child) if block.strip())
        else:
            loose += _inline(child)
    yield from _paragraph(loose)


def _block(element: Any) -> Iterator[str]:
    kind, classes = element.name, element.get("class", [])
    if re.fullmatch(r"h[1-6]", kind):
        yield f"{'#' * int(kind[1])} {_words(element)}"
    elif kind == "pre":
        language = "python" if element.find_parent(class_="cell_input") else ""
        yield f"```{language}\n{element.get_text().rstrip()}\n```"
    elif kind in ("ul", "ol"):
        signs = (f"{number}. " if kind == "ol" else "- " for number in range(1, 10_000))
        items = element.find_all("li", recursive=False)
        yield "\n".join(_under(sign, item) for sign, item in zip(signs, items, strict=False))
    elif kind == "dl":
        for entry in element.find_all(["dt", "dd"]):
            if entry.find_parent("dl") is element:
                signed = "sig" in entry.get("class", [])
                term = f"`{_plain(entry.get_text())}`" if signed else f"**{_words(entry)}**"
                yield from [term] if entry.name == "dt" else _blocks(entry)
    elif kind == "table":
        yield from _table(element)
    elif "math" in classes:
        yield "$$" + element.get_text().strip().removeprefix("\\[").removesuffix("\\]") + "$$"
    elif "wsss-explore" in classes:
        yield f"*Control: {element.get('aria-label', '')}*"
    elif kind == "blockquote" or ("admonition" in classes and "hide" not in classes):
        yield "\n>\n".join("> " + block.replace("\n", "\n> ") for block in _blocks(element))
    elif kind == "p":
        yield from _paragraph("".join(map(_inline, element.children)))
    else:
        summary = element.find("summary", recursive=False)
        yield from [f"**{_words(summary.extract())}**"] if summary else []
        yield from _blocks(element)


def _inline(node: Any) -> str:
    if node.name is None:
        return str(node)
    if node.name == "svg":
        return f"*Figure: {node['aria-label']}*" if node.get("aria-label") else ""
    if node.name == "img":
        source = node.get("src", "")
        return f"*Figure: {node.get('alt')}*" if source.startswith("data:") else f"![{node.get('alt')}]({source})"
    if "math" in node.get("class", []):
        return "$" + node.get_text().strip().removeprefix("\\(").removesuffix("\\)") + "$"
    if node.name in ("code", "samp", "kbd"):
        return f"`{_plain(node.get_text())}`"
    words = "".join(map(_inline, node.children))
    if node.name == "a" and node.get("href") and words.strip():
        return f"[{words}]({_place(node['href'])})"
    mark = MARKS.get(node.name, "") if words.strip() else ""
    return f"{mark}{words}{mark}"


def _table(element: Any) -> Iterator[str]:
    caption = element.find("caption")
    if caption is not None:
        yield f"**{_words(caption)}**"
    rows = [[_words(cell).replace("|", "\\|") for cell in row.find_all(["th", "td"])] for row in element.find_all("tr")]
    if rows:
        width = max(map(len, rows))
        lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in rows]
        yield "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])


def _under(sign: str, item: Any) -> str:
    return sign + textwrap.indent("\n\n".join(_blocks(item)), " " * len(sign)).lstrip()


def _paragraph(text: str) -> list[str]:
    return [_plain(text)] if text.strip() else []


def _words(element: Any) -> str:
    return _plain("".join(map(_inline, element.children)))


def _plain(text: str) -> str:
    return " ".join(text.split())


def _place(link: str) -> str:
    parts = urllib.parse.urlsplit(link)
    within = not parts.scheme and not parts.netloc and parts.path.endswith(".html")
    return link if not within else parts.path.removesuffix(".html") + ".md"
