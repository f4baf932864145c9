"""Drop repeated inline scripts: sphinx-thebe's comes twice, and its second ``const`` is a JavaScript error."""


def dedupe(app, pagename, templatename, context, doctree):
    """Keep the first of each inline script of a page."""
    seen, keep = set(), []
    for script in context.get("script_files", []):
        body = (getattr(script, "attributes", None) or {}).get("body")
        if body is None or body not in seen:
            keep.append(script)
        seen.add(body)
    context["script_files"] = keep


def setup(app):
    app.connect("html-page-context", dedupe, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
