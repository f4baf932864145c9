"""One critter per image: from a look (numbers) and a pose to distances and colours.

Everything is batched over N images; parameters are (N, 1, 1), planes (N, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wsss_lib.data.worlds.critters.shapes import blend, capsule, coverage, ellipse, step, wave
from wsss_lib.data.worlds.critters.species import BODY_FIELDS, COATS, HEAD_FIELDS
from wsss_lib.data.worlds.random_numbers import Draws, Floats

COAT_TABLE = np.array(list(COATS.values()), np.float32)


@dataclass(frozen=True)
class Look:
    """What a critter looks like: mixed vectors of the species table, one row an image."""

    body: Floats  # (N, 11)
    head: Floats  # (N, 11)
    pattern: Floats  # (N, 6) weights summing to 1
    face: Floats  # (N, 6) weights summing to 1
    coat: Floats  # (N, 3) RGB

    def take(self, rows: np.ndarray) -> Look:
        """The looks of some of the images."""
        return Look(self.body[rows], self.head[rows], self.pattern[rows], self.face[rows], self.coat[rows])

    def numbers(self) -> dict[str, Floats]:
        """Every shape number by name, each (N, 1, 1)."""
        named = dict(zip(BODY_FIELDS, self.body.T, strict=True)) | dict(zip(HEAD_FIELDS, self.head.T, strict=True))
        return {name: column[:, None, None] for name, column in named.items()}

    def extent(self) -> tuple[Floats, Floats, Floats, Floats]:
        """(left, top, right, bottom) of the critter in the body frame, each (N,)."""
        p = {name: column[:, 0, 0] for name, column in self.numbers().items()}
        hx, hy = head_centre(p)
        top = np.minimum(-p["height"], hy - p["head_height"] - np.maximum(p["ear"], p["horn"]))
        bottom = np.maximum(p["height"] * np.float32(0.6) + p["leg"], hy + p["snout_drop"] + p["snout_width"])
        left = np.minimum(-p["length"], -p["length"] * np.float32(0.85) + p["tail_x"] - p["tail_tip"])
        right = np.maximum(p["length"], hx + p["head_length"] * np.float32(0.7) + p["snout"])
        return left, top, right, bottom


def head_centre(p: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Where the head sits: at the end of the neck, which leaves the body near its front."""
    return p["length"] * np.float32(0.72) + p["neck_x"], -p["height"] * np.float32(0.35) + p["neck_y"]


def mixed(table: Floats, own: np.ndarray, other: np.ndarray, evidence: float) -> Floats:
    """Rows of ``table``: evidence · own + (1 - evidence) · other."""
    e = np.float32(evidence)
    return e * table[own] + (1 - e) * table[other]


def make_look(
    draws: Draws, tables: dict[str, Floats], species: np.ndarray, head_evidence: float, body_evidence: float
) -> Look:
    """Draw a look per image.

    Args:
        draws: Random numbers of these critters.
        tables: From :func:`.species.tables`.
        species: (N,) class of each.
        head_evidence, body_evidence: Shares of the critter's own species' vector, in [0, 1].
    """
    kinds = len(tables["body"])
    n = len(species)
    other = {part: draws.integers(f"other {part}", count=kinds) for part in ("body", "head", "pattern", "face")}
    body = mixed(tables["body"], species, other["body"], body_evidence)
    head = mixed(tables["head"], species, other["head"], head_evidence)
    # Individuals of a species differ by some per cent in every length.
    body = body * draws.uniform("body size", body.shape[1], low=0.92, high=1.08)
    head = head * draws.uniform("head size", head.shape[1], low=0.95, high=1.05)
    coat = COAT_TABLE[draws.integers("coat", count=len(COAT_TABLE))] * draws.uniform("tint", 3, low=0.94, high=1.06)
    return Look(
        body=body.reshape(n, -1),
        head=head.reshape(n, -1),
        pattern=mixed(tables["pattern"], species, other["pattern"], body_evidence),
        face=mixed(tables["face"], species, other["face"], head_evidence),
        coat=coat,
    )


