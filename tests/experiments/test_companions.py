"""What lies on a companion: places of pixels, shares of them, clusters by most of their cells."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from wsss_lib.data.records import IGNORE
from wsss_lib.experiments import companions, context
from wsss_lib.experiments.studies import common, mars, mars_companions
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.segment import Clusters, DebiasConfig, Provenance, PseudoLabels, cluster


@pytest.fixture(scope="module")
def lab() -> Workbench:
    lab = context.limited(Workbench("smoke", world=context.WORLD))
    lab.limit("train", most=60)
    return lab


@pytest.fixture(scope="module")
def places(lab: Workbench) -> torch.Tensor:
    return companions.places_of(lab, "train", 60)


def test_places_follow_the_truth_and_the_companions(lab: Workbench, places: torch.Tensor) -> None:
    truth, seen = lab.train_on.batch(range(60))["masks"], context.companion_pixels(lab, "train", 60)
    told = seen.any(2).any(1)
    assert 0 < int(told.sum()) < 60
    assert (places[~told] == IGNORE).all()
    assert ((places == 0) == (truth > 0))[told].all()
    assert ((places == 1) == seen)[told].all()
    assert ((places == 2) == ((truth == 0) & ~seen))[told].all()


def test_shares_are_of_each_place_and_leave_out_what_nobody_can_tell() -> None:
    at = torch.tensor([[[0, 0, 0, 0]], [[1, 1, 2, IGNORE]]])
    marked = torch.tensor([[[True, False, False, False]], [[True, True, False, True]]])
    assert companions.shares(marked, at) == {"animal": 0.25, "companion": 1.0, "other background": 0.0}
    assert math.isnan(companions.shares(marked[:1], at[:1])["companion"])


def test_a_cluster_lies_on_what_most_of_its_cells_lie_on(lab: Workbench, places: torch.Tensor) -> None:
    features = context.unlabelled_features(lab, lab.train_on)
    kinds = lab.train_on.batch(range(60))["labels"].argmax(1) + 1
    for number in range(len(companions.PLACES)):
        masks = [torch.where(place == number, kind, 0) for place, kind in zip(places, kinds, strict=True)]
        only = PseudoLabels(lab.train_on, masks, Provenance("place", "none", 0))
        made = cluster(only, features)
        assert len(made.classes)
        assert (companions.lying_on(only, places, features, made) == number).all()
    truth = mars.true_labels(lab)
    made = cluster(truth, features, DebiasConfig(clusters=1))
    untold = (places == IGNORE).all(2).all(1)[made.images]
    on = companions.lying_on(truth, places, features, made)
    assert (on[untold] == IGNORE).all()
    assert (on[~untold] == 0).all()


def test_a_majority_decides_over_labelled_cells_of_the_class_alone() -> None:
    clusters = Clusters(
        centroids=torch.eye(2),
        classes=torch.zeros(2).long(),
        images=torch.zeros(2).long(),
        distances=torch.tensor([0.4, 0.6]),
        background=torch.zeros(2),
        targets=torch.zeros(1, 2),
        chosen=torch.tensor([False, True]),
    )
    grid = torch.tensor([[1.0, 1, 1, 0, 0], [0.0, 0, 0, 1, 1]])[:, None]  # (2, 1, 5): three cells of the first cluster
    said = torch.tensor([[1, 1, 0, 1, 2]])
    cells = {index: mine.long().tolist() for index, mine in context.members(clusters, 0, grid, said)}
    assert cells == {0: [[1, 1, 0, 0, 0]], 1: [[0, 0, 0, 1, 0]]}
    rows = companions.of_clusters(torch.tensor([1, 0]), clusters, context.sides(torch.tensor([0.05, 0.5])))
    assert rows["companion"] == {"clusters": 1, "targets": 0, "biased": 1, "chosen": 0, "distance": pytest.approx(0.4)}
    assert rows["animal"] == {"clusters": 1, "targets": 1, "biased": 0, "chosen": 1, "distance": pytest.approx(0.6)}
    assert rows["other background"]["clusters"] == 0


@pytest.mark.parametrize(
    ("kinds", "told", "parted"),
    [
        ([0, 1, IGNORE, IGNORE], 1, 1),
        ([1, 0, 0, 2], 2, 1),
        ([0, 0, 1, 1], 2, 0),
        ([1, 2, IGNORE, 0], 2, 0),
        ([IGNORE] * 4, 0, 0),
    ],
)
def test_an_image_is_parted_by_one_cluster_on_each(kinds: list[int], told: int, parted: int) -> None:
    none = torch.zeros(0)
    images = torch.tensor([0, 0, 3, 3])
    clusters = Clusters(none, torch.zeros(4).long(), images, none, none, none, none)
    assert companions.of_images(torch.tensor(kinds), clusters) == {"told": told, "animal and companion": parted}


def test_what_a_network_answers_is_asked_of_every_image(lab: Workbench) -> None:
    net = lab.build(mars.MARS, replace(context.NETWORK, refill="none"))
    lab.fit(net, lab.train_on, epochs=1, batch_size=20)
    assert net.train().training, "as a training leaves it"
    some = companions.answered(lab, net, 7)
    assert net.training
    batch = {"images": lab.report_on.batch(range(7))["images"]}
    assert torch.equal(some, net.eval().answer(batch) > 0)  # type: ignore[arg-type]


def test_the_study_gives_a_row_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "SEEDS", (0,))
    data = mars_companions.study("smoke")["data"]
    names = {"labels", "dropped", "images", "base", "MARS", *(f"clusters: {name}" for name in companions.PLACES)}
    assert set(data["rows"]) == names
    assert [len(curve) for curve in data["val_below"]] == [len(data["below"])]
    assert max(data["below"]) < min(context.THRESHOLDS)
