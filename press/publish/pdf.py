"""``make pdf``: the built book as one PDF, printed by Chromium, which sets mathematics and figures as the pages do.

python -m press.publish.pdf
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

from press.project import ProjectError
from press.publish.common import deliver
from press.publish.paper import assemble

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
NAME = "from-labels-to-masks.pdf"
PRINT: dict[str, Any] = {"prefer_css_page_size": True, "print_background": True, "outline": True, "tagged": True}
SET = """async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  await document.fonts.ready;
  await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
  return [...document.images].filter((image) => !image.naturalWidth).map((image) => image.src);
}"""


NUMBER = """(numbers) => document.querySelectorAll(".paper-contents a").forEach((link) => {
  const number = document.createElement("span"), leader = document.createElement("span");
  leader.className = "leader";
  number.textContent = numbers[link.hash.slice(1)];
  link.append(leader, number);
})"""


def browser() -> str:
    """Path of a Chromium: ``WSSS_CHROMIUM``, or one on the path.

    Raises:
        ProjectError: There is none.
    """
    named = os.environ.get("WSSS_CHROMIUM")
    browser = next((path for name in ([named] if named else BROWSERS) if (path := shutil.which(name))), None)
    if browser is None:
        where = f"at WSSS_CHROMIUM={named}" if named else "on the path"
        raise ProjectError(
            f"the PDF is printed by Chromium, and there is none {where}: install it, or name another one"
        )
    return browser


def write(root: Path, target: Path | None = None) -> Path:
    """Print the built book.

    Args:
        root: The clone; the book must have been built.
        target: The PDF; ``_build/from-labels-to-masks.pdf`` by default.

    Returns:
        ``target``.

    Raises:
        ProjectError: Chromium or Playwright is absent, the book has not been built, or a picture of it is missing.
    """
    executable = browser()
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as error:
        raise ProjectError("the PDF needs the package playwright: run `make env`, or pip install playwright") from error
    page = assemble(root, root / "_build" / "pdf" / "book.html")
    target = target or root / "_build" / NAME
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        try:
            tab = started.new_page()
            tab.set_default_timeout(600_000)
            tab.goto(page.as_uri(), wait_until="load")
            missing = tab.evaluate(SET)
            if missing:
                raise ProjectError(f"{len(missing)} pictures are missing (first {missing[0]}): build the book again")
            printed = tab.pdf(**PRINT)
            page_numbers = numbers(printed)
            if page_numbers:  # known only once the book has been printed; written into lines that are there already
                tab.evaluate(NUMBER, page_numbers)
                printed = tab.pdf(**PRINT)
            partial = target.with_suffix(".partial")
            partial.write_bytes(printed)
            partial.replace(target)
        finally:
            started.close()
    return target


def numbers(pdf: bytes) -> dict[str, int]:
    """Page numbers of the places that links lead to, from 1; empty where the PDF is not laid out as Chromium does."""
    pages = re.findall(rb"\n(\d+) 0 obj\s*<</Type /Page\s", pdf)
    order = {int(page): number for number, page in enumerate(sorted(pages, key=int), 1)}
    places = re.findall(rb"/([\w-]+) \[(\d+) 0 R /XYZ", pdf)
    return {name.decode(): order[int(page)] for name, page in places if int(page) in order}


def main() -> int:
    """Write the PDF and say where it is."""
    return deliver("pdf", write, "The book is in {}")


if __name__ == "__main__":
    raise SystemExit(main())
