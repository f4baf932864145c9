"""When, where and from what a chapter's stored outputs were made: ``book/stamps.json``, and whether it still holds.

A stamp is written when outputs are stored (``wsss run NAME --in-place``) or confirmed (``--confirm``: executed again,
and what came out agrees with what is stored). Its ``key`` is a digest of the cells' code, of the library code that
they can reach (:mod:`~press.check.reach`), and of the recorded results and shipped weights that they
name. When one of these changes the stamp is stale, and ``wsss check`` fails until the chapter has been executed again.
``make test`` executes every chapter anyway and notes in ``_build`` which agreed: that note renews a stamp for the
working tree, so that a change of the library that changes no output costs nobody a commit.

Times and versions live here and never in a notebook, so that a notebook's difference shows what changed.
"""

from __future__ import annotations

import ast
import json
import platform
import re
import threading
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from press import cells, digests
from press.check.checks import Chapter, Problem
from press.check.reach import Library, constants, reached
from press.normalise import normalise
from wsss_lib.experiments import results

FILE = Path("book", "stamps.json")
AGREED = Path("_build", "cache", "agreed.json")
DIGITS = 12
_WRITING = threading.Lock()


def read(root: Path) -> dict[str, dict[str, Any]]:
    """The stamps by chapter.

    Each holds ``date`` (of the run, UTC), ``profile``, ``seconds`` and ``memory_mb`` (of the kernel, at its peak),
    ``machine`` in general words, ``versions``, ``data`` (fingerprints), ``key``, ``parts`` (what the key is made of, so
    that a message can say what changed) and ``outputs`` (a digest of what is stored).
    """
    return _load(root / FILE)


def made_of(root: Path, notebook: cells.Notebook) -> dict[str, str]:
    """What a chapter's outputs are made of: digests by name, modules of the library among them."""
    code = [tree for cell in cells.code_cells(notebook) if (tree := cells.parse(cell.source))]
    parts = {"cells": _digest("\n".join(map(_code, cells.code_cells(notebook))))}
    modules: dict[str, list[str]] = {}
    found = reached(code, _library(root / "wsss_lib"))
    for name, text in found.items():
        modules.setdefault(name.rpartition(".")[0], []).append(f"{name}\0{text}")
    parts |= {name: _digest("\n".join(texts)) for name, texts in modules.items()}
    return parts | _files(root, set(constants(code)), "\n".join(found.values()))


def key(parts: Mapping[str, str]) -> str:
    """One digest of all parts."""
    return _digest(json.dumps(sorted(parts.items())))


def outputs(notebook: cells.Notebook) -> str:
    """Digest of the stored outputs, as the normaliser writes them: nobody edits them by hand unnoticed."""
    return _digest(json.dumps([cell.outputs for cell in cells.code_cells(normalise(notebook))], sort_keys=True))


def stamp(
    root: Path, name: str, notebook: cells.Notebook, about: Mapping[str, Any], parts: Mapping[str, str] | None = None
) -> None:
    """Write a chapter's stamp.

    Args:
        root: The clone.
        name: The chapter.
        notebook: As it is stored, outputs included.
        about: What the run knows: ``seconds``, ``memory_mb``, ``profile``, ``machine``, ``data``, ``date``.
        parts: :func:`made_of` before the run, because an author edits on while it goes; of this moment by default.
    """
    parts = dict(parts or made_of(root, notebook))
    record = {
        "date": about["date"],
        "profile": about["profile"],
        "seconds": round(about["seconds"]),
        "memory_mb": round(about["memory_mb"]),
        "machine": about["machine"],
        "versions": versions(),
        "data": dict(about["data"]) | {part: digest for part, digest in parts.items() if "/" in part},
        "key": key(parts),
        "outputs": outputs(notebook),
        "parts": parts,
    }
    with _WRITING:
        known = {k: v for k, v in read(root).items() if (root / "book" / "chapters" / f"{k}.ipynb").is_file()}
        _store(root / FILE, known | {name: record})


def agreed(root: Path, name: str, notebook: cells.Notebook, parts: Mapping[str, str]) -> None:
    """Note, for this working tree only, that a run made of these parts agrees with what the chapter stores."""
    with _WRITING:
        record = {"key": key(parts), "outputs": outputs(notebook), "versions": versions()}
        _store(root / AGREED, _load(root / AGREED) | {name: record})


