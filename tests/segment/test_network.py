import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from wsss_lib.backbones import backbone
from wsss_lib.data.worlds.critters import World
from wsss_lib.experiments import Workbench
from wsss_lib.segment import Provenance, PseudoLabels, Segmenter, SegmenterConfig, Teacher, pixel_loss


def small(classes=3, **settings):
    torch.manual_seed(0)
    return Segmenter(backbone("tiny_cnn", widths=(4, 6, 8, 10)), classes, SegmenterConfig(width=8, **settings))


def test_losses_by_hand():
    scores = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.0, 3.0]]).view(1, 2, 1, 3)
    masks = torch.tensor([[[0, 1, 255]]])
    p = 1 / (1 + math.exp(-2))
    plain = (-math.log(p) - math.log(0.5)) / 2
    assert float(pixel_loss(scores, masks)) == pytest.approx(plain)
    soft = -(p * math.log(p) + (1 - p) * math.log(1 - p))
    for loss, first, second in (
        ("soft_bootstrapping", soft, math.log(2)),
        ("hard_bootstrapping", -math.log(p), math.log(2)),
    ):
        mixed = 0.8 * plain + 0.2 * (first + second) / 2
        assert float(pixel_loss(scores, masks, loss, 0.8)) == pytest.approx(mixed)
        assert float(pixel_loss(scores, masks, loss, 1.0)) == pytest.approx(plain)
    weighted = pixel_loss(scores, masks, weights=torch.tensor([[[3.0, 1.0, 9.0]]]))
    assert float(weighted) == pytest.approx((-3 * math.log(p) - math.log(0.5)) / 4)
    assert float(pixel_loss(scores, torch.full_like(masks, 255))) == 0


@pytest.mark.parametrize("loss", ["cross_entropy", "soft_bootstrapping", "hard_bootstrapping"])
def test_gradients_are_finite_and_ignored_pixels_have_none(loss):
    scores = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    masks = torch.randint(0, 3, (2, 4, 4))
    masks[0] = 255
    pixel_loss(scores, masks, loss).backward()
    assert not scores.grad[0].any()
    assert scores.grad[1].isfinite().all()
    assert torch.autograd.gradcheck(lambda s: pixel_loss(s, masks, loss), (scores,))
    with pytest.raises(ValueError, match="trust"):
        pixel_loss(scores, masks, loss, 1.5)
    with pytest.raises(ValueError, match="expected 'cross_entropy'"):
        pixel_loss(scores, masks, "boot")


@pytest.mark.parametrize(("n", "height", "width"), [(1, 48, 48), (2, 45, 61)])
@pytest.mark.parametrize("shallow", [None, "", "stage2", "stage4"])
def test_scores_have_the_size_of_the_image(n, height, width, shallow):
    network = small(shallow=shallow)
    images = torch.rand(n, 3, height, width)
    assert network(images).shape == (n, 4, height, width)
    answer = network.answer({"images": images})
    assert torch.equal(answer, network(images).argmax(1))
    loss = network.losses({"images": images, "masks": torch.full((n, height, width), 255)})["pixels"]
    loss.backward()
    assert float(loss.detach()) == 0
    assert {group["name"] for group in network.parameter_groups(0.1)} >= {"backbone", "head"}


def test_labels_that_are_given_leave_the_others_out():
    network = small()
    images = torch.rand(3, 3, 32, 32)
    labels = torch.tensor([[0.0, 1, 0], [0, 0, 0], [1, 1, 1]])
    answer = network.answer_given({"images": images, "labels": labels})
    assert set(answer[0].unique().tolist()) <= {0, 2}
    assert not answer[1].any()
    assert torch.equal(answer[2], network.answer({"images": images})[2])


def test_what_the_whole_image_shows_counts_at_each_pixel():
    with_scene, without = small(), small(scene=False)
    assert without.scene is None
    shared = {name: value for name, value in with_scene.state_dict().items() if not name.startswith("scene.")}
    without.load_state_dict(shared)
    images = torch.rand(1, 3, 32, 48)
    added = with_scene(images) - without(images)  # (1, 4, 32, 48)
    torch.testing.assert_close(added, added.mean((2, 3), keepdim=True).expand_as(added), rtol=1e-4, atol=1e-5)
    deep = with_scene.backbone(images, with_scene.stages)[with_scene.stages[-1]]
    torch.testing.assert_close(added[:, :, 0, 0], with_scene.scene(deep.mean((2, 3), keepdim=True))[:, :, 0, 0])


def test_scores_of_any_size_and_losses_of_the_masks_size():
    network = small(shallow="")
    assert not network.reads_pixels
    assert small().reads_pixels
    images = torch.rand(2, 3, 32, 32)
    assert network(images, (5, 7)).shape == (2, 4, 5, 7)
    masks = torch.randint(0, 4, (2, 8, 8))
    expected = pixel_loss(network(images, (8, 8)), masks)
    torch.testing.assert_close(network.losses({"images": images, "masks": masks})["pixels"], expected)


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"width": 6}, {"dilations": ()}, {"dilations": (0,)}, {"trust": 2.0}):
        with pytest.raises(ValueError, match="multiple of 4"):
            SegmenterConfig(**wrong)
    with pytest.raises(ValueError, match="one of"):
        SegmenterConfig(loss="dice")
    with pytest.raises(ValueError, match="has no stage 'stage9'"):
        small(shallow="stage9")


def test_a_network_learns_from_pseudo_labels_on_the_workbench(tmp_path):
    lab = Workbench("smoke", world=World(size=32), device="cpu", out_dir=tmp_path)
    masks = list(lab.train_on.batch(range(160))["masks"])
    truth = PseudoLabels(lab.train_on, masks, Provenance("the truth", "none", 0))
    network = lab.build(Segmenter, SegmenterConfig(width=16))
    before = lab.scores(network)
    history = lab.fit(network, truth, epochs=None, steps=30, batch_size=16, lr=3e-3)
    after = lab.scores(network)
    assert history.loss[-1] < 0.6 * history.loss[0]
    assert after["miou"] > before["miou"] + 0.02
    assert set(after) >= {"miou", "precision", "recall", "false_positives", "false_negatives", "split"}


def test_a_teacher_is_the_average_of_what_its_student_was():
    student = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    teacher = Teacher(student)
    start = student[0].weight.detach().clone()
    assert torch.equal(teacher.network[0].weight, start)
    with torch.no_grad():
        student[0].weight += 1
    student(torch.randn(8, 2))
    teacher.follow(student, 0.9)
    torch.testing.assert_close(teacher.network[0].weight, start + 0.1)
    torch.testing.assert_close(teacher.network[1].running_mean, 0.1 * student[1].running_mean)
    assert int(teacher.network[1].num_batches_tracked) == 1
    teacher.train()
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not teacher(torch.randn(3, 2, requires_grad=True)).requires_grad
    teacher.follow(student, 0.0)
    assert torch.equal(teacher.network[0].weight, student[0].weight)
    assert F.mse_loss(teacher.network[1].running_mean, student[1].running_mean) == 0
    with pytest.raises(ValueError, match="from 0 to 1"):
        teacher.follow(student, 1.1)
