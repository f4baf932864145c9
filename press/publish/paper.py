"""The built pages as one document for paper: in the book's order, links inside it, solutions at chapters' ends.

What a screen unfolds, paper must show: folded plumbing stands open in its place; solutions and their checks move from
below their exercise to the end of the chapter, with a link both ways. What only a screen can do is left out.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from pathlib import Path
from typing import Any

import yaml

from press.project import ProjectError
from press.publish.build import pages, parts
from wsss_lib import __version__

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
    from bs4 import BeautifulSoup

    site = root / "_build" / "html"
    names = pages(root)
    absent = [name for name in names if not (site / f"{name}.html").is_file()]
    if absent:
        raise ProjectError(f"{absent[0]} has not been built: run `make book` first")
    place = {name: f"page{number}" for number, name in enumerate(names)}
    soups = {name: BeautifulSoup((site / f"{name}.html").read_text(encoding="utf-8"), "html.parser") for name in names}
    book = BeautifulSoup("", "html.parser")
    titles = {}
    for name, soup in soups.items():
        article = soup.select_one("article.bd-article")
        if article is None:
            raise ProjectError(f"{name}.html has no article: build the book again")
        heading = article.find("h1")
        titles[name] = _title(heading) if heading else name
        for element in article.select(SCREEN_ONLY):
            element.decompose()
        _unfold(article)
        _solutions(soup, article)
        _localise(article, name, place, site, target)
        part = book.new_tag("section", id=place[name], attrs={"class": "paper-page"})
        part.extend(list(article.children))
        book.append(part)
    head = _head(list(soups.values()), names, site, target)
    settings = yaml.safe_load((root / "_config.yml").read_bytes())
    front = _front(settings, _contents(root, place, titles), site, target)
    text = (
        f'<!DOCTYPE html>\n<html lang="en" data-theme="light" data-mode="light">\n<head>{head}\n'
        f'<title>{settings["title"]}</title></head>\n<body class="paper bd-article">{front}{book}</body></html>\n'
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


def _title(heading: Any) -> str:
    return "".join(text for text in heading.strings if text != "#").strip()


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


def _solutions(soup: Any, article: Any) -> None:
    """Move solutions and checks behind the chapter's text."""
    moved: list[tuple[str, str, list[Any]]] = []
    for cell in article.select("div.cell.tag_solution, div.cell.tag_check"):
        before = cell.find_previous("strong", string=re.compile(r"^Exercise\b"))
        name = before.get_text(" ").rstrip(".: ") if before else "Exercise"
        if not moved or moved[-1][0] != name:
            anchor = f"solution-{len(moved) + 1}"
            note = soup.new_tag("p", id=f"{anchor}-back", attrs={"class": "paper-solution"})
            link = soup.new_tag("a", href=f"#{anchor}")
            link.string = "The solution is at the end of the chapter."
            note.append(link)
            cell.insert_before(note)
            moved.append((name, anchor, []))
        moved[-1][2].append(cell.extract())
    if not moved:
        return
    section = soup.new_tag("section", attrs={"class": "paper-solutions"})
    heading = soup.new_tag("h2")
    heading.string = "Solutions"
    section.append(heading)
    for name, anchor, cells in moved:
        title = soup.new_tag("h3", id=anchor)
        link = soup.new_tag("a", href=f"#{anchor}-back")
        link.string = name
        title.append(link)
        section.extend([title, *cells])
    article.append(section)


def _localise(article: Any, name: str, place: dict[str, str], site: Path, target: Path) -> None:
    """Names that are unique in the whole document, links that stay inside it, pictures from the built site."""
    here = (site / f"{name}.html").parent
    own = place[name]
    for element in article.find_all(True):
        for attribute in ("id", "name"):
            if element.get(attribute) and element.name != "meta":
                element[attribute] = f"{own}-{element[attribute]}"
        for attribute, value in list(element.attrs.items()):
            if isinstance(value, str) and "url(" in value:
                element[attribute] = URL.sub(rf"url(#{own}-\1)", value)
        for attribute in REFERRING:
            value = element.get(attribute)
            if not value:
                continue
            if "href" not in attribute:
                element[attribute] = " ".join(f"{own}-{word}" for word in value.split())
            elif element.name in ("a", "use", "image"):
                _link(element, attribute, value, here, own, place, site)
        if element.name == "img" and element.get("src"):
            if not urllib.parse.urlsplit(element["src"]).scheme:  # a picture of a control lies in the page itself
                element["src"] = _relative((here / urllib.parse.unquote(element["src"])).resolve(), target)
            element.attrs.pop("loading", None)  # nobody scrolls on paper


def _link(element: Any, attribute: str, value: str, here: Path, own: str, place: dict[str, str], site: Path) -> None:
    parts = urllib.parse.urlsplit(value)
    if parts.scheme or parts.netloc:
        return
    if not parts.path:
        element[attribute] = f"#{own}-{parts.fragment}"
        return
    file = (here / urllib.parse.unquote(parts.path)).resolve()
    page = str(file.relative_to(site.resolve()).with_suffix("")) if file.is_relative_to(site.resolve()) else ""
    if page in place:
        element[attribute] = f"#{place[page]}-{parts.fragment}" if parts.fragment else f"#{place[page]}"
    else:
        del element[attribute]  # a download of the site


def _relative(path: Path, target: Path) -> str:
    return urllib.parse.quote(os.path.relpath(path, target.parent.resolve()).replace(os.sep, "/"))


def _head(soups: list[Any], names: list[str], site: Path, target: Path) -> str:
    """Styles of all pages, once each, then the style for paper; and what sets the mathematics."""
    kept: dict[str, str] = {}
    for soup, name in zip(soups, names, strict=True):
        here = (site / f"{name}.html").parent
        for link in soup.select('head link[rel~="stylesheet"]'):
            file = (here / urllib.parse.urlsplit(link["href"]).path).resolve()
            kept.setdefault(str(file), f'<link rel="stylesheet" href="{_relative(file, target)}">')
        for script in soup.select("head script"):
            source = script.get("src", "")
            if "mathjax" in source.lower():
                file = (here / urllib.parse.urlsplit(source).path).resolve()
                kept.setdefault(str(file), f'<script defer src="{_relative(file, target)}"></script>')
            elif "window.MathJax" in (script.string or ""):
                kept.setdefault("settings", f"<script>{script.string}</script>")
    paper = _relative((site / "_static" / "paper.css").resolve(), target)
    ordered = sorted(kept.values(), key=lambda text: "defer" in text)  # settings first, the engine last
    return "\n".join(['<meta charset="utf-8">', *ordered, f'<link rel="stylesheet" href="{paper}">'])


def _front(settings: dict[str, Any], contents: str, site: Path, target: Path) -> str:
    logo = _relative((site / "_static" / "logo.svg").resolve(), target)
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
