"""Who lives in the world: each species as numbers for its head and its body.

A critter's look is a vector: shape, coat pattern, face. The *evidence* dials mix it: with evidence e, a part is
e times its own species' vector plus (1 - e) times that of a species drawn at random. At e = 1 the part tells the
species for certain, at e = 0 it tells nothing, and between the two it tells a little: graded evidence.

Lengths are in units of the body frame (x forward, y down, origin in the body's centre).
"""

from __future__ import annotations

import numpy as np

from wsss_lib.data.worlds.random_numbers import Draws, Floats, image_keys

COATS: dict[str, tuple[float, float, float]] = {
    "sand": (0.83, 0.68, 0.46),
    "rust": (0.74, 0.42, 0.24),
    "slate": (0.47, 0.51, 0.60),
    "cream": (0.93, 0.87, 0.74),
    "umber": (0.46, 0.33, 0.25),
    "rose": (0.80, 0.56, 0.54),
}
"""Coat colours. Any species wears any of them: hue alone tells nothing of the class."""

BODY_FIELDS = (
    "length", "height", "leg", "leg_width", "neck_x", "neck_y", "neck_width",
    "tail_x", "tail_y", "tail_root", "tail_tip",
)  # fmt: skip
HEAD_FIELDS = (
    "head_length", "head_height", "snout", "snout_drop", "snout_width",
    "ear", "ear_lean", "ear_root", "ear_tip", "horn", "horn_lean",
)  # fmt: skip
PATTERNS = ("saddle", "spots", "patches", "rings", "bars", "stripes")
FACES = ("cheek", "blaze", "muzzle", "freckles", "bands", "visor")

# One row a species: body numbers, head numbers, own pattern, own face, and the habitat object that may come along.
_TABLE: dict[str, tuple[tuple[float, ...], tuple[float, ...], str, str, str]] = {
    "fenn": (
        (0.30, 0.13, 0.16, 0.036, 0.11, -0.14, 0.075, -0.24, -0.03, 0.035, 0.080),
        (0.125, 0.105, 0.135, 0.040, 0.030, 0.150, 0.02, 0.055, 0.006, 0.0, 0.0),
        "saddle", "cheek", "stump",
    ),
    "lopi": (
        (0.23, 0.19, 0.10, 0.050, 0.09, -0.15, 0.090, -0.05, -0.03, 0.055, 0.060),
        (0.125, 0.120, 0.050, 0.020, 0.065, 0.290, -0.04, 0.034, 0.030, 0.0, 0.0),
        "spots", "blaze", "toadstool",
    ),
    "taur": (
        (0.33, 0.20, 0.17, 0.050, 0.13, -0.07, 0.130, -0.05, 0.16, 0.018, 0.026),
        (0.140, 0.120, 0.090, 0.045, 0.082, 0.070, -0.07, 0.030, 0.020, 0.190, 0.10),
        "patches", "muzzle", "fence",
    ),
    "gira": (
        (0.26, 0.15, 0.25, 0.036, 0.15, -0.30, 0.060, -0.05, 0.15, 0.014, 0.024),
        (0.115, 0.090, 0.120, 0.055, 0.050, 0.060, -0.05, 0.026, 0.012, 0.110, 0.02),
        "rings", "freckles", "cactus",
    ),
    "brok": (
        (0.36, 0.15, 0.08, 0.052, 0.11, -0.03, 0.120, -0.12, 0.01, 0.045, 0.030),
        (0.155, 0.110, 0.110, 0.045, 0.055, 0.045, -0.01, 0.040, 0.036, 0.0, 0.0),
        "bars", "bands", "boulder",
    ),
    "olif": (
        (0.33, 0.22, 0.15, 0.068, 0.10, -0.09, 0.140, -0.05, 0.12, 0.014, 0.020),
        (0.155, 0.145, 0.070, 0.270, 0.042, -0.110, -0.09, 0.060, 0.105, 0.0, 0.0),
        "stripes", "visor", "pond",
    ),
}  # fmt: skip

SPECIES: tuple[str, ...] = tuple(_TABLE)
"""The six species of the chapters."""
COMPANIONS: tuple[str, ...] = tuple(row[4] for row in _TABLE.values())
"""Habitat objects; the i-th may come along with the i-th species (the co-occurrence dial)."""


NURSERY: tuple[str, ...] = tuple(f"nursery{i:02d}" for i in range(24))
"""Twenty-four further species on which the shipped backbones are trained, none of them a chapter's."""


def _nursery(index: int) -> tuple[Floats, Floats, int, int]:
    """The numbers of the ``index``-th nursery species: each length drawn between the chapters' smallest and largest."""
    draws = Draws(image_keys(0, "nursery", np.array([index])))
    rows = []
    for part, column in (("body", 0), ("head", 1)):
        known = np.array([row[column] for row in _TABLE.values()], np.float32)
        low, high = known.min(0), known.max(0)
        rows.append(low + (high - low) * draws.uniform(part, known.shape[1])[0])
    # Every pair of pattern and face but the chapters' own pairs (equal positions) is a possible look.
    pattern = index % len(PATTERNS)
    face = (pattern + 1 + index // len(PATTERNS)) % len(FACES)
    return rows[0], rows[1], pattern, face


def tables(names: tuple[str, ...]) -> dict[str, Floats]:
    """The species' numbers as arrays.

    Args:
        names: K species out of :data:`SPECIES` and :data:`NURSERY`.

    Returns:
        ``body`` (K, 11), ``head`` (K, 11), ``pattern`` (K, 6) and ``face`` (K, 6) one-hot, float32.
    """
    rows: list[tuple[Floats, Floats, int, int]] = []
    for name in names:
        if name in _TABLE:
            b, h, p, f, _ = _TABLE[name]
            rows.append((np.array(b, np.float32), np.array(h, np.float32), PATTERNS.index(p), FACES.index(f)))
        else:
            rows.append(_nursery(NURSERY.index(name)))
    body, head, pattern, face = zip(*rows, strict=True)
    eye = np.eye(len(PATTERNS), dtype=np.float32)
    return {"body": np.stack(body), "head": np.stack(head), "pattern": eye[list(pattern)], "face": eye[list(face)]}


def companion_of(name: str) -> str:
    """The habitat object that may come along with the species ``name``."""
    return _TABLE[name][4] if name in _TABLE else COMPANIONS[NURSERY.index(name) % len(COMPANIONS)]
