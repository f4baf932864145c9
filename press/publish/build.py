"""``wsss build``: the book as HTML, from the pages in ``book/`` and the executed chapters.

Jupyter Book's own cache looks at notebooks alone and its ``-W`` forgets the warnings of pages that it does not read
again; so execution happens before (:mod:`press.run.run`) and a failed build leaves nothing to reuse.
"""

from __future__ import annotations

import filecmp
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from sphinx_external_toc.api import SiteMap, TocTree
from sphinx_external_toc.parsing import parse_toc_yaml

from press.freshness import files_digest
from press.project import ProjectError, repository
from press.publish import markdown
from press.publish.common import front
from press.watch import watched
from wsss_lib.files import write_atomically

PRESS = Path(__file__).resolve().parents[1]
WATCH = 1800
"""Seconds that the pages may take."""
NOISE = re.compile(r"\x1b\[[0-9;]*m")


def build(root: Path, *, stored: bool = False, tell: Callable[[str], None] = print) -> Path | None:
    """Build the HTML from the chapters that :func:`press.run.run.run` has executed.

    Args:
        root: The clone.
        stored: Take the chapters as they lie in ``book/chapters`` instead.
        tell: Where warnings and progress go.

    Returns:
        The page to open, or None where a page has a warning or an error (each has been told).

    Raises:
        ProjectError: A chapter of the table of contents has not been executed, or a page is absent.
    """
    staged = stage(root, stored=stored)
    tell(f"Building {len(pages(root))} pages ...")
    output = root / "_build"
    inside = [staged / "book" / "assets", staged / "_toc.yml"]
    records = [root / "results", *sorted((root / "book").glob("*.json"))]
    forget_outdated(output, [PRESS / "sphinx", *inside, *records])
    page = output / "html" / "index.html"
    if not page.is_file():
        # It comes last: a build that was cut off has written less than Sphinx remembers, and a style of which half was
        # copied would give its checksum to every page.
        for cut_off in (".doctrees", "html"):
            shutil.rmtree(output / cut_off, ignore_errors=True)
    page.unlink(missing_ok=True)
    # `jupyter-book` itself need not be on the path. Pages are many small objects that stay: to look through all of them
    # for garbage as often as Python does costs a sixth of the time.
    program = "import gc; gc.set_threshold(100_000, 20, 100); from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", program, "build", str(staged), "--path-output", str(root)]
    command += ["-W", "-n", "--keep-going"]
    done = watched(command, "the build of the pages", seconds=WATCH, cwd=staged, capture_output=True)
    log = NOISE.sub("", done.stdout + done.stderr)
    write_atomically(output / "build.log", log)
    if done.returncode or not page.is_file():
        shutil.rmtree(output / ".doctrees", ignore_errors=True)
        lines = log.replace(f"{staged}/", "").strip().splitlines()
        for line in [line for line in lines if re.search(r"WARNING|ERROR|Error\b", line)] or lines[-15:]:
            tell(line)
        tell("The book was not built: mend the above; the whole output is in _build/build.log")
        return None
    title = yaml.safe_load((root / "_config.yml").read_bytes())["title"]
    write_atomically(page, front(title, ": the way in.", "book/welcome.html"))
    markdown.write(page.parent, title, parts(root))
    return page


def forget_outdated(output: Path, sources: Sequence[Path]) -> None:
    """Forget what Sphinx remembers when a file has changed at which it does not look, such as an extension."""
    now = files_digest(sources)
    kept = output / "sources.txt"
    if not kept.is_file() or kept.read_text(encoding="utf-8") != now:
        shutil.rmtree(output / ".doctrees", ignore_errors=True)
        write_atomically(kept, now)


def stage(root: Path, *, stored: bool = False) -> Path:
    """Lay the book out in ``_build/stage`` as it lies in the clone, chapters executed, address filled in.

    Files are copied only where they differ, so that Sphinx reads again what changed and nothing else.
    """
    target = root / "_build" / "stage"
    executed = root / "book" / "chapters" if stored else root / "_build" / "run" / "book"
    wanted = {Path("_toc.yml"): root / "_toc.yml"}
    for path in (root / "book").rglob("*"):
        relative = path.relative_to(root)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if path.is_file() and not hidden and relative.parts[1] != "chapters":
            wanted[relative] = path
    for page in pages(root):
        relative = Path(page)
        if relative.parent == Path("book/chapters"):
            source = executed / f"{relative.name}.ipynb"
            if not source.is_file():
                raise ProjectError(f"{relative.name} has not been executed: run `wsss run` first")
            wanted[relative.with_suffix(".ipynb")] = source
        elif relative.with_suffix(".md") not in wanted and relative.with_suffix(".ipynb") not in wanted:
            raise ProjectError(f"_toc.yml names {page}, which does not exist: write {page}.md or take it out")
    for path in [path for path in target.rglob("*") if path.is_file() and path.relative_to(target) not in wanted]:
        path.unlink()
    for relative, source in wanted.items():
        copy = target / relative
        if not (copy.is_file() and filecmp.cmp(source, copy, shallow=False)):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    write_atomically(target / "_config.yml", yaml.safe_dump(config(root), sort_keys=False, allow_unicode=True))
    return target


def config(root: Path) -> dict[str, Any]:
    """Jupyter Book's settings with what only the clone knows: the address, and where the extensions lie."""
    settings: dict[str, Any] = yaml.safe_load((root / "_config.yml").read_bytes())
    if address := repository(root):
        settings.setdefault("repository", {})["url"] = address
    else:  # no address has been published: no button may lead nowhere
        for name in ("repository", "launch_buttons"):
            settings.pop(name, None)
        settings["html"] = settings.get("html", {}) | {"use_repository_button": False, "use_issues_button": False}
    extensions = settings.setdefault("sphinx", {}).get("local_extensions", {})
    settings["sphinx"].setdefault("config", {})["wsss_root"] = str(root)
    settings["sphinx"]["local_extensions"] = {name: str(PRESS.parent / folder) for name, folder in extensions.items()}
    return settings


def pages(root: Path) -> list[str]:
    """Pages of the table of contents, without suffix, in order."""
    return [page for part in parts(root).values() for page in part]


def parts(root: Path) -> dict[str, list[str]]:
    """The pages by the caption of their part; the first page has none."""
    table = parse_toc_yaml(root / "_toc.yml")
    of_parts = {tree.caption: list(_listed(table, tree)) for tree in table.root.subtrees}
    return {"": [table.root.docname], **of_parts}


def _listed(table: SiteMap, tree: TocTree) -> Iterator[str]:
    for page in map(str, tree.items):
        yield page
        for below in table[page].subtrees:
            yield from _listed(table, below)
