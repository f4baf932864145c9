"""Tables that are made when the book is built, from what was recorded: of chapters' runs, of machines, of results.

``{status-table}`` reads ``book/stamps.json``, ``{machines-table}`` ``book/machines.json``, ``{mutants-table}``
``book/mutants.json``, ``{house-table}`` ``book/house.json``, and ``{results-table}``, ``{speed-tables}`` and the like
the files of ``results/``. What is missing is said to be missing. Each directive writes Markdown, which MyST reads.
"""

import re

from chapter_top import CHAPTER, root
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from press import stamps
from press.check import tolerances
from press.publish import aims, recorded_rows
from wsss_lib.files import read_json

FEW_COLUMNS = ("method", "data / split", "mIoU", "mean AP", "runs", "images", "threshold")
"""Of a table with the rows of some results only."""


def plain(text):
    """A text in which Markdown reads no marks."""
    return re.sub(r"([\\`*_{}\[\]<>#$|~@]|^[+-])", r"\\\1", str(text))


def table(title, classes, heads, rows):
    """Lines of a table, given as texts in Markdown; the first column heads its row."""
    lines = [f"```{{list-table}} {title}", ":header-rows: 1", ":stub-columns: 1", f":class: {classes} record-table", ""]
    for row in (heads, *rows):
        lines += [f"{' ' if place else '*'} - {text}" for place, text in enumerate(row)]
    return [*lines, "```", ""]


def plain_table(title, rows):
    """Lines of a wide table of rows of plain texts by their heads."""
    body = [[plain(text) for text in row.values()] for row in rows]
    return table(title, "wide-table", [plain(head) for head in rows[0]], body)


def details(classes, items):
    """Lines of a list of terms, each with the paragraphs that say more of it."""
    lines = [f"::::{{container}} {classes}", ""]
    for term, paragraphs in items:
        first, *rest = paragraphs
        lines += [term, f": {first}", *(line for text in rest for line in ("", f"  {text}")), ""]
    return [*lines, "::::", ""]


def versions(of):
    """What was installed, or that nobody said."""
    return plain(", ".join(f"{name} {version}" for name, version in of.items()) or "not recorded")


class Recorded(Directive):
    """A directive that shows what :meth:`lines` says."""

    def run(self):
        env, made = self.state.document.settings.env, nodes.container()
        self.state.nested_parse(StringList(self.lines(env, root(env.app))), self.content_offset, made)
        return made.children


class OfOneFile(Recorded):
    """Shows what :meth:`made` makes of one recorded document, or by which command to record it."""

    def lines(self, env, clone):
        path = clone / self.file
        return self.made(read_json(path)) if path.is_file() else [f"Not recorded yet: `{self.command}`"]

    @staticmethod
    def titled(title, document, rows):
        """A wide table whose title ends with the device."""
        return plain_table(plain(f"{title} {document['provenance'].get('device', 'a machine not recorded')}"), rows)


class StatusTable(Recorded):
    """When each chapter last ran, for how long, with what."""

    def lines(self, env, clone):
        known, rows, more = stamps.read(clone), [], []
        for name, doc in sorted((m[1], doc) for doc in env.found_docs if (m := CHAPTER.search(doc))):
            stamp = known.get(name, {"date": "not recorded"})
            shown = [plain(stamp.get(key, "–")) for key in ("date", "profile", "seconds", "memory_mb", "machine")]
            rows.append([f"{{doc}}`{name} </{doc}>`", *shown])
            if name in known:
                texts = [f"Versions: {versions(stamp['versions'])}", f"Data fingerprints: {versions(stamp['data'])}"]
                more.append((plain(name), texts))
        heads = ["chapter", "last run", "profile", "time in s", "memory in MB", "machine"]
        return table("Last runs of the chapters", "sortable", heads, rows) + details("status-details", more)


class ResultsTable(Recorded):
    """All honest rows, then where each file comes from; or those of the results that are named, in a few columns."""

    optional_arguments = 20

    def lines(self, env, clone):
        paths = sorted((clone / "results").glob("*.json"))
        rows, origins = [], []
        for document in [read_json(path) for path in paths if path.stem in (self.arguments or (path.stem,))]:
            measured = [{k: plain(text) for k, text in row.items()} for row in recorded_rows.rows(document)]
            anchor = f"result-{document['name'].replace('_', '-')}"
            name = plain(document["name"])
            rows += [row | {"result": f"[{name}](#{anchor})"} for row in measured]
            origins.append((f"[{name}]{{#{anchor}}}", self.origin(document["provenance"], len(measured))))
        heads = list(rows[0]) if rows else ["method"]
        if self.arguments:
            body = [[row[head] for head in FEW_COLUMNS] for row in rows]
            where = "Each row with its provenance stands under {doc}`Results </book/results>`."
            title = f"Mean ± s.d. over the runs; recorded as {plain(' and '.join(self.arguments))}"
            return [*table(title, "few-columns", FEW_COLUMNS, body), where]
        body = [list(row.values()) for row in rows]
        title = "Honest rows of all recorded results"
        return table(title, "sortable wide-table", heads, body) + details("result-origins", origins)

    @staticmethod
    def origin(said, count):
        """Where a recorded result's numbers come from, in paragraphs."""
        kind = "A measurement of another kind; the chapter that speaks of it shows it."
        note = f" Note: {said['note'].rstrip('.')}." if said.get("note") else ""
        seeds = ", ".join(map(str, said.get("seeds", []))) or "none"
        commit = f"commit {said.get('commit', 'not recorded')}"
        commit += f" ({said['commit_note']})" if said.get("commit_note") else ""
        facts = [f"{said.get('date', 'date not recorded')}, {commit}"]
        facts += [f"{said.get('device', 'device not recorded')}", f"random seeds {seeds}"]
        facts += [f"{said['wall_seconds']:.0f} s"] if "wall_seconds" in said else []
        facts += [f"{said['peak_memory_mb']} MB"] if "peak_memory_mb" in said else []
        first = plain((f"{count} rows above." if count else kind) + note)
        facts = plain(" · ".join(facts))
        return [first, f"`{said['command']}`", facts, f"Versions: {versions(said.get('versions', {}))}"]


class SpeedTables(Recorded):
    """Of each benchmark, how many times as long as the library the others take; the authors' code has its own table."""

    def lines(self, env, clone):
        made = []
        paths = [path for path in sorted((clone / "results").glob("*.json")) if path.stem != "bench_authors"]
        for document in map(read_json, paths):
            if rows := recorded_rows.speeds(document):
                device = document["provenance"].get("device", "a CPU")
                made += plain_table(plain(f"{document['name']}: their time over ours, on {device}"), rows)
        return made or ["Not recorded yet: `make bench`"]


class AimsTable(Recorded):
    """How fast the library was meant to be beside others, and how fast it is."""

    def lines(self, env, clone):
        known = {path.stem: read_json(path) for path in sorted((clone / "results").glob("bench_*.json"))}
        made = aims.rows(known)
        return plain_table("Aims, and what was measured", made) if made else ["Not recorded yet: `make bench`"]


class ShardsTable(Recorded):
    """Images a second and memory of the extraction of maps, by how many processes and images."""

    def lines(self, env, clone):
        made = []
        for name, title in (
            ("bench_shards", "Images a second and the largest memory of a process, means over rounds"),
            ("bench_shards_million", "Images of 32 pixels and a network of few channels, by one process"),
        ):
            path = clone / "results" / f"{name}.json"
            if path.is_file() and (rows := recorded_rows.shards(read_json(path))):
                made += plain_table(plain(title), rows)
        return made or ["Not recorded yet: `python benchmarks/bench_shards.py`"]


class UpdatesTable(Recorded):
    """Of an update of each method, what it costs over one of CAM, and how much of a step is reading."""

    def lines(self, env, clone):
        costs, reading = (clone / "results" / f"bench_{name}.json" for name in ("updates", "reading"))
        if not costs.is_file() or not reading.is_file():
            return ["Not recorded yet: `make bench`"]
        document = read_json(costs)
        device = document["provenance"].get("device", "a CPU")
        made = []
        for case, rows in recorded_rows.updates(document).items():
            title = plain(f"An update over one of CAM, SAT's over TS-CAM's: {case}, on {device}")
            made += plain_table(title, rows)
        return [*made, *plain_table("Reading a batch beside the update", recorded_rows.readings(read_json(reading)))]


