"""SSC's alignment written for the eye: one image, one class, one pixel at a time, in Python numbers."""

from __future__ import annotations

EPS = 1e-5


def rectified(plane):
    top = max(max(0.0, v) for row in plane for v in row)
    return [[max(0.0, v) / (top + EPS) for v in row] for row in plane]


def superpixel_means(plane, labels):
    held = {}
    for values, row in zip(plane, labels, strict=True):
        for value, label in zip(values, row, strict=True):
            held.setdefault(label, []).append(value)
    return [[sum(held[label]) / len(held[label]) for label in row] for row in labels]


def eroded(plane, side):
    """Set where every neighbour within the picture is."""
    height, width, reach = len(plane), len(plane[0]), side // 2
    return [
        [
            float(
                all(
                    plane[v][u]
                    for v in range(max(0, y - reach), min(height, y + reach + 1))
                    for u in range(max(0, x - reach), min(width, x + reach + 1))
                )
            )
            for x in range(width)
        ]
        for y in range(height)
    ]


def target(plane, labels, reliable, side):
    activation = rectified(plane)
    even = rectified(superpixel_means(plane, labels))
    kept = eroded([[float(v > reliable) for v in row] for row in activation], side)
    return [[max(e, a * m) for e, a, m in zip(*rows, strict=True)] for rows in zip(even, activation, kept, strict=True)]


def alignment(scores, superpixels, labels, reliable, side):
    """The loss of scores (N, K, h, w), all arguments nested lists."""
    errors = []
    for image, regions, present in zip(scores, superpixels, labels, strict=True):
        for plane, shown in zip(image, present, strict=True):
            if not shown:
                continue
            wanted, activation = target(plane, regions, reliable, side), rectified(plane)
            squares = [
                (a - t) ** 2 for rows in zip(activation, wanted, strict=True) for a, t in zip(*rows, strict=True)
            ]
            errors.append(sum(squares) / len(squares))
    return sum(errors) / len(errors) if errors else 0.0


def perceptual(redrawn, original):
    """Mean over layers of the relative L1 distance; layers as flat lists of numbers."""
    each = []
    for a, b in zip(redrawn, original, strict=True):
        each.append(sum(abs(x - y) for x, y in zip(a, b, strict=True)) / sum(b))
    return sum(each) / len(each)
