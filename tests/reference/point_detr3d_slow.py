"""Slow and obvious: turned boxes that overlap, deformable attention and pillars, one number at a time."""

from __future__ import annotations

import math


def corners(box):
    x, y, _, length, width, _, yaw = box
    cos, sin = math.cos(yaw), math.sin(yaw)
    signs = [(1, 1), (-1, 1), (-1, -1), (1, -1)]
    return [
        (x + cos * a * length / 2 - sin * b * width / 2, y + sin * a * length / 2 + cos * b * width / 2)
        for a, b in signs
    ]


def clipped(polygon, a, b):
    """The part of a polygon to the left of the line from a to b (Sutherland & Hodgman)."""
    side = [(b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) for p in polygon]
    kept = []
    for i, p in enumerate(polygon):
        j = (i + 1) % len(polygon)
        if side[i] >= 0:
            kept.append(p)
        if side[i] * side[j] < 0:
            t = side[i] / (side[i] - side[j])
            kept.append((p[0] + t * (polygon[j][0] - p[0]), p[1] + t * (polygon[j][1] - p[1])))
    return kept


def intersection(one, other):
    polygon, edges = corners(one), corners(other)
    for i in range(4):
        polygon = clipped(polygon, edges[i], edges[(i + 1) % 4]) if polygon else polygon
    area = 0.0
    for i, (x, y) in enumerate(polygon):
        nx, ny = polygon[(i + 1) % len(polygon)]
        area += (x * ny - nx * y) / 2
    return max(area, 0.0)


def ground_iou(one, other):
    both = intersection(one, other)
    return both / (one[3] * one[4] + other[3] * other[4] - both)


def iou3d(one, other):
    low, high = (max(b[2] - b[5] / 2 for b in (one, other)), min(b[2] + b[5] / 2 for b in (one, other)))
    both = intersection(one, other) * max(0.0, high - low)
    return both / (math.prod(one[3:6]) + math.prod(other[3:6]) - both)


def bilinear(plane, x, y):
    """A plane (rows of numbers) at a place in cells, the first cell's middle at 0; outside is zero."""
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < len(plane) and 0 <= column < len(plane[0]):
                total += (1 - abs(x - column)) * (1 - abs(y - row)) * plane[row][column]
    return total


def deformable_attention(values, places, weights):
    """Nested lists in the layout of the library: values[l][n][c][row][column] to result[n][q][c]."""
    result = []
    for n, queries in enumerate(places):
        rows = []
        for q, heads in enumerate(queries):
            channels = len(values[0][n]) // len(heads)
            row = []
            for h, levels in enumerate(heads):
                for c in range(channels):
                    total = 0.0
                    for level, points in enumerate(levels):
                        plane = values[level][n][h * channels + c]
                        for k, (x, y) in enumerate(points):
                            at = bilinear(plane, x * len(plane[0]) - 0.5, y * len(plane) - 0.5)
                            total += weights[n][q][h][level][k] * at
                    row.append(total)
            rows.append(row)
        result.append(rows)
    return result


def pillars(points, half, cells):
    """Of one scene: eight planes as nested lists."""
    planes = [[[0.0] * cells for _ in range(cells)] for _ in range(8)]
    held = {}
    for x, y, z, *_ in points:
        u, v = (x + half) * cells / (2 * half), (y + half) * cells / (2 * half)
        if 0 <= u < cells and 0 <= v < cells:
            held.setdefault((int(v), int(u)), []).append((u - int(u) - 0.5, v - int(v) - 0.5, z))
    for (row, column), own in held.items():
        count = len(own)
        values = [math.log(1 + count)]
        values += [sum(p[i] for p in own) / count for i in (0, 1)]
        values += [sum(p[i] * p[j] for p in own) / count for i, j in ((0, 0), (1, 1), (0, 1))]
        values += [sum(p[2] for p in own) / count, max(0.0, *(p[2] for p in own), 0.0)]
        for plane, value in zip(planes, values, strict=True):
            plane[row][column] = value
    return planes
