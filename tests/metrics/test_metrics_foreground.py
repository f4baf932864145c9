import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_oracles import pixel_average_precision

from wsss_lib import metrics as E


@st.composite
def splits(draw):
    n, h, w = draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    maps = torch.from_numpy((rng.random((n, h, w)) * 20).round() / 20).float()
    return maps, torch.from_numpy(rng.choice([0, 0, 1, 3, 255], (n, h, w)))


def slow_iou(maps, masks, threshold):
    """(pooled, mean over images with an object); NaN where there is none."""
    both, union, per_image = 0, 0, []
    for m, t in zip(maps.numpy(), masks.numpy(), strict=True):
        p, g = m[t != 255] > np.float32(threshold), t[t != 255] > 0
        both, union = both + (p & g).sum(), union + (p | g).sum()
        if g.any():
            per_image.append((p & g).sum() / (p | g).sum())
    return both / union if union else np.nan, np.mean(per_image) if per_image else np.nan


def foreground(maps, masks, thresholds=20):
    sweep = E.ForegroundSweep(thresholds)
    sweep.update(maps, masks)
    return sweep


@given(splits())
@settings(max_examples=60, deadline=None)
def test_foreground_iou_equals_the_loop(split):
    maps, masks = split
    sweep = foreground(maps, masks)
    pooled, images = (sweep.curve("a", "f", over).values.tolist() for over in ("dataset", "images"))
    for t, threshold in enumerate(sweep.thresholds.tolist()):
        expected = slow_iou(maps, masks, threshold)
        assert (pooled[t], images[t]) == pytest.approx(expected, nan_ok=True)
    assert E.foreground_iou(maps, masks, 0.35) == pytest.approx(slow_iou(maps, masks, 0.35)[0], nan_ok=True)
    assert E.foreground_iou(maps, masks, 0.35, "images") == pytest.approx(slow_iou(maps, masks, 0.35)[1], nan_ok=True)


@given(splits())
@settings(max_examples=40, deadline=None)
def test_precision_and_recall_equal_the_loop(split):
    maps, masks = split
    sweep = foreground(maps, masks)
    precision, recall = sweep.precision_recall()
    counted, truth = masks != 255, (masks > 0) & (masks != 255)
    for t, threshold in enumerate(sweep.thresholds.tolist()):
        kept = (maps > np.float32(threshold)) & counted
        expected = [float((kept & truth).sum()) / n if n else np.nan for n in (int(kept.sum()), int(truth.sum()))]
        assert [float(precision[t]), float(recall[t])] == pytest.approx(expected, nan_ok=True)


@given(splits(), st.integers(0, 4))
@settings(max_examples=30, deadline=None)
def test_chunks_order_and_padding_do_not_matter(split, cut):
    maps, masks = split
    whole = foreground(maps, masks)
    parts = foreground(maps.flip(0)[:cut], masks.flip(0)[:cut]).merge(
        foreground(maps.flip(0)[cut:], masks.flip(0)[cut:])
    )
    padded = foreground(
        torch.nn.functional.pad(maps, (0, 3), value=1.0), torch.nn.functional.pad(masks, (0, 3), value=255)
    )
    for other in (parts, padded):
        assert torch.equal(other.histogram, whole.histogram)
        assert torch.equal(other.images, whole.images)
        assert torch.allclose(other.iou_sum, whole.iou_sum, atol=1e-12)


def test_the_two_averages_by_hand():
    masks = torch.zeros(2, 1, 10, dtype=torch.int64)
    masks[0, 0, :8], masks[1, 0, :1] = 1, 1
    maps = torch.zeros(2, 1, 10)
    maps[0, 0, :8] = 1  # the large object is found, the small one missed
    assert E.foreground_iou(maps, masks, 0.5) == pytest.approx(8 / 9)
    assert E.foreground_iou(maps, masks, 0.5, "images") == 0.5
    assert E.foreground_iou(maps, masks.bool(), 0.5) == pytest.approx(8 / 9)
    with pytest.raises(ValueError, match="'dataset' or 'images'"):
        E.foreground_iou(maps, masks, 0.5, "pixels")


