"""Measured numbers with their provenance: written once by a benchmark, read by prose and tables.

A chapter never types a number that took longer to measure than the chapter runs: it reads ``results/<name>.json``.
The files travel with the installed package, so that a chapter run on Colab shows the same table.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wsss_lib.files import write_atomically
from wsss_lib.memory import peak_mib

PACKAGES = ("torch", "torchvision", "numpy", "datasets", "timm")
_PACKAGE = Path(__file__).resolve().parents[1]
_started = time.monotonic()


def record(
    name: str,
    data: Mapping[str, Any],
    *,
    command: str,
    fingerprint: str | Mapping[str, str],
    seeds: Sequence[int],
    wall_seconds: float | None = None,
    peak_memory_mb: float | None = None,
    device: str | None = None,
    note: str = "",
    folder: Path | None = None,
) -> Path:
    """Write ``results/<name>.json``: the data and where they come from.

    Args:
        name: File name without suffix: lower-case letters, digits, hyphens and underscores.
        data: What was measured; numbers, texts, lists and dictionaries. Tensors and NumPy scalars with one element
            become numbers. Put one value per seed, not only their mean.
        command: What to type to measure it again, relative to the clone's root.
        fingerprint: ``Records.fingerprint`` of the data, or one by split.
        seeds: Seeds that were run.
        wall_seconds: Duration; by default since this module was imported.
        peak_memory_mb: Peak memory in MiB; by default of this process, plus the GPU's when CUDA was used.
        device: In general words ("CPU, 2 threads", "one NVIDIA H200"); by default found out.
        note: One sentence on what the reader must know, for example the rule that chose the threshold.
        folder: Where to write; the clone's ``results/`` by default.

    Returns:
        The file.

    Raises:
        ValueError: A name with other characters, a value that JSON cannot hold (NaN included), or no clone to
            write into.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise ValueError(f"name is {name!r}, expected lower-case letters, digits, '-' and '_': rename the result")
    target = folder or _checkout()
    if target is None:
        raise ValueError("this package is not in a clone, so there is no results/ to write to: pass folder=…")
    provenance = {
        "command": command,
        **origin(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "data": fingerprint if isinstance(fingerprint, str) else dict(fingerprint),
        "seeds": [int(seed) for seed in seeds],
        "device": device or device_words(),
        "versions": {"python": platform.python_version()} | versions(),
        "wall_seconds": round(time.monotonic() - _started if wall_seconds is None else wall_seconds, 1),
        "peak_memory_mb": round(peak_mib() if peak_memory_mb is None else peak_memory_mb),
    }
    if note:
        provenance["note"] = note
    document = {"name": name, "data": _plain(data, name), "provenance": provenance}
    try:
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{name} holds a NaN or an infinity, expected numbers: drop it or record None") from error
    return write_atomically(target / f"{name}.json", text + "\n")


def read(name: str) -> dict[str, Any]:
    """The data and provenance of a recorded result.

    Args:
        name: As given to :func:`record`.

    Returns:
        A dictionary with ``name``, ``data`` and ``provenance``.

    Raises:
        FileNotFoundError: There is no such result; the message lists those that are there.
    """
    for folder in _folders():
        path = folder / f"{name}.json"
        if path.is_file():
            return dict(json.loads(path.read_text(encoding="utf-8")))
    raise FileNotFoundError(f"there is no recorded result {name!r}: choose from {', '.join(names()) or '(none yet)'}")


def names() -> list[str]:
    """Names of all recorded results, sorted."""
    return sorted({path.stem for folder in _folders() for path in folder.glob("*.json")})


def mean_sd(values: Sequence[float], digits: int = 3) -> str:
    """Mean ± sample standard deviation as text, for example ``"0.463 ± 0.012"``; a single value stands alone.

    Raises:
        ValueError: No values.
    """
    numbers = [float(v) for v in values]
    if not numbers:
        raise ValueError("values is empty, expected one number per seed: record them first")
    mean = f"{statistics.fmean(numbers):.{digits}f}"
    return mean if len(numbers) == 1 else f"{mean} ± {statistics.stdev(numbers):.{digits}f}"


def device_words() -> str:
    """The device in general words: what a number depends on, without naming anybody's machine."""
    torch = sys.modules.get("torch")  # a result that was measured without torch needs none to be written
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        count = torch.cuda.device_count()
        return f"{'one' if count == 1 else count} {torch.cuda.get_device_name()}"
    threads = torch.get_num_threads() if torch is not None else os.environ.get("OMP_NUM_THREADS", "1")
    return f"CPU, {threads} thread{'' if str(threads) == '1' else 's'} ({platform.machine()})"


def commit() -> str:
    """The commit measured, with ``+`` where the package or the benchmarks differ from it."""
    return origin()["commit"]


def origin() -> dict[str, str]:
    """Which code is measured, so that it is found again after a rebase, which gives a commit another name.

    Returns:
        ``commit``: its name, with ``+`` where the package or the benchmarks differ from it. ``authored``: when it was
        written, and its subject; a rebase keeps both. ``sources``: git's digest of the package's folder, where nothing
        differs; another commit with this digest has the same code.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=_PACKAGE.parent, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--", "wsss_lib", "benchmarks")
        authored = git("log", "-1", "--format=%aI %s")
        sources = git("rev-parse", "--short=12", "HEAD:wsss_lib")
    except FileNotFoundError:
        return {"commit": "unknown (git is absent)"}
    if not head:
        return {"commit": "unknown (not a clone)"}
    return {"commit": f"{head}{'+' * bool(changed)}", "authored": authored} | ({} if changed else {"sources": sources})


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else value
    if hasattr(value, "tolist"):  # a tensor or an array
        return _plain(value.tolist(), where)
    raise ValueError(f"{where} is a {type(value).__name__}, expected numbers, texts, lists or dictionaries: convert it")


def _checkout() -> Path | None:
    root = _PACKAGE.parent
    return root / "results" if (root / "pyproject.toml").is_file() else None


def _folders() -> list[Path]:
    folders = [_checkout(), _PACKAGE / "_results"]
    return [folder for folder in folders if folder is not None and folder.is_dir()]


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of the packages that are installed, by name."""
    installed = {}
    for package in packages:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed
