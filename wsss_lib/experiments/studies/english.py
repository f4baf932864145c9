"""How well triads are read off free English: a parser against labels that were written before it.

    python -m wsss_lib.experiments.studies dtmr_english

It needs the extra ``english``. ``expressions.csv`` beside this file has the expressions, the labels and their rules. Its
rows are taken in turn for development and for the report.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wsss_lib.experiments.studies.common import Study
from wsss_lib.files import sha256_of
from wsss_lib.methods.english import parse_english
from wsss_lib.methods.triads import Triad, parse

FILE = Path(__file__).with_name("expressions.csv")


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
    readers = {"closed grammar": parse, "spaCy": parse_english}
    data = {
        "accuracy": {
            name: {half: accuracy(read, part) for half, part in halves.items()} for name, read in readers.items()
        },
        "expressions": {half: len(part) for half, part in halves.items()},
    }
    note = "written and labelled by this book's authors before a parser read them; mends from the development half"
    return {"data": data, "fingerprint": {"expressions": sha256_of(FILE)}, "note": note}


STUDIES: dict[str, Study] = {"dtmr_english": english}