def test_perfect_and_empty_foreground():
    masks = torch.tensor([[[0, 1], [1, 255]]])
    assert foreground((masks == 1).float(), masks).curve("a", "f").values.eq(1).all()
    assert foreground(torch.zeros(1, 2, 2), masks).curve("a", "f").values.eq(0).all()
    everywhere = foreground(torch.ones(1, 2, 2), masks).curve("a", "f")
    assert everywhere.values.tolist() == pytest.approx([2 / 3] * 20)
    with pytest.raises(ValueError, match=r"maps\.resize"):
        foreground(torch.ones(1, 2, 3), masks)


# PxAP


def pxap(maps, masks, thresholds=1000):
    metric = E.PixelAveragePrecision(thresholds)
    metric.update(maps, masks)
    return metric.value()


@given(splits())
@settings(max_examples=60, deadline=None)
def test_pxap_equals_the_loop(split):
    maps, masks = split
    if not ((masks > 0) & (masks != 255)).any():
        assert np.isnan(pxap(maps, masks))
        return
    grid = [*E.threshold_grid(20).tolist(), 1.0]
    expected = pixel_average_precision(maps.numpy(), masks.numpy(), grid)
    assert pxap(maps, masks, 20) == pytest.approx(expected, abs=1e-12)


def test_pxap_hand_values():
    masks = torch.tensor([[[1, 0, 0, 0], [1, 0, 255, 255]]])
    for constant in (0.0, 0.5, 1.0):
        assert pxap(torch.full((1, 2, 4), constant), masks) == pytest.approx(2 / 6)  # the share of object pixels
    assert pxap((masks == 1).float(), masks) == 1
    assert pxap((masks == 1).float() * 0.5, masks) == 1
    half = torch.tensor([[[0.9, 0.5, 0, 0], [0.1, 0, 1, 1]]])
    assert pxap(half, masks) == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert pxap(torch.tensor([[[1.0, 0.9995, 0, 0], [1, 0, 0, 0]]]), masks) == 1  # 1 has a bin of its own


def test_pxap_adds_up_and_pools_images():
    generator = torch.Generator().manual_seed(0)
    maps, masks = torch.rand(4, 5, 5, generator=generator), torch.randint(0, 2, (4, 5, 5), generator=generator)
    left, right = E.PixelAveragePrecision(), E.PixelAveragePrecision()
    left.update(maps[:1], masks[:1])
    right.update(maps[1:], masks[1:])
    assert left.merge(right).value() == pxap(maps, masks)
    assert pxap(maps, masks) != pytest.approx(
        np.mean([pxap(m[None], t[None]) for m, t in zip(maps, masks, strict=True)])
    )
    for bad in (maps * 2, maps - 1, maps * float("nan")):
        with pytest.raises(ValueError, match=r"\[0, 1\]|NaN"):
            pxap(bad, masks)


def test_pxap_curve_by_hand():
    metric = E.PixelAveragePrecision(10)
    metric.update(
        torch.tensor([[[0.9, 0.5, 0.0, 0.0], [0.1, 0.0, 1.0, 1.0]]]), torch.tensor([[[1, 0, 0, 0], [1, 0, 255, 255]]])
    )
    # The curve runs from (1/2, 1) over (1/2, 1/2), where the background of 0.5 comes in, to (1, 2/3).
    assert [metric.precision_at(r) for r in (0.5, 0.75, 1.0)] == [1, pytest.approx(7 / 12), pytest.approx(2 / 3)]
    for bad in (0.0, 1.01):
        with pytest.raises(ValueError, match="above 0"):
            metric.precision_at(bad)
    empty = E.PixelAveragePrecision(10)
    empty.update(torch.rand(1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64))
    assert np.isnan(empty.precision_at(0.5))


