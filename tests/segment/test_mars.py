"""MARS while training: what the teacher fills, how much it counts, and that no gradient reaches it."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from wsss_lib.backbones import backbone
from wsss_lib.data.worlds.critters import World
from wsss_lib.experiments import Workbench
from wsss_lib.methods.learner import Progress
from wsss_lib.segment import MARS, MARSConfig, Provenance, PseudoLabels, pixel_loss
from wsss_lib.segment.mars import complement, weighted_cross_entropy

sys.path.insert(0, str(Path(__file__).parents[1] / "reference"))
import mars_slow


def small(classes=3, **settings):
    torch.manual_seed(0)
    return MARS(backbone("tiny_cnn", widths=(4, 6, 8, 10)), classes, MARSConfig(width=8, **settings))


def batch_of(n=2, classes=3, height=24, width=32, dropped=True):
    torch.manual_seed(1)
    masks = torch.randint(0, classes + 1, (n, height, width))
    if dropped:
        masks[:, : height // 2] = 255
    return {"images": torch.rand(n, 3, height, width), "labels": torch.eye(classes)[:n], "masks": masks}


def test_the_complement_is_that_of_the_loop():
    torch.manual_seed(0)
    masks = torch.randint(0, 4, (3, 5, 6))
    masks[:2, :3] = 255
    probabilities = torch.randn(3, 4, 5, 6).softmax(1)
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0]])
    filled, weights = complement(masks, probabilities, labels)
    for row in range(3):
        expected, certainty = mars_slow.filled(masks[row], probabilities[row], labels[row])
        assert torch.equal(filled[row], expected)
        torch.testing.assert_close(weights[row], certainty)
    assert (weights[masks != 255] == 1).all()
    assert not weights[1][masks[1] == 255].any(), "an image without a class is sure of none"


def test_the_truth_table_and_the_background_that_counts_little():
    masks = torch.tensor([[[0, 1, 255, 255]]])
    sure = torch.tensor([[0.9, 0.9, 0.9, 0.2], [0.1, 0.1, 0.1, 0.8]]).view(1, 2, 1, 4)
    filled, weights = complement(masks, sure, torch.ones(1, 1))
    assert filled.tolist() == [[[0, 1, 0, 1]]]
    torch.testing.assert_close(weights, torch.tensor([[[1.0, 1.0, 0.1, 0.8]]]))


def test_the_loss_by_hand():
    even = torch.zeros(1, 2, 1, 1)  # P = 0.5
    mask = torch.zeros(1, 1, 1, dtype=torch.int64)
    assert float(weighted_cross_entropy(even, mask, torch.full((1, 1, 1), 0.5))) == pytest.approx(0.3466, abs=1e-4)
    scores, masks = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    masks[0, 0] = 255
    plain = pixel_loss(scores, masks)
    torch.testing.assert_close(weighted_cross_entropy(scores, masks), plain)
    torch.testing.assert_close(weighted_cross_entropy(scores, masks, torch.ones(2, 4, 5)), plain)
    assert float(weighted_cross_entropy(scores, torch.full_like(masks, 255))) == 0


@pytest.mark.parametrize("refill", ["weighted", "equal", "none"])
def test_each_refill_is_the_loss_that_it_says(refill):
    network, batch = small(refill=refill).eval(), batch_of()
    with torch.no_grad():
        network.decode[1].bias += 1.0  # so that the student is not its teacher
    sure = network.teacher(batch["images"]).softmax(1)
    filled, weights = complement(batch["masks"], sure, batch["labels"])
    scores = network(batch["images"])
    each = F.cross_entropy(scores, filled, reduction="none")
    expected = {
        "weighted": (each * weights).mean(),
        "equal": each.mean(),
        "none": F.cross_entropy(scores, batch["masks"], ignore_index=255),
    }
    torch.testing.assert_close(network.losses(batch)["pixels"], expected[refill])


def test_nothing_is_learnt_through_the_teacher():
    network, batch = small(), batch_of()
    network.losses(batch)["pixels"].backward()
    assert all(p.grad is None and not p.requires_grad for p in network.teacher.parameters())
    assert all(p.grad is not None for name, p in network.named_parameters() if not name.startswith("teacher."))
    trained = [p for group in network.parameter_groups(0.1) for p in group["params"]]
    assert not {id(p) for p in trained} & {id(p) for p in network.teacher.parameters()}


def test_labels_without_a_hole_are_learnt_plainly():
    batch = batch_of(dropped=False)
    values = [float(small(refill=refill).losses(batch)["pixels"].detach()) for refill in ("weighted", "equal", "none")]
    assert values[0] == pytest.approx(values[1]) == pytest.approx(values[2])


def test_the_teacher_after_one_step_by_hand():
    network = small(momentum=0.999)
    with torch.no_grad():
        for parameter in network.teacher.parameters():
            parameter.fill_(1)
        for name, parameter in network.named_parameters():
            if not name.startswith("teacher."):
                parameter.zero_()
    network.after_step(Progress(0, 1, "training", 0, 1))
    assert all(torch.allclose(p, torch.tensor(0.999)) for p in network.teacher.parameters())
    network.train()
    assert not network.teacher.training
    assert not network.teacher.network.training


@pytest.mark.parametrize(("n", "classes", "height", "width"), [(1, 1, 48, 48), (2, 3, 45, 61)])
def test_other_sizes_and_classes(n, classes, height, width):
    network, batch = small(classes), batch_of(n, classes, height, width)
    assert network(batch["images"]).shape == (n, classes + 1, height, width)
    assert network.answer(batch).shape == (n, height, width)
    assert network.losses(batch)["pixels"].isfinite()
    batch["labels"] = torch.zeros(n, classes)
    assert network.losses(batch)["pixels"].isfinite()


def test_on_a_gpu_that_is_not_there():
    network = small()
    with FakeTensorMode():
        for module in network.modules():
            for key, parameter in module._parameters.items():
                if parameter is not None:
                    kept = torch.empty(parameter.shape, dtype=parameter.dtype, device="cuda")
                    module._parameters[key] = nn.Parameter(kept, requires_grad=parameter.requires_grad)
            for key, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[key] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda")
        batch = {
            "images": torch.rand(2, 3, 45, 61, device="cuda"),
            "labels": torch.zeros(2, 3, device="cuda"),
            "masks": torch.zeros(2, 45, 61, dtype=torch.int64, device="cuda"),
        }
        assert network.losses(batch)["pixels"].device.type == "cuda"
        assert network.answer(batch).device.type == "cuda"


def test_behind_frozen_trunks_both_networks_take_features():
    assert small().reads_pixels, "it reads an early stage"
    network = small(shallow="").eval()
    assert not network.reads_pixels
    for net in (network.backbone, network.teacher.network.backbone):
        net.freeze("stage2")
    batch = batch_of()
    with torch.no_grad():
        features = network.backbone(batch["images"], ("stage2",))["stage2"]
        through, behind = (network.losses(batch | {"images": images}) for images in (batch["images"], features))
    torch.testing.assert_close(behind, through)


def test_settings():
    assert MARSConfig.paper().momentum == 0.999
    with pytest.raises(ValueError, match=r"momentum is 1\.5"):
        MARSConfig(momentum=1.5)
    with pytest.raises(ValueError, match="refill"):
        MARSConfig(refill="often")
    assert math.isclose(MARSConfig().momentum, 0.99)


def test_it_is_trained_by_the_one_loop_and_resumed(tmp_path):
    lab = Workbench("smoke", world=World(size=32), device="cpu", out_dir=tmp_path)
    lab.keeps = True
    lab.limit("train", most=24)
    masks = [mask.clone() for mask in lab.train_on.batch(range(24))["masks"]]
    for mask in masks:
        mask[:8] = torch.where(mask[:8] > 0, 255, mask[:8])
    labels = PseudoLabels(lab.train_on, masks, Provenance("the truth", "none", 0))
    network = lab.build(MARS, MARSConfig(width=8, dilations=(1,)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    history = lab.fit(network, labels, batch_size=8)
    assert len(history) == 3
    after = network.state_dict()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert {"decode.1.weight", "teacher.network.decode.1.weight"} <= moved
    again = lab.build(MARS, MARSConfig(width=8, dilations=(1,)))
    assert lab.fit(again, labels, batch_size=8).resumed_at == [3]
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in after.items())
    assert 0 <= lab.scores(network)["miou"] <= 1