def stamped(chapter: Chapter) -> Iterator[Problem]:
    """The outputs were made by the code, the library, the results and the versions that are here now."""
    root = chapter.path.resolve().parents[2]
    record = read(root).get(chapter.name)
    remedy = f"run `wsss run {chapter.name} --in-place`"
    if record is None:
        message = f"has no stamp in {FILE.as_posix()}, so nobody knows what made its outputs"
        yield chapter.problem(None, f"{message}: {remedy}")
        return
    parts = made_of(root, chapter.notebook)
    noted = _load(root / AGREED).get(chapter.name, {})
    now = {"key": key(parts), "outputs": outputs(chapter.notebook), "versions": versions()}
    if noted == now:
        return
    confirm = f"`wsss run {chapter.name} --confirm`"
    installed, then = ({k: v for k, v in each.items() if k != "python"} for each in (versions(), record["versions"]))
    if now["outputs"] != record.get("outputs"):
        message = "stores other outputs than its last run made (edited, stripped, or merged by hand)"
        yield chapter.problem(None, f"{message}: {remedy}")
    elif now["key"] != record.get("key"):
        message = f"stores outputs of other code ({_changed(record.get('parts', {}), parts)})"
        yield chapter.problem(None, f"{message}: {remedy}, or {confirm} where nothing that is shown should change")
    elif installed != then:
        yield chapter.problem(None, f"stores outputs of other versions ({_changed(then, installed)}): run {confirm}")


def versions() -> dict[str, str]:
    """What the numbers may depend on, by distribution; patch releases of Python do not count."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | results.versions(("wsss-lib", *digests.DISTRIBUTIONS))


def today() -> str:
    """The date, UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") + " changed"


def _code(cell: Any) -> str:
    tree = cells.parse(cell.source)
    magic = cell.source.lstrip().startswith("%") or "\n%" in cell.source  # which the tree does not show
    return cell.source if tree is None or magic else ast.dump(tree)


def _files(root: Path, words: set[str], code: str) -> dict[str, str]:
    """Results and weights that the chapter names, and files of the package that the code it reaches names."""
    package = root / "wsss_lib"
    named = [p for folder in (root / "results", package / "weights") for p in folder.glob("*") if p.stem in words]
    around = [p for p in package.rglob("*") if p.suffix not in (".py", ".pyc", ".safetensors") and p.is_file()]
    named += [p for p in around if f"'{p.name}'" in code]
    return {p.relative_to(root).as_posix(): _file(p, p.stat().st_mtime_ns) for p in sorted(named) if p.is_file()}


@lru_cache(maxsize=256)
def _file(path: Path, _modified: int) -> str:
    return digests.file_digest(path)[:DIGITS]


@lru_cache(maxsize=4)
def _library_at(package: Path, _state: int) -> Library:
    return Library(package)


def _library(package: Path) -> Library:
    return _library_at(package, hash(tuple((p, p.stat().st_mtime_ns) for p in sorted(package.rglob("*.py")))))


def _digest(text: str) -> str:
    return digests.text_digest(text)[:DIGITS]


def _load(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8") if path.is_file() else "{}"
    try:
        return {name: stamp for side in _sides(text) for name, stamp in json.loads(side).items()}
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is not JSON ({error}): solve the merge, or run the chapters again") from error


def _sides(text: str) -> list[str]:
    """Both sides of a file that git could not merge, the one named second last; else the file alone."""
    if "\n<<<<<<< " not in text:
        return [text]
    conflict = re.compile(r"^<{7} .*?\n(.*?)(?:^\|{7}.*?)?^={7}\n(.*?)^>{7} .*?\n", re.M | re.S)
    return [conflict.sub(rf"\{side}", text) for side in (1, 2)]


def mend(root: Path) -> None:
    """Solve a merge that git could not: the stamps of both sides; of a chapter on both, the second (the author's)."""
    if (root / FILE).is_file():
        with _WRITING:
            _store(root / FILE, read(root))


def _store(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(path)


CHECKS = (stamped,)
