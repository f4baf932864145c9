"""Slow and obvious: boxes that are named by a sentence, and boxes in 3D, one at a time."""

from __future__ import annotations

import math

import numpy as np


def grounding_accuracy(predicted, boxes, delta=0.5):
    """Share of pairs of xyxy boxes whose IoU reaches delta."""
    right = 0
    for p, b in zip(predicted, boxes, strict=True):
        width = max(0, min(p[2], b[2]) - max(p[0], b[0]))
        height = max(0, min(p[3], b[3]) - max(p[1], b[1]))
        areas = [max(0, c[2] - c[0]) * max(0, c[3] - c[1]) for c in (p, b)]
        union = sum(areas) - width * height
        right += union > 0 and width * height / union >= delta
    return right / len(boxes)


def matches(scenes, label, limit):
    """(score, matched object or None, predicted box) of all predictions of a class, surest first."""
    rows = []
    for predicted, objects in scenes:
        free = [o for o in objects if o["label"] == label]
        for p in sorted((p for p in predicted if p["label"] == label), key=lambda p: -p["score"]):
            nearest = min(free, key=lambda o: math.dist(p["box"][:2], o["box"][:2]), default=None)
            if nearest is not None and math.dist(p["box"][:2], nearest["box"][:2]) < limit:
                free.remove(nearest)
                rows.append((p["score"], nearest["box"], p["box"]))
            else:
                rows.append((p["score"], None, p["box"]))
    return sorted(rows, key=lambda row: -row[0])


def ends_of_runs(rows):
    return [i for i in range(len(rows)) if i + 1 == len(rows) or rows[i + 1][0] != rows[i][0]]


def average_precision(scenes, label, limit):
    objects = sum(o["label"] == label for _, truth in scenes for o in truth)
    if not objects:
        return math.nan
    rows = matches(scenes, label, limit)
    if not rows:
        return 0.0
    recall, precision = [], []
    for i in ends_of_runs(rows):
        right = sum(result is not None for _, result, _ in rows[: i + 1])
        recall.append(right / objects)
        precision.append(right / (i + 1))
    levels = [r / 100 for r in range(11, 101)]
    return sum(max(0, np.interp(r, recall, precision, right=0) - 0.1) for r in levels) / 90 / 0.9


def errors(scenes, label):
    """Translation, scale and orientation, averaged over the recalls above 0.1 that are reached within 2 m."""
    objects = sum(o["label"] == label for _, truth in scenes for o in truth)
    rows = matches(scenes, label, 2.0)
    means, before = [], 0
    for i in ends_of_runs(rows):
        pairs = [(b, p) for _, b, p in rows[: i + 1] if b is not None]
        if len(pairs) > before and len(pairs) / objects > 0.1:
            translation = np.mean([math.dist(b[:2], p[:2]) for b, p in pairs])
            scale = np.mean([1 - aligned_iou(b, p) for b, p in pairs])
            turns = [abs(b[6] - p[6]) % (2 * math.pi) for b, p in pairs]
            means.append((translation, scale, np.mean([min(t, 2 * math.pi - t) for t in turns])))
        before = len(pairs)
    return tuple(np.mean(means, axis=0)) if means else (1.0, 1.0, 1.0)


def aligned_iou(a, b):
    both = math.prod(min(x, y) for x, y in zip(a[3:6], b[3:6], strict=True))
    return both / (math.prod(a[3:6]) + math.prod(b[3:6]) - both)


def f1(scenes, labels, threshold):
    """Of the boxes whose score exceeds the threshold, within 2 m."""
    kept = [
        ([p for p in predicted if np.float32(p["score"]) > np.float32(threshold)], truth) for predicted, truth in scenes
    ]
    rows = [row for label in labels for row in matches(kept, label, 2.0)]
    right = sum(result is not None for _, result, _ in rows)
    objects = sum(o["label"] in labels for _, truth in scenes for o in truth)
    return 2 * right / (len(rows) + objects) if rows or objects else math.nan
