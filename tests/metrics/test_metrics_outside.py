"""How far from the object what is kept too much lies: by hand, and by a loop over all pairs of pixels."""

import pytest
import torch

from wsss_lib import metrics as E


def test_by_hand():
    mask = torch.zeros(1, 3, 6, dtype=torch.int64)
    mask[0, 1, 1] = 2
    mask[0, 0, 5] = 255
    kept = torch.ones(1, 3, 6, dtype=torch.bool)
    # Distances of the middle row: 1, 0, 1, 2, 3, 4; above and below it √2, 1, √2, √5, √10, √17.
    assert E.distances_to_object(mask)[0, 1].tolist() == [1, 0, 1, 2, 3, 4]
    assert E.false_positives_by_distance(kept, mask, (1, 2, 3)).tolist() == [4, 5, 3, 4]
    assert E.false_positives_by_distance(~kept, mask, (1, 2, 3)).tolist() == [0, 0, 0, 0]
    assert E.false_positives_by_distance(kept, mask == 2, (1, 2, 3)).tolist() == [4, 5, 3, 5]


def test_equals_the_loop():
    generator = torch.Generator().manual_seed(0)
    masks = torch.tensor([0, 0, 0, 1, 255])[torch.randint(5, (3, 5, 7), generator=generator)]
    masks[2] = 0  # no object: infinitely far
    kept = torch.rand(3, 5, 7, generator=generator) > 0.4
    edges, expected = (1.0, 1.5, 3.0), [0, 0, 0, 0]
    for n, y, x in kept.nonzero().tolist():
        if masks[n, y, x] != 0:
            continue
        objects = ((masks[n] > 0) & (masks[n] != 255)).nonzero().tolist()
        nearest = min((((v - y) ** 2 + (u - x) ** 2) ** 0.5 for v, u in objects), default=float("inf"))
        expected[sum(nearest > edge for edge in edges)] += 1
    assert E.false_positives_by_distance(kept, masks, edges).tolist() == expected
    assert E.distances_to_object(masks[:0]).shape == (0, 5, 7)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="expected \\(N, H, W\\) both"):
        E.false_positives_by_distance(torch.ones(1, 2, 2), torch.ones(1, 2, 3), (1,))
    with pytest.raises(ValueError, match="distances that rise"):
        E.false_positives_by_distance(torch.ones(1, 2, 2), torch.ones(1, 2, 2), (2, 1))