def body_distance(u: Floats, v: Floats, p: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Distances to (trunk, neck, tail and near legs, joined) and to the far legs, which are drawn darker."""
    a, b, w = p["length"], p["height"], p["leg_width"]
    zero = np.zeros_like(a)
    hx, hy = head_centre(p)
    trunk = ellipse(u, v, zero, zero, a, b)
    trunk = blend(trunk, ellipse(u, v, -a * np.float32(0.45), b * np.float32(-0.05), a * np.float32(0.5), b), 0.06)
    shoulder = (a * np.float32(0.6), -b * np.float32(0.2))
    neck = capsule(u, v, shoulder, (hx, hy), p["neck_width"] * np.float32(1.25), p["neck_width"] * np.float32(0.8))
    near = blend(trunk, neck, 0.08)
    base = b * np.float32(0.45)
    foot = b * np.float32(0.6) + p["leg"] - w
    for x, lean in ((-0.68, -0.02), (0.52, 0.01)):
        hip = a * np.float32(x)
        near = blend(near, capsule(u, v, (hip, base), (hip + np.float32(lean), foot), w * np.float32(1.2), w), 0.04)
    root = (-a * np.float32(0.85), -b * np.float32(0.35))
    tail = capsule(u, v, root, (root[0] + p["tail_x"], root[1] + p["tail_y"]), p["tail_root"], p["tail_tip"])
    near = blend(near, tail, 0.03)
    far = None
    for x, lean in ((-0.36, 0.03), (0.78, 0.05)):
        hip = a * np.float32(x)
        leg = capsule(u, v, (hip, base), (hip + np.float32(lean), foot - np.float32(0.02)), w * np.float32(1.1), w)
        far = leg if far is None else np.minimum(far, leg)
    assert far is not None
    return near, far


def head_distance(u: Floats, v: Floats, p: dict[str, Floats]) -> dict[str, Floats]:
    """Distances to the skull with the snout, to the ears and to the horns; and the head's own coordinates."""
    hx, hy = head_centre(p)
    x, y = u - hx, v - hy
    r, q = p["head_length"], p["head_height"]
    zero = np.zeros_like(r)
    tip = (r * np.float32(0.7) + p["snout"], q * np.float32(0.2) + p["snout_drop"])
    width = p["snout_width"]
    snout = capsule(
        x, y, (r * np.float32(0.45), q * np.float32(0.2)), tip, width * np.float32(1.2), width * np.float32(0.8)
    )
    skull = blend(ellipse(x, y, zero, zero, r, q), snout, 0.04)
    ears = None
    for offset, shrink in ((-0.35, 1.0), (0.12, 0.88)):
        foot = (r * np.float32(offset), -q * np.float32(0.7))
        end = (foot[0] + p["ear_lean"], foot[1] - p["ear"] * np.float32(shrink))
        ear = capsule(x, y, foot, end, p["ear_root"], p["ear_tip"])
        ears = ear if ears is None else np.minimum(ears, ear)
    assert ears is not None
    foot = (r * np.float32(0.30), -q * np.float32(0.75))
    end = (foot[0] + p["horn_lean"], foot[1] - p["horn"])
    # A species without horns has length 0: a radius that follows the length makes them vanish smoothly.
    radius = np.minimum(p["horn"] * np.float32(0.25), np.float32(0.03))
    horns = capsule(x, y, foot, end, radius, radius * np.float32(0.25)) + np.where(
        radius < 0.004, np.float32(1), np.float32(0)
    )
    return {
        "skull": skull,
        "ears": ears,
        "horns": horns,
        "x": x / r,
        "y": y / q,
        "tip_x": (x - tip[0]) / width,
        "tip_y": (y - tip[1]) / width,
    }


def coat_pattern(u: Floats, v: Floats, p: dict[str, Floats], weights: Floats) -> Floats:
    """How dark the coat is drawn, (N, H, W) in [0, 1]: the mixture of the six patterns."""
    x, y = u / np.float32(0.30), v / p["height"]
    w = [weights[:, i, None, None] for i in range(weights.shape[1])]
    sx, sy = u * np.float32(11), v * np.float32(11)
    dots = step(wave(sx) * wave(sy + wave(sx * np.float32(0.5))), 0.45, 0.10)
    slow_x, slow_y = u * np.float32(4.3), v * np.float32(4.3)
    patches = step(wave(slow_x + wave(slow_y) * np.float32(0.6)) + wave(slow_y - slow_x * np.float32(0.4)), 1.05, 0.06)
    hole = wave(sx * np.float32(0.62)) * wave(sy * np.float32(0.62))
    rings = step(hole, 0.16, 0.05) - step(hole, 0.55, 0.06)
    total = w[0] * step(-y, 0.10, 0.12)
    total += w[1] * dots
    total += w[2] * patches
    total += w[3] * rings
    total += w[4] * step(wave(y * np.float32(1.9) + x * np.float32(0.1)), 0.55, 0.12)
    total += w[5] * step(wave(x * np.float32(2.4) + y * np.float32(0.15)), 0.55, 0.12)
    return total


def face_pattern(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Where the face is marked, (N, H, W) in [0, 1]; ``x``, ``y`` are head coordinates, about [-1, 1] on the skull."""
    w = [weights[:, i, None, None] for i in range(weights.shape[1])]
    total = w[0] * step(y, 0.25, 0.15)
    total += w[1] * step(-np.abs(y + np.float32(0.15) - x * np.float32(0.25)), -0.26, 0.08)
    total += w[2] * step(x, 0.55, 0.12)
    total += w[3] * step(wave(x * np.float32(1.7)) * wave(y * np.float32(1.5)), 0.42, 0.10)
    total += w[4] * step(wave(y * np.float32(1.15) + np.float32(0.35)), 0.5, 0.12)
    total += w[5] * step(-np.abs(x - np.float32(0.25)), -0.42, 0.10)
    return total


@dataclass
class Painted:
    """A critter ready to be laid over a scene; planes (N, H, W), colour (N, 3, H, W)."""

    body: Floats  # signed distance
    head: Floats
    far: Floats
    alpha: Floats
    colour: Floats


def paint(u: Floats, v: Floats, look: Look, pixel: Floats, outline: float, ground: Floats, contrast: float) -> Painted:
    """Draw the critters.

    Args:
        u, v: Body-frame coordinates of every pixel, (N, H, W).
        look: What they look like.
        pixel: (N, 1, 1) size of a pixel in body units.
        outline: How dark the contour line is, in [0, 1].
        ground: (N, 3) colour of the ground; the coat is drawn towards it as ``contrast`` falls.
        contrast: 1 keeps the coat, 0 paints it like the ground.
    """
    p = look.numbers()
    near, far = body_distance(u, v, p)
    head = head_distance(u, v, p)
    crown = np.minimum(head["skull"], np.minimum(head["ears"], head["horns"]))
    body = np.minimum(near, far)
    whole = np.minimum(body, crown)
    alpha = coverage(whole, pixel)

    coat = ground + np.float32(contrast) * (look.coat - ground)
    shade = np.clip(np.float32(1.0) - v * np.float32(0.55), 0.72, 1.14)  # lit from above
    dark = coat_pattern(u, v, p, look.pattern) * np.float32(0.62 * (0.35 + 0.65 * contrast))
    body_tone = shade * (1 - dark)
    far_only = coverage(far, pixel) * (1 - coverage(near, pixel))
    body_tone *= 1 - far_only * np.float32(0.38)

    # The face: marked light on a darker head, eye and nose on top.
    mark = face_pattern(head["x"], head["y"], look.face)
    eye = (head["x"] - np.float32(0.30)) ** 2 + (head["y"] + np.float32(0.18)) ** 2 * np.float32(0.8)
    ball = step(-eye, -0.055, 0.025)
    spark = step(-((head["x"] - np.float32(0.36)) ** 2 + (head["y"] + np.float32(0.30)) ** 2), -0.010, 0.006)
    nose = step(-(head["tip_x"] ** 2 + head["tip_y"] ** 2), -0.55, 0.2)
    ears = coverage(head["ears"], pixel) * (1 - coverage(head["skull"], pixel))
    horns = coverage(head["horns"], pixel) * (1 - coverage(np.minimum(head["skull"], head["ears"]), pixel))
    head_alpha = coverage(crown, pixel)
    lift = np.float32(0.30 + 0.70 * contrast)

    colour = np.empty((u.shape[0], 3, *u.shape[1:]), np.float32)
    for c in range(3):
        plane = coat[:, c, None, None] * body_tone
        face = coat[:, c, None, None] * np.float32(0.60) * shade
        face = face + (np.float32((0.97, 0.94, 0.88)[c]) - face) * mark * lift * np.float32(0.9)
        face = face + (coat[:, c, None, None] * np.float32(0.42) - face) * ears * lift
        face = face + (np.float32((0.95, 0.91, 0.78)[c]) - face) * horns * lift
        face = face * (1 - np.maximum(ball, nose) * np.float32(0.88) * lift)
        face = face + (1 - face) * spark
        colour[:, c] = plane + (face - plane) * head_alpha
    line = 1 - np.clip(np.abs(whole + pixel * np.float32(0.4)) / (pixel * np.float32(1.1)), 0, 1)
    neckline = (1 - np.clip(np.abs(crown) / (pixel * np.float32(1.0)), 0, 1)) * np.float32(0.45)
    colour *= 1 - (np.maximum(line, neckline) * np.float32(outline))[:, None]
    return Painted(body=body, head=crown, far=far, alpha=alpha, colour=colour)
