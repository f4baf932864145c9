"""``make pdf``: the built book as one PDF, printed by Chromium, which sets mathematics and figures as the pages do.

python -m press.publish.pdf
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from press.project import ProjectError
from press.publish.common import deliver
from press.publish.paper import assemble
from wsss_lib.files import write_atomically

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
NAME = "from-labels-to-masks.pdf"
PRINT: dict[str, Any] = {"prefer_css_page_size": True, "print_background": True, "outline": True, "tagged": True}
SET = """async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  await document.fonts.ready;
  await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
  return [...document.images].filter((image) => !image.naturalWidth).map((image) => image.src);
}"""


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
            write_atomically(target, tab.pdf(**PRINT))
        finally:
            started.close()
    return target


def main() -> int:
    """Write the PDF and say where it is."""
    return deliver("pdf", write, "The book is in {}")


if __name__ == "__main__":
    raise SystemExit(main())
