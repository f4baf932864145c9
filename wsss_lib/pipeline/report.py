"""The report: one HTML page with what was done, what was odd, examples, and what to look at when it fails."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from wsss_lib.files import write_atomically
from wsss_lib.pipeline.masks import rgb
from wsss_lib.pipeline.stages import Stage, Work

REPORT = "report.html"
SHOWN = 24
"""Overlays on the page."""
THIN, FULL = 0.01, 0.9
"""Shares of a photograph: a mask that covers less, or more, is doubtful."""

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}
figure{display:inline-block;margin:.3rem;width:13rem;vertical-align:top}img{width:100%;height:auto}
figcaption{font-size:.85rem;overflow-wrap:anywhere}.key{display:inline-block;width:.9em;height:.9em;margin-right:.4em}
@media (prefers-color-scheme:dark){body{background:#161616;color:#eee}a{color:#8ab4f8}}
"""
_ADVICE = (
    ("The classifier is wrong", "Look at the doubted labels above: some may be wrong in the list. Else add "
     "photographs, above all of classes that have few, and some that show none of the classes."),
    ("Masks are too small", "The classifier needs only a part of the object. Lower the threshold with --threshold, "
     "try --multi-scale, or a method that looks further: --method bas or seam."),
    ("Masks spill over", "Raise the threshold. If a mask covers what always comes with the object, such as water with "
     "boats, add photographs of the one without the other."),
    ("Masks are blurred at edges", "A map has one value for 16 × 16 pixels of what the network sees: its edges are not "
     "those of the object. --refine crf draws them along the photograph's."),
    ("The network is no better than its masks", "It mends what is wrong by chance, and repeats what is wrong in the "
     "same way everywhere: mend the masks first. With few photographs it may also forget a rare class."),
)  # fmt: skip


def write_report(work: Work, lines: Sequence[str], stages: Iterable[Stage]) -> Path:
    """Write the page anew.

    Args:
        work: With the results of all stages.
        lines: Further sentences on the run, such as its settings.
        stages: In their order.

    Returns:
        The page.
    """
    results = work.results
    labels = results["labels"]
    masks = results["network"] if results["network"]["steps"] else results["masks"]
    steps = [(stage.name, stage.summary(results[stage.name])) for stage in stages]
    parts = [
        "<h1>From labels to masks</h1>",
        *(f"<p>{_text(line)}</p>" for line in lines),
        "<h2>What was done</h2>",
        _table(steps),
        "<h2>Classes</h2>",
        _classes(labels, results["threshold"].get("iou", {})),
        *_list("What was noticed", labels["notes"]),
        *_list("What was not used", labels["failures"]),
        "<h2>Where the classifier doubts</h2>",
        "<p>Labels of the list to which it gives the lowest probability: look whether they are right.</p>",
        _table([(e["photo"], e["class"], f"{e['score']:.2f}") for e in results["maps"]["doubted"]]),
        *_list("Masks that cover next to nothing, or nearly all", _extreme(masks["shares"])),
        "<h2>Examples</h2>",
        *(_figure(share) for share in _examples(masks["shares"])),
        "<h2>When it fails</h2>",
        _table(_ADVICE),
    ]
    page = (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>From labels to masks: {_text(labels['source'])}</title><style>{_STYLE}</style>\n"
        + "\n".join(parts)
        + "\n</html>\n"
    )
    return write_atomically(work.out / REPORT, page)


def _text(value: object) -> str:
    return html.escape(str(value))


def _table(rows: Iterable[Sequence[object]]) -> str:
    lines = ("".join(f"<td>{_text(cell)}</td>" for cell in row) for row in rows)
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _classes(labels: dict[str, Any], iou: dict[str, float]) -> str:
    """Colour, value in the masks, name, number of photographs, and IoU where masks measured it."""
    head = "<tr><th>class</th><th>value in masks</th><th>photographs</th>" + ("<th>IoU</th>" if iou else "") + "</tr>"
    rows = []
    for value, name in enumerate(labels["classes"], start=1):
        if name in labels["counts"]:
            red, green, blue = rgb(value)
            key = f'<span class="key" style="background:rgb({red},{green},{blue})"></span>'
            measured = f"<td>{iou[name]:.2f}</td>" if name in iou else ""
            rows.append(
                f"<tr><td>{key}{_text(name)}</td><td>{value}</td><td>{labels['counts'][name]}</td>{measured}</tr>"
            )
    return f"<table>{head}{''.join(rows)}</table>"


def _list(title: str, sentences: Sequence[str]) -> list[str]:
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences)
    return [f"<h2>{_text(title)}</h2>", f"<ul>{items}</ul>"] if sentences else []


def _extreme(shares: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{e['photo']}: {e['share']:.1%}" for e in shares if e["labelled"] and not THIN <= e["share"] <= FULL]


def _examples(shares: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """So many photographs, evenly over the list."""
    step = max(1, -(-len(shares) // SHOWN))
    return list(shares[::step])


def _figure(share: dict[str, Any]) -> str:
    address = quote(share["overlay"])
    alt = f"{share['photo']} in grey, its mask in colour over {share['share']:.0%} of it"
    caption = f"{_text(share['photo'])}"
    return f'<figure><img src="{address}" alt="{_text(alt)}" loading="lazy"><figcaption>{caption}</figcaption></figure>'
