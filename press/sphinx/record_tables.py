"""Tables that are made when the book is built, from what was recorded: of chapters' runs, of machines, of results.

``{status-table}`` reads ``book/stamps.json``, ``{machines-table}`` ``book/machines.json``, and ``{results-table}`` the
files of ``results/``. What is missing is said to be missing.
"""

import json
from pathlib import Path

from chapter_top import CHAPTER, root
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx import addnodes

from press import stamps
from press.check import tolerances
from press.publish import recorded_rows
from wsss_lib.experiments import results

FEW_COLUMNS = ("method", "data / split", "mIoU", "mean AP", "seeds", "images", "threshold")
"""Of a table with the rows of some results only."""


def table(heads, body, classes, name):
    """A table of texts and nodes; the first column heads its row."""
    made = nodes.table(classes=[*classes, "record-table"])
    made += nodes.title("", name)
    group = nodes.tgroup(cols=len(heads))
    group += [nodes.colspec(colwidth=1) for _ in heads]
    group["stub-columns"] = 1
    head, rows = nodes.thead(), nodes.tbody()
    head += line(heads)
    rows += [line(cells) for cells in body]
    made += group
    group += [head, rows]
    for child in list(group.findall(nodes.colspec))[:1]:
        child["stub"] = 1
    return made


def line(cells):
    row = nodes.row()
    for cell in cells:
        entry, paragraph = nodes.entry(), nodes.paragraph()
        paragraph += [cell if isinstance(cell, nodes.Node) else nodes.Text(str(cell))]
        entry += paragraph
        row += entry
    return row


def link(env, docname, text):
    """A link to another page, resolved when the page is written."""
    made = addnodes.pending_xref("", nodes.inline("", text), refdomain="std", reftype="doc", refdoc=env.docname)
    made["reftarget"], made["refexplicit"], made["refwarn"] = f"/{docname}", True, True
    return made


def paragraph(*parts):
    made = nodes.paragraph()
    made += [part if isinstance(part, nodes.Node) else nodes.Text(part) for part in parts]
    return made


class StatusTable(Directive):
    """When each chapter last ran, for how long, with what."""

    def run(self):
        env = self.state.document.settings.env
        documents = sorted((m[1], doc) for doc in env.found_docs if (m := CHAPTER.search(doc)))
        known = stamps.read(root(env.app))
        runs, details = [], nodes.definition_list(classes=["status-details"])
        for name, doc in documents:
            stamp = known.get(name)
            chapter = link(env, doc, name)
            if not stamp:
                runs.append([chapter, "not recorded", "–", "–", "–", "–"])
                continue
            shown = [stamp.get(key, "–") for key in ("date", "profile", "seconds", "memory_mb", "machine")]
            runs.append([chapter, *shown])
            body = nodes.definition()
            for word, key in (("Versions", "versions"), ("Data fingerprints", "data")):
                pairs = stamp.get(key, {})
                body += paragraph(f"{word}: ", ", ".join(f"{k} {v}" for k, v in pairs.items()) or "none recorded")
            details += nodes.definition_list_item("", nodes.term("", name), body)
        heads = ["chapter", "last run", "profile", "time in s", "memory in MB", "machine"]
        made = [table(heads, runs, ["sortable"], "Last runs of the chapters")]
        absent = [name for name, _ in documents if name not in known]
        if absent:
            words = f"{len(absent)} of {len(documents)} chapters carry no stamp yet: {', '.join(absent)}."
            made.append(paragraph(words + " What made their stored outputs is known only to the one who stored them."))
        return [*made, details] if details.children else made


class ResultsTable(Directive):
    """All honest rows, then where each file comes from; or those of the results that are named, in a few columns."""

    optional_arguments = 20

    def run(self):
        env = self.state.document.settings.env
        documents = read(root(env.app))
        if self.arguments:
            return self.chosen([document for document in documents if document["name"] in self.arguments], env)
        rows = [row for document in documents for row in recorded_rows.rows(document)]
        body = [[*(row | {"result": self.anchor(row["result"])}).values()] for row in rows]
        heads = list(rows[0]) if rows else ["method"]
        made = [table(heads, body, ["sortable", "wide-table"], "Honest rows of all recorded results")]
        return [*made, *self.origins(documents)]

    def chosen(self, documents, env):
        rows = [row for document in documents for row in recorded_rows.rows(document)]
        body = [[row[head] for head in FEW_COLUMNS] for row in rows]
        where = paragraph("Each row with its provenance stands under ", link(env, "book/results", "Results"), ".")
        return [table(FEW_COLUMNS, body, [], f"Recorded as {', '.join(self.arguments)}"), where]

    @staticmethod
    def anchor(name):
        return nodes.reference("", name, internal=True, refid=f"result-{name.replace('_', '-')}")

    def origins(self, documents):
        listed = nodes.definition_list(classes=["result-origins"])
        for document in documents:
            said, count = document["provenance"], len(recorded_rows.rows(document))
            term = nodes.term("", document["name"], ids=[f"result-{document['name'].replace('_', '-')}"])
            kind = (
                f"{count} rows above."
                if count
                else "A measurement of another kind; the chapter that speaks of it shows it."
            )
            note = f" Note: {said['note'].rstrip('.')}." if said.get("note") else ""
            versions = ", ".join(f"{k} {v}" for k, v in said.get("versions", {}).items())
            seeds = ", ".join(map(str, said.get("seeds", [])))
            body = nodes.definition()
            body += paragraph(kind + note)
            body += paragraph(nodes.literal("", said["command"]))
            told = [f"{said.get('date', 'date not recorded')}, commit {said.get('commit', 'not recorded')}"]
            told += [f"{said.get('device', 'device not recorded')}", f"seeds {seeds or 'none'}"]
            told += [f"{said['wall_seconds']:.0f} s"] if "wall_seconds" in said else []
            told += [f"{said['peak_memory_mb']} MB"] if "peak_memory_mb" in said else []
            body += paragraph(" · ".join(told))
            body += paragraph(f"Versions: {versions or 'not recorded'}")
            listed += nodes.definition_list_item("", term, body)
        return [listed] if documents else [paragraph("No result has been recorded yet.")]


class MachinesTable(Directive):
    """How far the chapters' outputs are from the stored ones on other machines."""

    def run(self):
        data = tolerances.read(root(self.state.document.settings.env.app))
        if not data:
            return [paragraph("Not recorded yet: ", nodes.literal("", tolerances.COMMAND))]
        heads = list(dict.fromkeys(machine for by_machine in data.values() for machine in by_machine))
        body = [[name, *(largest(by_machine.get(machine)) for machine in heads)] for name, by_machine in data.items()]
        title = "Largest difference of a printed decimal, and of a number in a figure as a share of its axis"
        return [table(["chapter", *heads], body, [], title)]


def largest(of):
    if of is None:
        return "–"
    decimal, figure = (
        max((cell.get(kind, 0) for cell in of["cells"].values()), default=0) for kind in ("absolute", "figure")
    )
    return f"{decimal:.2g}, {figure:.1%}"


def read(folder):
    """The clone's recorded results, in the order of their names; the package's own where there is no clone."""
    paths = sorted((Path(folder) / "results").glob("*.json"))
    if paths:
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return [results.read(name) for name in results.names()]


def setup(app):
    app.add_directive("status-table", StatusTable)
    app.add_directive("results-table", ResultsTable)
    app.add_directive("machines-table", MachinesTable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
