"""Slow and obvious: what the metrics mean, pixel by pixel and threshold by threshold, in NumPy and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np


def normalise_minmax(m, eps):
    span = m.max() - m.min() + eps
    return np.zeros_like(m) if span == 0 else (m - m.min()) / span


def cv2_contours(mask):
    """(boxes of all contours, the box of the largest contour, its area) as the WSOL benchmark asks OpenCV for them."""
    contours = cv2.findContours(mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    rectangles = [cv2.boundingRect(c) for c in contours]
    every = [(x, y, x + w, y + h) for x, y, w, h in rectangles]
    if not contours:
        return [], (0, 0, 0, 0), 0.0
    areas = [cv2.contourArea(c) for c in contours]
    winner = max(range(len(contours)), key=areas.__getitem__)
    return every, every[winner], areas[winner]


def components(mask):
    """8-connected components by flood fill, in reading order of their first pixel: lists of (y, x)."""
    visited, result = np.zeros_like(mask), []
    for y0, x0 in zip(*np.nonzero(mask), strict=True):
        if visited[y0, x0]:
            continue
        visited[y0, x0] = True
        stack, pixels = [(y0, x0)], []
        while stack:
            y, x = stack.pop()
            pixels.append((y, x))
            for v in range(max(0, y - 1), min(mask.shape[0], y + 2)):
                for u in range(max(0, x - 1), min(mask.shape[1], x + 2)):
                    if mask[v, u] and not visited[v, u]:
                        visited[v, u] = True
                        stack.append((v, u))
        result.append(pixels)
    return result


def largest_component_box(mask):
    result = components(mask)
    if not result:
        return (0, 0, 0, 0)
    ys, xs = zip(*max(result, key=len), strict=True)
    return (min(xs), min(ys), max(xs) + 1, max(ys) + 1)


def box_iou(a, b, plus_one):
    one = 1 if plus_one else 0
    w = min(a[2], b[2]) - max(a[0], b[0]) + one
    h = min(a[3], b[3]) - max(a[1], b[1]) + one
    both = max(w, 0) * max(h, 0)
    union = sum((c[2] - c[0] + one) * (c[3] - c[1] + one) for c in (a, b)) - both
    return both / union if union > 0 else 0.0


def benchmark_boxes(score, threshold, every):
    """The WSOL benchmark's boxes of one score map at one threshold."""
    grey = (score * 255).astype(np.uint8)
    mask = grey > int(threshold * grey.max())
    boxes, largest, _ = cv2_contours(mask)
    h, w = score.shape
    if not boxes:
        return [(0, 0, 0, 0)]
    return [(x0, y0, min(x1, w - 1), min(y1, h - 1)) for x0, y0, x1, y1 in (boxes if every else [largest])]


def max_box_acc(scores, truths, thresholds, deltas, every):
    """Accuracy (len(deltas), T): one pass per image and threshold."""
    accuracy = np.zeros((len(deltas), len(thresholds)))
    for score, truth in zip(scores, truths, strict=True):
        for t, threshold in enumerate(thresholds):
            best = max(box_iou(p, g, True) for p in benchmark_boxes(score, threshold, every) for g in truth)
            for d, delta in enumerate(deltas):
                accuracy[d, t] += best >= delta
    return accuracy / len(scores)


def classic_accuracy(maps, truths, thresholds, delta, plus_one):
    accuracy = np.zeros(len(thresholds))
    for m, truth in zip(maps, truths, strict=True):
        for t, threshold in enumerate(thresholds):
            mask = m > m.dtype.type(threshold)
            box = largest_component_box(mask) if mask.any() else (0, 0, m.shape[1], m.shape[0])
            accuracy[t] += max(box_iou(box, g, plus_one) for g in truth) >= delta
    return accuracy / len(maps)


def dataset_iou(predictions, targets, num_classes, ignore=255):
    """IoU per class, NaN where the union is empty, and which classes occur; by three nested loops."""
    true_positive, true, predicted = np.zeros(num_classes), np.zeros(num_classes), np.zeros(num_classes)
    for p, t in zip(predictions, targets, strict=True):
        for c in range(num_classes):
            counted = t != ignore
            true_positive[c] += ((p == c) & (t == c) & counted).sum()
            true[c] += ((t == c) & counted).sum()
            predicted[c] += ((p == c) & counted).sum()
    union = true + predicted - true_positive
    return np.where(union > 0, true_positive / np.maximum(union, 1), np.nan), true > 0


def pixel_average_precision(maps, masks, thresholds):
    values = np.concatenate([m[t != 255] for m, t in zip(maps, masks, strict=True)])
    truth = np.concatenate([t[t != 255] > 0 for t in masks])
    total, recall_above = 0.0, 0.0
    for threshold in sorted(thresholds, reverse=True):
        chosen = values >= values.dtype.type(threshold)
        if chosen.any():
            precision, recall = truth[chosen].mean(), truth[chosen].sum() / truth.sum()
            total += precision * (recall - recall_above)
            recall_above = recall
    return total


def average_precision(scores, labels):
    """One class: every distinct score as a threshold, from high to low."""
    total, before = 0.0, 0.0
    for s in sorted(set(scores.tolist()), reverse=True):
        chosen = scores >= s
        recall = labels[chosen].sum() / labels.sum()
        total += (recall - before) * labels[chosen].mean()
        before = recall
    return total