class AuthorsTable(OfOneFile):
    """An update of each method beside the authors' own code."""

    file, command = "results/bench_authors.json", "python benchmarks/bench_authors.py"

    def made(self, document):
        return self.titled("The authors' update over ours, on", document, recorded_rows.beside_authors(document))


class GPUTable(OfOneFile):
    """Of each trained method on a GPU: agreement with a CPU, speed, memory."""

    file, command = "results/bench_gpu.json", "make gpu"

    def made(self, document):
        return self.titled("Training on", document, recorded_rows.on_gpu(document))


class HouseTable(OfOneFile):
    """How long both commands of the README take, and an edit until its page is there."""

    file, command = "book/house.json", "python benchmarks/house.py"

    def made(self, document):
        rows = recorded_rows.house(document)
        title = f"Seconds by the clock, on {document['data']['cores']} cores"
        return table(title, "", list(rows[0]), [list(row.values()) for row in rows])


class MachinesTable(Recorded):
    """How far the chapters' outputs are from the stored ones on other machines."""

    def lines(self, env, clone):
        data = tolerances.read(clone)
        if not data:
            return [f"Not recorded yet: `{tolerances.COMMAND}`"]
        heads = list(dict.fromkeys(machine for by_machine in data.values() for machine in by_machine))
        rows = [[plain(name), *(largest(of.get(machine)) for machine in heads)] for name, of in data.items()]
        title = "Largest difference of a printed decimal, and of a number in a figure as a share of its axis"
        return table(title, "", ["chapter", *map(plain, heads)], rows)


class MutantsTable(OfOneFile):
    """Of each room of the library: how many changes its tests were shown, how many they noticed, and the others."""

    file, command = "book/mutants.json", "make mutate"

    def made(self, document):
        rows, more = [], []
        for room, of in document["data"].items():
            silent = sum(bool(one["why"]) for one in of["survived"])
            share = f"{of['killed'] / (of['tried'] - silent):.0%}" if of["tried"] > silent else "–"
            counts = [of[key] for key in ("possible", "seed", "tried", "killed")]
            counts += [silent, len(of["survived"]) - silent, share]
            rows.append([f"`{room}`", *map(str, counts)])
            more += [(f"`{room}`", [self.said(one) for one in of["survived"]])] if of["survived"] else []
        heads = ["room", "possible changes", "seed", "tried", "killed", "cannot be noticed", "not noticed"]
        heads += ["killed of what can be noticed"]
        origin = ResultsTable.origin(document["provenance"], 0)[1:3]
        return [*table("Changes of the library, and the tests", "", heads, rows), *details("status-details", more),
                " · ".join(origin), ""]  # fmt: skip

    @staticmethod
    def said(one):
        """Of a change that survived: where, what, and why."""
        change = f"{one['path']}:{one['place']}: {one['before']} → {one['after']}"
        return f"`{change}`: {plain(one['why'] or 'no test noticed it when this was measured')}"


def largest(of):
    if of is None:
        return "–"
    decimal, figure = (
        max((cell.get(kind, 0) for cell in of["cells"].values()), default=0) for kind in ("absolute", "figure")
    )
    return f"{decimal:.2g}, {figure:.1%}"


def setup(app):
    app.add_directive("status-table", StatusTable)
    app.add_directive("results-table", ResultsTable)
    app.add_directive("speed-tables", SpeedTables)
    app.add_directive("aims-table", AimsTable)
    app.add_directive("authors-table", AuthorsTable)
    app.add_directive("shards-table", ShardsTable)
    app.add_directive("gpu-table", GPUTable)
    app.add_directive("updates-table", UpdatesTable)
    app.add_directive("house-table", HouseTable)
    app.add_directive("machines-table", MachinesTable)
    app.add_directive("mutants-table", MutantsTable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
