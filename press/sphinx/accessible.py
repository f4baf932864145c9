"""Mend what the theme and the builder write that a screen reader stumbles over (axe-core named each), or a browser.

The finished pages are mended, because the pieces come from four packages' templates. Mending twice changes nothing.
"""

import re
from pathlib import Path

from wsss_lib.files import write_atomically

MENDED = (
    # The name that is heard must hold the words that are seen.
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    (re.compile(r'(<button class="btn search-button-field[^>]*?) aria-label="Search"'), r"\1"),
    (re.compile(r'(<i class="theme-switch [^>]*?)\s+title="[^"]*"'), r"\1"),
    # What opens the pages beneath one in the sidebar has a sign, and needs a name.
    (re.compile(r'<summary>(<span class="toctree-toggle")'), r'<summary aria-label="Pages beneath">\1'),
    # The sidebar's head belongs to a landmark as well.
    (
        re.compile(r'<div id="pst-primary-sidebar" class'),
        '<div id="pst-primary-sidebar" role="navigation" aria-label="Book" class',
    ),
    # A list's children are its items; the role that they had is deprecated.
    (re.compile(r'(<div class="citation" id="[^"]*") role="doc-biblioentry"'), r'\1 role="listitem"'),
    # An empty corner of a table heads nothing.
    (re.compile(r'<th class="head[^"]*">(?:<p>\s*</p>)?\s*</th>'), "<td></td>"),
    (re.compile(r'<th scope="col"( style="[^"]*")?></th>'), r"<td\1></td>"),
)
SCRIPT = re.compile(r"<script>[^<]+</script>")


def mend(app, exception):
    """Mend every page once all are written."""
    if exception is None and app.builder.format == "html":
        for page in Path(app.outdir).rglob("*.html"):
            text = before = page.read_text(encoding="utf-8")
            for pattern, better in MENDED:
                text = pattern.sub(better, text)
            for script in set(SCRIPT.findall(text)):  # sphinx-thebe's comes twice, and its second ``const`` is an error
                before_it, _, after_it = text.partition(script)
                text = before_it + script + after_it.replace(script, "")
            if text != before:
                write_atomically(page, text)


def setup(app):
    app.connect("build-finished", mend)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
