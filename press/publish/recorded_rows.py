"""The honest rows of all recorded results: what was measured, on what, by which rule, over how many seeds.

A row is what :func:`wsss_lib.evaluate.scores` gives, once per seed, wherever a study put it in its file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from wsss_lib.experiments import results
from wsss_lib.methods import registry

TITLES = {"supervised": "trained on masks: an upper bound", "several": "CAM, one to three critters an image"}
"""What studies call things that are no registered method."""
METRICS = {
    "miou": "mIoU",
    "iou": "IoU",
    "box_accuracy": "box acc.",
    "max_box_acc_v2": "MaxBoxAccV2",
    "pxap": "PxAP",
    "mean_ap": "mean AP",
}
"""Names of metrics in a row, and as the table heads them."""
POSITIONS = ("positions", "settings")
"""Where a study keeps to what it turned a dial."""
HOUSE = {
    "environment": ("the environment, packages from a cache", None),
    "book": ("`make book` behind it, from nothing", 720),
    "unchanged": ("`make book` again", None),
    "prose": ("a sentence of a chapter changed: `make book`", 60),
    "build": ("a sentence of a chapter changed: `wsss build --stored`", 20),
    "test": ("`make test`, from nothing again", 1500),
}
"""Steps of ``benchmarks/house.py``: what was done, and in how many seconds it was to be done."""


def rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The honest rows of one recorded result; none for a measurement of another kind, such as speed.

    Args:
        document: As :func:`wsss_lib.experiments.results.read` returns it.

    Returns:
        What stands in each column of the table; a metric as mean ± standard deviation over the runs.
    """
    return [_row(str(document["name"]), path, runs) for path, runs in _find(document.get("data", {}), ())]


