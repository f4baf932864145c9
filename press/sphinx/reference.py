"""The reference: pages of ``book/api`` made from the library's docstrings, tied to the chapters in both directions.

``.. api:: wsss_lib.maps.scores`` documents what the room ``wsss_lib.maps`` exports from that module and what a chapter
builds there; all public names where the room exports none of them. "Built in chapter 3" becomes a link, and is noted
for the head of chapter 3. A role that names something without an entry stays plain text; one that names nothing is a
warning, and so an error.
"""

import importlib
import inspect
import pkgutil
import re
from functools import cache

from chapter_top import CHAPTER
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.nodes import make_refnode

SAYS = re.compile(r"\b(Built|Used)(\s+)in(\s+)chapter (\d+)")
EQUATIONS = re.compile(r"(?m)(?<=[^:]):\n\n(?= {4,})")
"""An indented block after a colon holds equations or code, to be shown as it stands."""


def public(module):
    """Paths by which readers import the public names of a module: {name: path}, in the file's order."""
    room = module if module.count(".") == 1 else module.rpartition(".")[0]
    shared, file, analyser = importlib.import_module(room), importlib.import_module(module), analysed(module)
    noted = {name for scope, name in analyser.attr_docs if not scope}
    names = sorted((name for name in analyser.tagorder if "." not in name), key=analyser.tagorder.get)
    paths = {}
    for name in names:
        value = getattr(file, name, None)
        defined = callable(value) and getattr(value, "__module__", "") == module
        documented = name in noted or (defined and value.__doc__)
        if documented and not name.startswith("_"):
            exported = name in getattr(shared, "__all__", ())
            paths[name] = f"{room if exported else module}.{name}"
    exported = {name for name, path in paths.items() if path == f"{room}.{name}"}
    built = {name for name in paths if "Built in" in (getattr(file, name).__doc__ or "")}
    return {name: path for name, path in paths.items() if not exported or name in exported | built}


def analysed(module):
    """The module's source: which names it has, in which order, and the comments that document constants."""
    analyser = ModuleAnalyzer.for_module(module)
    analyser.analyze()
    return analyser


class Api(Directive):
    """A module's docstring, a table of its public names, and an entry for each."""

    required_arguments = 1

    def run(self):
        module, env = self.arguments[0], self.state.document.settings.env
        paths = public(module)
        table, entries = [], []
        for name, path in paths.items():
            value = getattr(importlib.import_module(module), name)
            if inspect.isclass(value):
                entries += [f".. autoclass:: {path}", "   :members:", "   :member-order: bysource", ""]
            elif callable(value):
                entries += [f".. autofunction:: {path}", ""]
            else:  # the comment that documents a constant is read in its own file
                path = f"{module}.{name}"
                entries += [f".. autodata:: {path}", ""]
            table.append(f"   ~{path}")
            noted(env, "wsss_paths")[f"{module}.{name}"] = path
        lines = [f".. automodule:: {module}", "", ".. py:currentmodule:: None", ""]
        lines += [".. autosummary::", "   :nosignatures:", "", *table, "", *entries] if table else []
        made = nodes.container()
        self.state.nested_parse(StringList(lines, source=module), self.content_offset, made)
        return made.children


def noted(env, name):
    """What is noted of the page that is being read."""
    return vars(env).setdefault(name, {}).setdefault(env.docname, {})


def of_all(env, name):
    """What is noted of all pages."""
    return {key: value for page in getattr(env, name, {}).values() for key, value in page.items()}


def forget(app, env, docname):
    for name in ("wsss_paths", "wsss_built"):
        getattr(env, name, {}).pop(docname, None)


def docstring(app, what, name, value, options, lines):
    """Link the chapters that a docstring names, and note what they build."""
    chapters = {int(m[1][:2]): doc for doc in app.env.found_docs if (m := CHAPTER.search(doc))}

    def linked(match):
        number = int(match[4])
        if number not in chapters:
            return match[0]
        if match[1] == "Built":
            noted(app.env, "wsss_built")[name] = chapters[number]
        return f"{match[1]}{match[2]}in{match[3]}:doc:`chapter {number} </{chapters[number]}>`"

    if what == "data":
        app.env.temp_data["wsss_constant"] = list(lines)
    lines[:] = EQUATIONS.sub("::\n\n", SAYS.sub(linked, "\n".join(lines))).split("\n")


def constant(app, what, name, value, options, lines):
    """Undo what napoleon does to a constant: it takes what stands before a colon for a type."""
    if what == "data":
        lines[:] = app.env.temp_data.pop("wsss_constant")


def signature(app, what, name, value, options, arguments, returned):
    """A dataclass's made defaults are no Python, and would leave the whole signature unread."""
    return arguments and arguments.replace("<factory>", "..."), returned


def existing(app, env, node, content):
    """A link to the entry under another path; plain text for what exists and has no entry."""
    if node.get("refdomain") != "py":
        return None
    target, paths = node["reftarget"], of_all(env, "wsss_paths")
    near = [*getattr(env, "wsss_paths", {}).get(node["refdoc"], ()), *paths]  # the page's own modules first
    scopes = [node.get("py:module"), *dict.fromkeys(name.rpartition(".")[0] for name in near)]
    names = [target, *(f"{scope}.{target}" for scope in scopes if scope)]
    if node["reftype"] == "attr":  # an instance has it, its class need not
        names += [name.rpartition(".")[0] for name in names]
    value = next((value for name in names if (value := look_up(name)) is not None), None)
    if value is None:
        return None
    name = getattr(value, "__name__", "") if inspect.ismodule(value) else f"{getattr(value, '__module__', '')}."
    name += "" if inspect.ismodule(value) else getattr(value, "__qualname__", "")
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        path = paths.get(".".join(parts[:end]))
        entry = path and env.domains["py"].objects.get(".".join([path, *parts[end:]]))
        if entry:
            return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, name)
    return content


@cache
def look_up(name):
    """What a dotted name stands for, or None."""
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError):
        return None


def heads(app, env):
    """Chapters whose head names other things than before: they are written again."""
    now = of_all(env, "wsss_built")
    before, env.wsss_heads = getattr(env, "wsss_heads", {}), now
    return sorted({chapter for _, chapter in set(now.items()) ^ set(before.items())} & env.found_docs)


def setup(app):
    app.add_directive("api", Api)
    app.connect("autodoc-process-docstring", docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", constant, priority=600)  # after it
    app.connect("autodoc-process-signature", signature)
    app.connect("env-purge-doc", forget)
    app.connect("env-updated", heads)
    app.connect("missing-reference", existing)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
