"""What chapter 8's studies compare: one recipe for every row, thresholds of val, clusters against the truth."""

from __future__ import annotations

import pytest
import torch

from wsss_lib.experiments import context
from wsss_lib.experiments.studies import __main__ as studies
from wsss_lib.experiments.studies import common, mars
from wsss_lib.experiments.studies.common import fitted
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.segment import Clusters, DebiasConfig, Provenance, PseudoLabels, cluster, debias


@pytest.fixture(scope="module")
def lab() -> Workbench:
    lab = context.limited(Workbench("smoke", world=context.WORLD))
    lab.limit("train", most=80)
    return lab


@pytest.fixture(scope="module")
def labels(lab: Workbench) -> PseudoLabels:
    return context.seed_labels(lab, fitted(lab, lab.classifier()), "train")


def test_every_study_is_listed() -> None:
    assert set(mars.STUDIES) <= set(studies.STUDIES)


def test_true_labels_are_right_and_dropped_ones_count_as_background(lab: Workbench) -> None:
    truth = mars.true_labels(lab)
    row = mars.label_row(lab, truth)
    assert row["miou"] == row["loners"] == row["companioned"] == row["iou_fenn"] == 1
    dropped = PseudoLabels(
        lab.train_on, [torch.where(m > 2, 255, m) for m in truth.masks], Provenance("truth", "none", 0)
    )
    row = mars.label_row(lab, dropped)
    assert row["iou_fenn"] == 1
    assert row["iou_olif"] == 0


def test_a_cluster_that_is_the_object_has_an_iou_of_one(lab: Workbench) -> None:
    truth = mars.true_labels(lab)
    features = context.unlabelled_features(lab, truth)
    one = cluster(truth, features, DebiasConfig(clusters=1))
    ious = context.cluster_ious(truth, lab.train_on, features, one)
    assert (ious == 1).all()
    two = cluster(truth, features)
    halves = context.cluster_ious(truth, lab.train_on, features, two)
    assert halves.max() < 1
    sums = torch.zeros(len(lab.train_on)).index_add(0, two.images, halves)
    assert torch.allclose(sums[two.images.unique()], torch.ones(()), atol=1e-5), "two halves make the object"


def test_sides_and_the_share_of_targets() -> None:
    kinds = context.sides(torch.tensor([0.9, 0.2, 0.05, 0.31]))
    assert kinds.target.tolist() == [True, False, False, True]
    assert kinds.biased.tolist() == [False, False, True, False]
    assert kinds.share(torch.tensor([True, True, True, False])) == 0.5


def test_the_threshold_is_the_best_of_val(lab: Workbench, labels: PseudoLabels) -> None:
    val = context.seed_labels(lab, fitted(lab, lab.classifier()), "choose")
    features = context.unlabelled_features(lab, labels)
    clusters = cluster(labels, features)
    chosen, curve = context.chosen_threshold(lab, val, features, clusters, (0.0, 0.5, 1.0))
    assert curve[(0.0, 0.5, 1.0).index(chosen)] == max(curve)
    assert curve[2] < curve[0], "at 1 nothing is left"


def test_what_is_observed(lab: Workbench, labels: PseudoLabels) -> None:
    features = context.unlabelled_features(lab, labels)
    clusters: Clusters = cluster(labels, features)
    seen = mars.observed(lab, labels, features, clusters, 0.4)
    assert len(seen["alpha"]) == len(mars.SHARES)
    assert len(seen["grounds"]) == len(mars.BACKGROUNDS)
    assert list(seen["features"]) == ["colour", "random weights", "no labels", "labels"]
    assert seen["features"]["no labels"]["targets"] == seen["alpha"][mars.SHARES.index(0.4)]["targets"]
    assert sum(seen["distances"]["counts"]["target"]) > 0
    cleaned = debias(labels, features, clusters, DebiasConfig(threshold=0.4))
    assert seen["features"]["no labels"]["miou"] == mars.label_row(lab, cleaned)["miou"]


def test_every_network_is_trained_by_one_recipe(lab: Workbench, labels: PseudoLabels) -> None:
    classifier = lab.classifier()
    for refill in ("none", "weighted"):
        net, history = context.network(lab, classifier, labels, refill)
        assert len(history) == 20
        assert net.config.refill == refill
        assert set(context.row_of(lab.measure(net))) >= {"miou", "loners", "companioned", "iou_olif"}


def test_the_companion_is_where_the_image_differs_without_it(lab: Workbench) -> None:
    seen = context.companion_pixels(lab, count=40)
    batch = lab.split("test").batch(range(40))
    loner = torch.tensor([row[0]["species"] in context.LONERS for row in batch["objects"]])
    assert not seen[loner].any(), "a loner has no object of its own"
    assert seen[~loner].any((1, 2)).float().mean() > 0.4
    assert not seen[batch["masks"] > 0].any()


def test_a_teacher_costs_operations_and_keeps_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "SEEDS", (0,))
    rows = {name: row for name, (row,) in mars.cost("smoke")["data"]["rows"].items()}
    assert set(rows["CAM"].values()) == {1.0}
    assert 1.2 < rows["MARS"]["flops"] / rows["network"]["flops"] < 1.5, "a forward pass more"
    assert 1 <= rows["MARS"]["memory"] / rows["network"]["memory"] < 1.1, "of which nothing is kept"
    assert rows["MARS"]["time"] > rows["network"]["time"]
    assert all(seconds > 0 for seconds in rows["seconds an image"].values())
