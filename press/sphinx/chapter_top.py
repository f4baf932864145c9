"""The head of every chapter: what it needs and takes, when it was verified, buttons, how to cite it.

Nothing of this stands in the notebooks: needs come from the chapter's own paragraph *What you need*, which moves up
here; time, memory and machine from ``book/stamps.json``, which ``wsss run --in-place`` writes; the limits of the other
profiles from ``wsss_lib``; the address from ``pyproject.toml`` by way of the theme's options. Without an address there
is no button that needs one.
"""

import re
from html import escape, unescape
from pathlib import Path

from docutils import nodes

from press import stamps

NEEDS = re.compile(r"<p><strong>What you need\.?</strong>\.?\s*(.*?)</p>", re.S)
CHAPTER = re.compile(r"(?:^|/)chapters/(\d\d_\w+)$")
LIMIT = re.compile(r"^Profile book: at most .*\n", re.M)
"""What the first cell prints for every chapter alike; the page says what this one took."""
MAIN = ("wsss-lib", "torch", "numpy")


def root(app):
    """The clone: known to ``wsss build``; for a bare Sphinx the source folder stands in."""
    return Path(app.config.wsss_root or app.srcdir)


def address(app):
    """The repository's address, or nothing."""
    return str(app.config.html_theme_options.get("repository_url") or "").rstrip("/")


def colab(context):
    """Where Colab opens the chapter, as the theme's own button does; nothing where there is no address."""
    buttons = [one for group in context.get("header_buttons", []) for one in group.get("buttons", [])]
    return next((button["url"] for button in buttons if button.get("text") == "Colab"), "")


def takes(stamp):
    """What the stored run took and on what, and what another profile may take."""
    from wsss_lib.experiments.profiles import PROFILES

    book, smoke, colab = (PROFILES[name] for name in ("book", "smoke", "colab"))
    if "seconds" in stamp:
        took = f"{stamp['seconds']} s and {stamp['memory_mb'] / 1000:.1f} GB of memory · {escape(stamp['machine'])}"
    else:
        took = f"not recorded yet; at most {book.budget_words} on {book.machine}"
    return (
        f"{took} (at most {smoke.budget_words} with profile <code>smoke</code>, "
        f"at most {colab.budget_words} on {colab.machine} with <code>colab</code>)"
    )


def verified(stamp):
    """When, and with which versions."""
    if not stamp:
        return "not recorded yet: no stamp has been written since these outputs were stored"
    versions = stamp.get("versions", {})
    named = [f"{name} {versions[name]}" for name in MAIN if name in versions]
    named += [f"Python {versions['python']}"] if "python" in versions else []
    return f"<time>{escape(stamp['date'])}</time> · {escape(' · '.join(named))}"


def builds(app, context, pagename):
    """Links to what the chapter builds of the library; the extension ``reference`` has noted it."""
    entries = app.env.domains["py"].objects
    names = {name for page in getattr(app.env, "wsss_built", {}).values() for name in page if page[name] == pagename}
    links = []
    for name in (name for name in entries if name in names):
        entry = entries[name]
        short = name if entry.objtype == "module" else name.rpartition(".")[2]
        link = f"{context['pathto'](entry.docname)}#{entry.node_id}"
        links.append(f'<a href="{link}"><code>{escape(short)}</code></a>')
    return ", ".join(links)


def citation(app, title):
    """How to cite a page, as a sentence and as BibTeX."""
    from wsss_lib import __version__

    author, book, year = app.config.author, app.config.html_title, str(app.config.copyright).split(",")[0].strip()
    where = address(app)
    words = f"{escape(author)} ({year}). {escape(title)}. In <em>{escape(book)}</em>, version {__version__}."
    key = re.sub(r"\W+", "-", title.split(":")[0].lower()).strip("-")
    fields = {"author": f"{{{author}}}", "title": title, "booktitle": book, "year": year}
    fields |= {"note": f"Version {__version__}"} | ({"url": where} if where else {})
    bib = ",\n".join(f"  {name:9} = {{{value}}}" for name, value in fields.items())
    link = f' <a href="{escape(where)}">{escape(where.removeprefix("https://"))}</a>' if where else ""
    entry = escape(f"@incollection{{labels-to-masks-{key},\n{bib}\n}}")
    return f'<p>{words}{link}</p><pre tabindex="0" aria-label="BibTeX entry">{entry}</pre>'


def head(app, pagename, context, needs):
    """The HTML of a chapter's head."""
    name = CHAPTER.search(pagename)[1]
    stamp = stamps.read(root(app)).get(name, {})
    rows = [("Needs", needs)] if needs else []
    built = builds(app, context, pagename)
    rows += [("Builds", built)] if built else []
    rows += [("A run takes", takes(stamp)), ("Last verified", verified(stamp))]
    listed = "".join(f"<div><dt>{term}</dt><dd>{text}</dd></div>" for term, text in rows)
    buttons = []
    if where := colab(context):
        buttons.append(f'<a class="chapter-button" href="{escape(where)}">Open in Colab</a>')
    source = context["pathto"](f"_sources/{pagename}.ipynb", 1)
    buttons.append(f'<a class="chapter-button" href="{source}" download="{name}.ipynb">Download notebook</a>')
    buttons.append(f'<a class="chapter-button" href="{name}.md">Page as Markdown</a>')
    title = re.sub(r"<[^>]+>", "", context.get("title", name))
    return (
        f'<div class="chapter-head"><dl>{listed}</dl>'
        f'<div class="chapter-actions">{"".join(buttons)}'
        f"<details><summary>Cite this page</summary>{citation(app, unescape(title))}</details></div></div>"
    )


def place(app, pagename, templatename, context, doctree):
    """Put the head below the title of a chapter."""
    if not CHAPTER.search(pagename) or "body" not in context:
        return
    body = context["body"]
    match = NEEDS.search(body)
    if match:
        body = body[: match.start()] + body[match.end() :]
    body = LIMIT.sub("", body, count=1)
    needs = match[1] if match else ""
    needs = needs[:1].upper() + needs[1:]
    context["body"] = body.replace("</h1>", "</h1>\n" + head(app, pagename, context, needs), 1)


def describe(app, pagename, templatename, context, doctree):
    """Every page says in its head what it is about: its first paragraph, or its title."""
    about = ""
    if doctree is not None:
        paragraphs = (p for p in doctree.findall(nodes.paragraph) if not isinstance(p.parent, nodes.list_item))
        about = next((" ".join(p.astext().split()) for p in paragraphs if reads(p)), "")
    about = about or f"{re.sub('<[^>]+>', '', context.get('title') or 'Page')} of the book {app.config.html_title}"
    if len(about) > 200:
        about = about[:199].rsplit(" ", 1)[0].rstrip(",;:") + "…"
    context["metatags"] = context.get("metatags", "") + f'\n<meta name="description" content="{escape(about)}" />'
    if doctree is not None:  # `wsss build` writes both (press.publish.markdown)
        copy, listed = f"{pagename.rpartition('/')[2]}.md", context["pathto"]("llms.txt", 1)
        context["metatags"] += f'\n<link rel="alternate" type="text/markdown" title="This page" href="{copy}" />'
        context["metatags"] += f'\n<link rel="alternate" type="text/plain" title="All pages" href="{listed}" />'


def reads(paragraph):
    """Whether a paragraph can stand for the page."""
    text = paragraph.astext()
    return len(text) > 40 and not text.startswith("What you need")


def setup(app):
    app.add_config_value("wsss_root", "", "env")
    app.connect("html-page-context", place, priority=850)
    app.connect("html-page-context", describe, priority=850)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