def speeds(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """How many times as long as the library each competitor takes, a row for each contest; none for other results.

    Args:
        document: What a script of ``benchmarks/`` recorded, as :func:`wsss_lib.experiments.results.read` returns it.
    """
    held = dict(contests(document.get("data", {})))
    peers = list(dict.fromkeys(peer for speed in held.values() for peer in speed if peer != "ours"))
    return [
        {"contest": name, "milliseconds an image": _digits(speed["ours"]["milliseconds_an_image"])}
        | {peer: f"{_digits(speed[peer]['times_ours'])} ×" if peer in speed else "–" for peer in peers}
        for name, speed in held.items()
    ]


def _digits(value: float, number: int = 2) -> str:
    """So many significant digits, without an exponent: of two, 227 is 230."""
    return f"{float(f'{value:.{number}g}'):g}"


def contests(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Of what a benchmark recorded, each contest's name and its competitors' speeds by name."""
    for name, child in value.items() if isinstance(value, Mapping) else ():
        if isinstance(child, Mapping) and "ours" in child.get("speed", {}):
            yield str(name), child["speed"]
        else:
            yield from contests(child)


def shards(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """What ``benchmarks/bench_shards.py`` recorded, a row for each number of images and of processes.

    Args:
        document: As :func:`wsss_lib.experiments.results.read` returns it.
    """
    rounds: dict[tuple[int, int], list[Mapping[str, float]]] = {}
    for row in document["data"]["rows"]:
        rounds.setdefault((row["images"], row["processes"]), []).append(row)
    speeds = {key: fmean(row["images_a_second"] for row in held) for key, held in rounds.items()}
    return [
        {
            "images": f"{images:,}",
            "processes": str(processes),
            "images a second": f"{speed:.0f}",
        }
        | (
            {"shards, each written once": f"{rounds[images, 1][0]['shards_written_once']}"}
            if "shards_written_once" in rounds[images, processes][0]
            else {"share of linear": f"{speed / (processes * speeds[images, 1]):.0%}"}
        )
        | {"MiB": f"{max(row['mib'] for row in rounds[images, processes]):.0f}"}
        for (images, processes), speed in speeds.items()
    ]


def updates(document: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """What ``benchmarks/bench_updates.py`` recorded: by networks and size of images, a row for each method.

    Args:
        document: As :func:`wsss_lib.experiments.results.read` returns it.
    """
    return {
        case: [
            {
                "method": name,
                "passes": f"{row['passes']:.2f}",
                "operations": f"{row['operations']:.2f}",
                "time": f"{row['time']:.2f}",
                "time / operations": f"{row['time'] / row['operations']:.2f}",
                "share of products": f"{row['shares']['products']:.0%}",
                "most of the rest": _most_of_the_rest(row["shares"]),
                "kept": f"{row['memory']:.2f}",
                "milliseconds an image": _digits(row["milliseconds_an_image"], 3),
            }
            for name, row in rows.items()
        ]
        for case, rows in document["data"]["updates"].items()
    }


def beside_authors(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """What ``benchmarks/bench_authors.py`` recorded, a row for each update beside the authors' code.

    Args:
        document: As :func:`wsss_lib.experiments.results.read` returns it.
    """
    made = []
    for name, row in document["data"]["authors"].items():
        ours, theirs = row["speed"]["ours"], row["speed"]["the authors' code"]
        made.append(
            {
                "update": name,
                "images": str(row["batch"]),
                "time": f"{theirs['times_ours']:.2f} ×",
                "least and most": f"{theirs['least']:.2f} – {theirs['most']:.2f}",
                "operations": f"{row['operations']:.2f} ×",
                "milliseconds an image": _digits(ours["milliseconds_an_image"], 3),
            }
        )
    return made


def _most_of_the_rest(shares: Mapping[str, float]) -> str:
    """The two kinds of work, beside products, that take most of the time."""
    rest = sorted((item for item in shares.items() if item[0] != "products"), key=lambda item: -item[1])
    named = [("elementwise" if kind == "other" else kind, share) for kind, share in rest[:2]]
    return ", ".join(f"{kind} {share:.0%}" for kind, share in named)


def readings(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """What ``benchmarks/bench_reading.py`` recorded, a row for each method and source of images.

    Args:
        document: As :func:`wsss_lib.experiments.results.read` returns it.
    """
    return [
        {
            "method, images": name,
            "share of the step": f"{row['share']:.1%}",
            "milliseconds an image": _digits(row["reading_ms_an_image"]),
            "at the first look": _digits(row["first_reading_ms_an_image"]),
            "update": _digits(row["update_ms_an_image"]),
        }
        for name, row in document["data"]["reading"].items()
    ]


def on_gpu(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """What ``benchmarks/gpu.py`` recorded, a row for each method and precision.

    Args:
        document: As :func:`wsss_lib.experiments.results.read` returns it.
    """
    return [
        {
            "method": registry.entry(row["method"]).title,
            "precision": row["precision"],
            "apart from the CPU": f"{row['apart']:.1e}",
            "images a second": f"{row['images_a_second']:.0f}",
            "of the loop": f"{row['loop_images_a_second']:.0f}",
            "MiB": "–" if row["mib"] is None else f"{row['mib']:.0f}",
            "share of the card": f"{row['share_of_card']:.0%}",
        }
        for row in document["data"]["rows"]
    ]


def house(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """What ``benchmarks/house.py`` recorded, a row for each command.

    Args:
        document: As :func:`wsss_lib.experiments.results.read` returns it.
    """
    return [
        {
            "what": what,
            "aim, seconds": f"{aim}" if aim else "–",
            "measured": f"{seconds:g}",
            "reached": "–" if aim is None else "yes" if seconds <= aim else "no",
        }
        for step, (what, aim) in HOUSE.items()
        if (seconds := document["data"]["seconds"].get(step)) is not None
    ]


def _find(
    value: Any, path: tuple[str, ...], dial: tuple[str, Sequence[Any]] | None = None
) -> Iterator[tuple[tuple[str, ...], list[Mapping[str, Any]]]]:
    """Rows with the names on the way to them; ``dial`` is what was turned there, and its positions."""
    if _is_row(value):
        yield path, [value]
    elif isinstance(value, list) and value and all(_is_row(item) for item in value):
        named = {str(item.get("map", "")): None for item in value}  # a flat list may hold several methods' rows
        for name in named:
            yield (*path, name) if name else path, [item for item in value if str(item.get("map", "")) == name]
    elif isinstance(value, Mapping):
        turned = next((key for key in POSITIONS if isinstance(value.get(key), list)), "")
        if turned:
            called = value.get("dial")
            dial = (str(called or (path[-1] if path else "setting")), value[turned])
            path = path if called else path[:-1]
        for name, child in value.items():
            if name != turned:
                yield from _find(child, (*path, str(name)), dial)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            known = dial is not None and len(dial[1]) == len(value)
            where = f"{dial[0]} {dial[1][index]}" if dial is not None and known else str(index)
            yield from _find(child, (*path, where), dial)


def _is_row(value: Any) -> bool:
    return isinstance(value, Mapping) and {"split", "choose", "images"} <= set(value)


def _row(result: str, path: tuple[str, ...], runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    titles = {name: registry.entry(name).title for name in registry.names()} | TITLES
    words = [titles.get(word, word.replace("_", " ")) for word in path if word not in ("rows", "data")]
    measured = {head: [float(run[name]) for run in runs if name in run] for name, head in METRICS.items()}
    return {
        "method": " · ".join(words) or result,
        "result": result,
        "data / split": _once(runs, "split"),
        **{head: results.mean_sd(values) if values else "–" for head, values in measured.items()},
        "runs": len(runs),
        "images": _once(runs, "images"),
        "threshold": f"best on {_once(runs, 'choose')}",
        "labels at test time": {"True": "yes", "False": "no"}.get(_once(runs, "labels_given"), "not recorded"),
        "CRF": "yes" if any(run.get("crf") for run in runs) else "no",
        "multi-scale": _scales(runs),
    }


def _once(runs: Sequence[Mapping[str, Any]], name: str) -> str:
    return ", ".join(dict.fromkeys(str(run.get(name, "not recorded")) for run in runs))


def _scales(runs: Sequence[Mapping[str, Any]]) -> str:
    if "scales" not in runs[0]:
        return "not recorded"
    count = len(runs[0]["scales"])
    mirrored = " + flip" if runs[0].get("flip") else ""
    return f"{count} scale{'' if count == 1 else 's'}{mirrored}" if count > 1 or mirrored else "no"
