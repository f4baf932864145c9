import torch
from torch.nn import functional as F

from wsss_lib.backbones import backbone
from wsss_lib.data.worlds.critters import Critters, World
from wsss_lib.maps import with_background
from wsss_lib.refine import random_walk
from wsss_lib.segment import AffinityConfig, AffinityNet


def small(**settings):
    torch.manual_seed(0)
    return AffinityNet(backbone("tiny_cnn", widths=(4, 6, 8, 10)), 3, AffinityConfig(width=4, **settings))


def test_the_walk_is_that_of_its_affinities():
    net = small(radius=3, steps=4, power=2)
    images, scores = torch.rand(2, 3, 32, 40), torch.rand(2, 4, 32, 40)
    affinities = net.affinities(images)
    assert affinities.shape == (2, len(net.offsets), 8, 10)
    assert ((affinities >= 0) & (affinities <= 1)).all()
    coarse = F.adaptive_avg_pool2d(scores, (8, 10))
    walked = random_walk(coarse, affinities, net.offsets, steps=4, power=2)
    expected = F.interpolate(walked, (32, 40), mode="bilinear", align_corners=False)
    torch.testing.assert_close(net.walk(images, scores), expected)


def test_pixels_that_are_not_sure_teach_nothing():
    net = small()
    masks = torch.full((1, 32, 32), 255)
    masks[:, :, 16:] = 2
    images = torch.rand(1, 3, 32, 32)
    loss = net.losses({"images": images, "masks": masks})["affinity"]
    masks[:, :, :16] = 0
    other = net.losses({"images": images, "masks": masks})["affinity"]
    assert loss.detach() != other.detach()
    nothing = net.losses({"images": images, "masks": torch.full_like(masks, 255)})["affinity"]
    nothing.backward()
    assert float(nothing.detach()) == 0
    other.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.reduce.parameters())


def test_learnt_affinities_spread_a_head_over_its_body():
    batch = Critters(World(size=48), "val", 24).batch(range(24))
    sure = batch["masks"].clone()
    inside = (sure > 0).float()[:, None]
    sure[(F.max_pool2d(inside, 5, 1, 2) != -F.max_pool2d(-inside, 5, 1, 2))[:, 0]] = 255  # a rim is not sure
    net = small(radius=3, steps=8)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(50):
        optimiser.zero_grad()
        net.losses({"images": batch["images"], "masks": sure})["affinity"].backward()
        optimiser.step()
    net.eval()
    heads = (batch["parts"] == 2).float()[:, None]
    with torch.no_grad():
        walked = net.walk(batch["images"], with_background(heads, torch.full_like(heads, 0.1))).argmax(1)
    truth = batch["masks"] > 0

    def iou(mask):
        return float((mask & truth).sum() / (mask | truth).sum())

    assert iou(walked > 0) > 1.2 * iou(heads[:, 0] > 0)
