"""Give each page the style and the script of its controls once, from the library as it is now.

A control of :mod:`wsss_lib.explore` brings both along, because a notebook elsewhere has nothing else. A page with five
of them would say everything five times, and in the words of the day on which the chapter was executed.
"""

import re
from importlib.resources import files

INLINE = re.compile(r'<(style|script) data-wx="">.*?</\1>', re.S)


def serve(app, config):
    """Copy style and script into the book's static files."""
    config.html_static_path.append(str(files("wsss_lib.explore").joinpath("web")))


def once(app, pagename, templatename, context, doctree):
    """Take the copies out of a page with controls, and link the files instead."""
    body, removed = INLINE.subn("", context.get("body", ""))
    if removed:
        context["body"] = body
        app.add_css_file("explore.css")
        app.add_js_file("explore.js", loading_method="defer")


def setup(app):
    app.connect("config-inited", serve)
    app.connect("html-page-context", once)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
