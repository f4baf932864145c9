"""Recorded numbers as a page shows them: rows of several studies, differences paired by seed, tables, dials.

    rows = recorded("methods", "bas", "bas_ablation")
    rows.table(["CAM", "BAS"], minus=("BAS", "CAM"), caption="Critters, three seeds")
    rows.gap("BAS", "CAM", "pxap")                      # +0.19 ± 0.03 (settled)

A row is a list of one dictionary a seed, as :func:`wsss_lib.evaluate.scores` gives them. One rule serves every chapter:
a difference is *settled* where its mean over the seeds exceeds two standard deviations of the difference.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wsss_lib import figures
from wsss_lib.experiments import results

SETTLED = 2.0
"""A difference is settled where its mean exceeds this many standard deviations of the difference."""

DIGITS = 3
"""Decimals of differences in a table, and of the smallest difference that has a sign."""

COLUMNS = {
    "miou": "seeds mIoU",
    "iou": "IoU",
    "max_box_acc_v2": "MaxBoxAccV2",
    "box_accuracy": "box acc. 0.5",
    "pxap": "PxAP",
    "mean_ap": "mean AP",
    "accuracy": "accuracy",
    "on_head": "mass on the head",
}
"""Scores and their headings, in the order of a table."""

Row = Mapping[str, Any]
Named = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Gap:
    """A difference between two methods, seed by seed.

    Attributes:
        mean, sd: Mean of the difference over the seeds, and its sample standard deviation (0 for one seed).
        seeds: How many.
    """

    mean: float
    sd: float
    seeds: int

    @property
    def settled(self) -> bool:
        """Whether the mean exceeds :data:`SETTLED` standard deviations; never for one seed."""
        return self.seeds > 1 and abs(self.mean) > SETTLED * self.sd

    def numbers(self, digits: int = 2) -> str:
        """Mean and standard deviation with so many decimals; a mean that is rounded to zero has no sign."""
        mean = f"{self.mean:+.{digits}f}" if round(abs(self.mean), digits) else f"{0:.{digits}f}"
        return mean if self.seeds == 1 else f"{mean} ± {self.sd:.{digits}f}"

    def text(self, digits: int = 2) -> str:
        """The numbers with so many decimals, and whether the difference is settled."""
        verdict = "one seed" if self.seeds == 1 else "settled" if self.settled else "not settled"
        return f"{self.numbers(digits)} ({verdict})"

    def __str__(self) -> str:
        """With two decimals, or with more where the rounded numbers would hide the sign or contradict the verdict."""
        return self.text(self.digits())

    def digits(self, least: int = 2) -> int:
        """How many decimals, ``least`` to 6, do not hide the sign of the mean or contradict the verdict."""
        return next((digits for digits in range(least, 6) if self._rounds_true(digits)), 6)

    def _rounds_true(self, digits: int) -> bool:
        mean, sd = (round(abs(value) * 10**digits) for value in (self.mean, self.sd))
        hides = mean == 0 and round(self.mean, DIGITS) != 0
        return not hides and (self.seeds == 1 or (mean > SETTLED * sd) == self.settled)


class Rows(Mapping[str, Sequence[Row]]):
    """Rows by the name of the method or setting.

    Attributes:
        absent: Studies that nobody has measured yet.
    """

    def __init__(self, rows: Named, absent: Sequence[str] = (), studies: Mapping[str, Named] | None = None) -> None:
        self._rows, self.absent = dict(rows), tuple(absent)
        self._studies = studies or {}  # by the name of a row, all rows of the study that it is of

    def __getitem__(self, name: str) -> Sequence[Row]:
        if name not in self._rows:
            raise KeyError(f"no row {name!r} is recorded: choose from {', '.join(self._rows) or '(none)'}")
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def values_of(self, name: str, key: str) -> list[float]:
        """A score of a row, one number a seed.

        Raises:
            KeyError: The row or the score is not recorded.
        """
        return [float(row[key]) for row in self[name]]

    def mean(self, name: str, key: str) -> float:
        """Mean of a score over the seeds."""
        return statistics.fmean(self.values_of(name, key))

    def gap(self, name: str, other: str, key: str) -> Gap:
        """``name`` minus ``other``, paired by seed: of the networks of one study, where one has both.

        Raises:
            ValueError: The two have not the same number of seeds.
        """
        both = (held for of in (name, other) if {name, other} <= (held := self._studies.get(of, {})).keys())
        rows = Rows(next(both, self._rows))
        return gap(rows.values_of(name, key), rows.values_of(other, key))

    def table(
        self,
        order: Sequence[str] | Mapping[str, str] | None = None,
        columns: Mapping[str, str] | None = None,
        *,
        caption: str,
        first: str = "method",
        note: str = "",
        minus: tuple[str, str] | None = None,
        digits: int = 2,
    ) -> figures.Table:
        """Mean ± s.d. over the seeds, a row a method.

        Args:
            order: Names of the rows; a mapping adds a text to each. Every row by default. A name that is not recorded
                gets the words "not measured yet".
            columns: Key of a score to its heading; by default those of :data:`COLUMNS` that every row has.
            caption: What was measured, and how.
            first: Heading of the names.
            note: Heading of the texts of ``order``.
            minus: Two names: the last row is their difference, paired by seed.
            digits: Decimals of the scores. Three where differences beside the table would contradict two.
        """
        names = list(order if order is not None else self)
        if columns is None:
            shared = [set.intersection(*(set(row) for row in self[name])) for name in names if name in self]
            columns = {key: title for key, title in COLUMNS.items() if shared and all(key in keys for keys in shared)}
        lines: list[dict[str, Any]] = []
        for name in names:
            line: dict[str, Any] = {first: name} | ({note: order[name]} if isinstance(order, Mapping) else {})
            for key, title in columns.items():
                held = [row[key] for row in self[name] if key in row] if name in self else []
                line[title] = _spread(held) if held else None if name in self else "not measured yet"
            lines.append(line)
        if minus is not None and all(name in self for name in minus):
            lines.append({first: f"{minus[0]} minus {minus[1]}"} | ({note: ""} if isinstance(order, Mapping) else {}))
            for key, title in columns.items():
                both = all(key in row for name in minus for row in self[name])
                lines[-1][title] = self.gap(*minus, key).numbers(DIGITS) if both else "–"
        return figures.table(lines or [{first: "not measured yet"}], caption=caption, digits=digits)

    def differences(
        self, pairs: Sequence[tuple[str, str]], columns: Mapping[str, str], *, caption: str
    ) -> figures.Table:
        """Mean ± s.d. of differences paired by seed, a row a pair; a star marks what is settled.

        Args:
            pairs: Names: the first one minus the second one.
            columns: Key of a score to its heading.
            caption: What was compared; the meaning of the star is added.
        """
        gaps = {pair: {title: self.gap(*pair, key) for key, title in columns.items()} for pair in pairs}
        digits = max(each.digits(DIGITS) for row in gaps.values() for each in row.values())
        lines = [
            {"difference": f"{name} minus {other}"}
            | {title: each.numbers(digits) + " *" * each.settled for title, each in row.items()}
            for (name, other), row in gaps.items()
        ]
        return figures.table(lines, caption=f"{caption} (*: settled)")


def recorded(*studies: str) -> Rows:
    """The rows of recorded studies. Of rows with one name the last study's is shown; see :meth:`Rows.gap`.

    Args:
        studies: Names of results whose ``data`` hold ``rows``. One that is absent is listed in :attr:`Rows.absent`.
    """
    known = results.names()
    held = [results.read(name)["data"]["rows"] for name in studies if name in known]
    rows = {name: row for of in held for name, row in of.items()}
    return Rows(rows, [name for name in studies if name not in known], {name: of for of in held for name in of})


def gap(values: Sequence[float], others: Sequence[float]) -> Gap:
    """The first numbers minus the second ones, paired by seed.

    Raises:
        ValueError: Not the same number of each, or none.
    """
    if len(values) != len(others) or not values:
        raise ValueError(f"{len(values)} and {len(others)} numbers, expected as many of each: pair them by seed")
    pairs = [a - b for a, b in zip(values, others, strict=True)]
    return Gap(statistics.fmean(pairs), statistics.stdev(pairs) if len(pairs) > 1 else 0.0, len(pairs))


@dataclass(frozen=True)
class Dial:
    """Scores over the settings of a dial of the world.

    Attributes:
        name: Of the dial.
        settings: Its values.
        rows: By method, for each setting one row a seed.
    """

    name: str
    settings: Sequence[float]
    rows: Mapping[str, Sequence[Sequence[Row]]]

    def series(self, key: str) -> dict[str, list[list[float]]]:
        """A score by method: one list a seed, over the settings."""
        return {
            method: [[float(run[key]) for run in runs] for runs in zip(*rows, strict=True)]
            for method, rows in self.rows.items()
        }

    def gaps(self, method: str, other: str, key: str) -> list[Gap]:
        """One method minus another at each setting, paired by seed."""
        pairs = zip(self.rows[method], self.rows[other], strict=True)
        return [gap([row[key] for row in mine], [row[key] for row in theirs]) for mine, theirs in pairs]

    def show(self, key: str, metric: str | None = None) -> None:
        """Display the curves of a score, with bands of one standard deviation over the seeds."""
        figures.show(
            *figures.dial_curves(self.settings, self.series(key), dial=self.name, metric=metric or COLUMNS[key])
        )

    def table(self, method: str, other: str, keys: Sequence[str]) -> figures.Table:
        """One method minus another: mean and standard deviation of the difference at each setting."""
        lines = [
            {self.name: f"{setting:.2f}"}
            | {COLUMNS[key]: self.gaps(method, other, key)[i].numbers(DIGITS) for key in keys}
            for i, setting in enumerate(self.settings)
        ]
        return figures.table(lines, caption=f"{method} minus {other}: mean ± s.d. of the difference over the seeds")


def recorded_dial(name: str, sources: Mapping[str, tuple[str, str]]) -> Dial | None:
    """A dial as it was measured by several studies at the same settings; None where none of them was.

    Args:
        name: Of the dial, for example ``"body_evidence"``.
        sources: By method, the study and the key under which it keeps the method's rows.

    Raises:
        ValueError: Two studies have other settings.
    """
    settings: list[float] | None = None
    rows: dict[str, Any] = {}
    for method, (study, key) in sources.items():
        if study not in results.names():
            continue
        data = results.read(study)["data"]
        held = data.get(name, data)
        positions = held.get("settings") if isinstance(held.get("settings"), list) else held["positions"]
        if settings is not None and positions != settings:
            raise ValueError(f"{study} turned {name} to {positions}, another study to {settings}: measure it again")
        settings = positions
        rows[method] = held[key] if key in held else held["rows"][key]
    return None if settings is None else Dial(name, settings, rows)


def honest_table(
    rows: Mapping[str, Row], columns: Mapping[str, str] | None = None, *, caption: str, first: str = "method"
) -> figures.Table:
    """The rows of one run, as :meth:`Workbench.scores` gives them.

    Args:
        rows: By method.
        columns: Key of a score to its heading; by default those of :data:`COLUMNS` that any row has.
        caption: What was measured; the rule of the thresholds is added.
        first: Heading of the names.
    """
    shown = columns or {key: title for key, title in COLUMNS.items() if any(key in row for row in rows.values())}
    lines = [{first: name} | {title: row.get(key) for key, title in shown.items()} for name, row in rows.items()]
    rule = "thresholds from one split, numbers from another"
    rule += " (MaxBoxAccV2: the best threshold of the reported images)" if "max_box_acc_v2" in shown else ""
    return figures.table(lines, caption=f"{caption}: {rule}")


def _spread(values: Sequence[float]) -> tuple[float, float] | float:
    return (statistics.fmean(values), statistics.stdev(values)) if len(values) > 1 else float(values[0])
