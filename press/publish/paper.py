"""The built pages as one document for paper: in the book's order, links inside it, solutions at chapters' ends.

What a screen unfolds, paper must show: folded plumbing stands open in its place; solutions and their checks move from
below their exercise to the end of the chapter, with a link both ways. What only a screen can do is left out.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import yaml

from press.project import ProjectError
from press.publish.build import pages, parts
from wsss_lib import __version__
from wsss_lib.files import write_atomically

SCREEN_ONLY = (
    ".headerlink, .chapter-actions, .copybtn, .toctree-wrapper, script, noscript, .prev-next-footer, .sort-button"
)
REFERRING = ("aria-labelledby", "aria-describedby", "aria-controls", "for", "href", "xlink:href")
URL = re.compile(r"url\(['\"]?#([^)'\"]+)['\"]?\)")


def assemble(root: Path, target: Path) -> Path:
    """Write ``target``, one HTML file of the whole book, beside the built site whose styles and pictures it uses.

    Args:
        root: The clone; the book must have been built (``wsss build``).
        target: Where to write.

    Returns:
        ``target``.

    Raises:
        ProjectError: The book, or a page of it, has not been built.
    """
    site = root / "_build" / "html"
    names = pages(root)
    absent = [name for name in names if not (site / f"{name}.html").is_file()]
    if absent:
        raise ProjectError(f"{absent[0]} has not been built: run `make book` first")
    place = {name: f"page{number}" for number, name in enumerate(names)}
    head, titles, book = {}, {}, ""
    for name in names:
        page = _parsed((site / f"{name}.html").read_text(encoding="utf-8"))
        head |= dict.fromkeys(_head(page, (site / f"{name}.html").parent, target))
        article = page.select_one("article.bd-article")
        for element in article.select(SCREEN_ONLY):
            element.decompose()
        titles[name] = article.h1.get_text().strip()
        _unfold(article)
        _solutions(article)
        _localise(article, name, place, site, target)
        book += f'<section id="{place[name]}" class="paper-page">{article.decode_contents()}</section>'
    settings = yaml.safe_load((root / "_config.yml").read_bytes())
    front = _front(settings, _contents(root, place, titles), site, target)
    paper = _relative(site / "_static" / "paper.css", target)
    text = (
        '<!DOCTYPE html>\n<html lang="en" data-theme="light" data-mode="light">\n<head><meta charset="utf-8">\n'
        f'{"".join(head)}<link rel="stylesheet" href="{paper}">\n<title>{settings["title"]}</title></head>\n'
        f'<body class="paper bd-article">{front}{book}</body></html>\n'
    )
    return write_atomically(target, text)


def _parsed(html: str) -> Any:
    from bs4 import BeautifulSoup

    return BeautifulSoup(html, "html.parser")


def _head(page: Any, here: Path, target: Path) -> Iterator[str]:
    """The styles of a page, and what sets its mathematics."""
    for element in page.select('head link[rel~="stylesheet"], head script'):
        for name in ("href", "src"):
            if name in element.attrs:
                element[name] = _relative(here / urllib.parse.urlsplit(element[name]).path, target)
        if element.name == "link" or "mathjax" in str(element).lower():
            yield f"{element}\n"


def _unfold(article: Any) -> None:
    """Open what is folded; the summary of plumbing goes, that of a drop-down that names its contents stays."""
    for folded in article.find_all("details"):
        folded["open"] = ""
        if "hide" in folded.get("class", []):
            summary = folded.find("summary")
            if summary is not None:
                summary.decompose()
            folded.name = "div"
            folded.attrs = {"class": "paper-plumbing"}


def _solutions(article: Any) -> None:
    """Move solutions and checks behind the chapter's text."""
    moved: list[tuple[str, str, list[Any]]] = []
    for cell in article.select("div.cell.tag_solution, div.cell.tag_check"):
        before = cell.find_previous("strong", string=re.compile(r"^Exercise\b"))
        name = before.get_text(" ").rstrip(".: ") if before else "Exercise"
        if not moved or moved[-1][0] != name:
            anchor = f"solution-{len(moved) + 1}"
            link = f'<a href="#{anchor}">The solution is at the end of the chapter.</a>'
            cell.insert_before(_parsed(f'<p id="{anchor}-back" class="paper-solution">{link}</p>'))
            moved.append((name, anchor, []))
        moved[-1][2].append(cell.extract())
    if moved:
        section = _parsed('<section class="paper-solutions"><h2>Solutions</h2></section>').section
        for name, anchor, cells in moved:
            section.extend([_parsed(f'<h3 id="{anchor}"><a href="#{anchor}-back">{escape(name)}</a></h3>'), *cells])
        article.append(section)


def _localise(article: Any, name: str, place: dict[str, str], site: Path, target: Path) -> None:
    """Names that are unique in the whole document, links that stay inside it, pictures from the built site."""
    here = (site / f"{name}.html").parent
    prefix = place[name]
    for element in article.find_all(True):
        for attribute in ("id", "name"):
            if element.get(attribute) and element.name != "meta":
                element[attribute] = f"{prefix}-{element[attribute]}"
        for attribute, value in list(element.attrs.items()):
            if isinstance(value, str) and "url(" in value:
                element[attribute] = URL.sub(rf"url(#{prefix}-\1)", value)
        for attribute in REFERRING:
            value = element.get(attribute)
            if not value:
                continue
            if "href" not in attribute:
                element[attribute] = " ".join(f"{prefix}-{word}" for word in value.split())
            elif element.name in ("a", "use", "image"):
                _link(element, attribute, here, name, place, site)
        if element.name == "img" and element.get("src"):
            if not urllib.parse.urlsplit(element["src"]).scheme:  # a picture of a control lies in the page itself
                element["src"] = _relative(here / urllib.parse.unquote(element["src"]), target)
            element.attrs.pop("loading", None)  # nobody scrolls on paper


def _link(element: Any, attribute: str, here: Path, page: str, place: dict[str, str], site: Path) -> None:
    parts = urllib.parse.urlsplit(element[attribute])
    if parts.scheme or parts.netloc:
        return
    if parts.path:
        page = os.path.relpath(here / urllib.parse.unquote(parts.path), site).removesuffix(".html")
    if page in place:
        element[attribute] = f"#{place[page]}-{parts.fragment}" if parts.fragment else f"#{place[page]}"
    else:
        del element[attribute]  # a download of the site


def _relative(path: Path, target: Path) -> str:
    return urllib.parse.quote(os.path.relpath(path.resolve(), target.parent.resolve()).replace(os.sep, "/"))


def _front(settings: dict[str, Any], contents: str, site: Path, target: Path) -> str:
    logo = _relative(site / "_static" / "logo.svg", target)
    return (
        f'<section class="paper-front"><img src="{logo}" alt=""><h1 class="paper-title">{settings["title"]}</h1>'
        f"<p>{settings['author']}</p><p>Version {__version__} · {settings.get('copyright', '')}</p>"
        f"<p>{settings.get('html', {}).get('extra_footer', '')}</p></section>"
        f'<nav class="paper-contents"><h1>Contents</h1>{contents}</nav>'
    )


def _contents(root: Path, place: dict[str, str], titles: dict[str, str]) -> str:
    lines = []
    for caption, names in parts(root).items():
        lines += [f"<h2>{caption}</h2>"] if caption else []
        lines += [f'<p><a href="#{place[name]}">{titles[name]}</a></p>' for name in names]
    return "".join(lines)