@given(splits(), st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_precision_at_a_recall_equals_counting(split, step):
    maps, masks = split
    metric = E.PixelAveragePrecision(20)
    metric.update(maps, masks)
    counted, filled = masks != 255, (masks > 0) & (masks != 255)
    kept = (maps >= np.float32(step / 20)) & counted
    if not (kept & filled).any():
        return
    recall = int((kept & filled).sum()) / int(filled.sum())
    # The highest threshold that keeps as much keeps least of the rest.
    best = max(t for t in np.arange(21) / 20 if ((maps >= np.float32(t)) & filled).sum() >= (kept & filled).sum())
    least = (maps >= np.float32(best)) & counted
    assert metric.precision_at(recall) == pytest.approx(float((least & filled).sum() / least.sum()))


# where the mass lies


@pytest.mark.parametrize("side", [30, 400])
@pytest.mark.parametrize("grid", [1000, torch.tensor([0.1, 0.15, 0.9], dtype=torch.float64)], ids=["even", "any"])
def test_pieces_of_any_layout_are_binned_as_one_by_one(side, grid):
    """Small maps go many at a time, large ones in several pieces, and a map may be the view of another."""
    generator = torch.Generator().manual_seed(side)
    maps = (torch.rand(3, side, side, generator=generator) * 500).round().div(500).transpose(1, 2)  # many on thresholds
    masks = torch.randint(0, 3, (3, side, side), generator=generator).masked_fill(maps > 0.97, 255)
    pooled, each = E.PixelAveragePrecision(grid), E.ForegroundSweep(grid)
    pooled.update(maps, masks)
    each.update(maps, masks)
    for metric, closed in ((pooled, True), (each, False)):
        cell = torch.bucketize(maps.contiguous(), metric.thresholds.float(), right=closed)
        slow = [
            torch.bincount(cell[where], minlength=len(metric.thresholds) + 1)
            for where in (masks == 0, (masks > 0) & (masks != 255))
        ]
        assert torch.equal(metric.histogram, torch.stack(slow, dim=1))


def test_mass_share_by_hand():
    m = torch.tensor([[[4.0, 1.0], [1.0, 2.0]]])
    head = torch.tensor([[[True, False], [False, True]]])
    body = torch.tensor([[[True, True], [True, False]]])
    out = E.mass_share(m, head, body)
    assert out.mass.tolist() == pytest.approx([4 / 6])
    assert out.area.tolist() == pytest.approx([1 / 3])
    whole = E.mass_share(m, head)
    assert (float(whole.mass), float(whole.area)) == (6 / 8, 2 / 4)


def test_an_even_map_has_equal_shares_and_nothing_has_none():
    region = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0)) > 0.7
    within = region | (torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(1)) > 0.5)
    out = E.mass_share(torch.full((3, 6, 6), 0.3), region, within)
    assert torch.allclose(out.mass, out.area)
    assert E.mass_share(torch.zeros(1, 2, 2), torch.ones(1, 2, 2) > 0).mass.isnan().all()
    assert torch.allclose(E.mass_share(torch.rand(3, 6, 6), within, within).mass, torch.ones(3).double())
    with pytest.raises(ValueError, match="negative"):
        E.mass_share(torch.full((3, 6, 6), -1.0), region)
    with pytest.raises(ValueError, match="differ"):
        E.mass_share(torch.zeros(3, 6, 5), region)


# the baseline


@pytest.mark.parametrize("size", [(7, 7), (8, 6), (1, 1)])
def test_the_centre_gaussian_is_round_and_central(size):
    g = E.centre_gaussian(size)
    assert g.shape == size
    assert float(g.max()) == 1
    assert float(g.min()) > 0
    assert torch.equal(g, g.flip(0))
    assert torch.equal(g, g.flip(1))
    assert g[(size[0] - 1) // 2, (size[1] - 1) // 2] == 1
    if size == (7, 7):
        assert torch.equal(g, g.T)
        assert g[3, 0] == pytest.approx(np.exp(-9 / (2 * 3.5**2)))
    if size == (8, 6):
        assert g[2, 2] == pytest.approx(float(g[3, 2] * np.exp(-2 / (2 * 9))))
