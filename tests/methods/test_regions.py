"""Regions: what is read in a box, and where the box is."""

from __future__ import annotations

import pytest
import torch
from regions_slow import region as slow_region
from torch.nn import functional as F

from wsss_lib.backbones import backbone
from wsss_lib.methods.regions import PLACE, places, region_size, regions_of

NET = backbone("tiny_cnn", widths=(4, 6, 8, 10))


def test_places_by_hand() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 20], [5, 10, 10, 20]])
    expected = torch.tensor([[0, 0, 0.5, 1, 0.5], [0.25, 0.5, 0.5, 1, 0.125]])
    torch.testing.assert_close(places(boxes, (20, 20)), expected)


def test_a_region_holds_all_stages_the_colour_and_the_place() -> None:
    image = torch.full((1, 3, 32, 32), 0.5)
    image[0, 0, 8:24, 8:24] = 1.0  # red
    boxes = torch.tensor([[8.0, 8, 24, 24], [0, 0, 8, 8]])
    (regions,) = regions_of(NET, image, [boxes])
    assert regions.shape == (2, region_size(NET) + PLACE)
    assert region_size(NET) == 4 + 6 + 8 + 10 + 3
    torch.testing.assert_close(regions[:, -8:-5], torch.tensor([[1.0, 0, 0], [0, 0, 0]]))
    torch.testing.assert_close(regions[:, -5:], places(boxes, (32, 32)))


def test_a_whole_image_is_the_mean_of_its_normalised_cells() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 28, 28)  # stages of 14 and 7 cells, which 7 places read without interpolating twice
    (region,) = regions_of(NET, image, [torch.tensor([[0.0, 0, 28, 28]])])
    NET.eval()
    last = NET(image)["stage4"]  # (1, 10, 7, 7)
    # Each of the 7 × 7 places is the mean of four points around the middle of a cell.
    grid = (torch.arange(14) + 0.5) / 2 - 0.5
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    points = torch.stack([x, y], -1)[None] / 6 * 2 - 1
    read = F.grid_sample(last, points, align_corners=True, padding_mode="border")
    cells = F.avg_pool2d(read, 2)
    expected = F.normalize(cells, dim=1).mean((2, 3))[0]
    torch.testing.assert_close(region[0, -18:-8], expected.detach(), rtol=1e-4, atol=1e-5)


def test_regions_equal_the_slow_version() -> None:
    """Boxes of all sides, one at the corner and one that reaches over the edge."""
    torch.manual_seed(1)
    images = torch.rand(2, 3, 32, 40).double()
    boxes = torch.tensor([[3.0, 4, 19.5, 30], [0, 0, 6, 6], [20, 10, 42, 33], [11, 12, 13, 31]]).double()
    net = backbone("tiny_cnn", widths=(4, 6, 8, 10)).double().eval()
    fast = regions_of(net, images, [boxes[:1], boxes])[1]
    with torch.no_grad():
        stages = {name: planes[1] for name, planes in net(images, net.stages).items()}
    for box, one in zip(boxes, fast, strict=True):
        torch.testing.assert_close(one, slow_region(stages, net.strides, images[1], box.tolist()))


def test_images_without_a_proposal_and_ragged_ones() -> None:
    images = torch.rand(3, 3, 32, 40)
    boxes = [torch.tensor([[0.0, 0, 9, 9]]), torch.zeros(0, 4), torch.tensor([[1.0, 2, 20, 30], [0, 0, 40, 32]])]
    regions = regions_of(NET, images, boxes)
    assert [len(each) for each in regions] == [1, 0, 2]
    alone = regions_of(NET, images[2:], boxes[2:])[0]
    torch.testing.assert_close(regions[2], alone)
    assert not regions[0].requires_grad
    with pytest.raises(ValueError, match="3 images and proposals of 2"):
        regions_of(NET, images, boxes[:2])


def test_the_backbone_keeps_its_mode_and_its_statistics() -> None:
    net = backbone("tiny_cnn", widths=(4, 6, 8, 10)).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    regions_of(net, torch.rand(2, 3, 32, 32), [torch.tensor([[0.0, 0, 9, 9]])] * 2)
    assert net.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
