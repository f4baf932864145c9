"""Chapter 8's run: a world in which things come along, any method's labels in it, clusters and truth, networks.

The same steps on photographs, where nobody says what comes along.

lab = limited(Workbench("book", world=WORLD, seed=0))
method = lab.classifier(); lab.fit(method, epochs=passes(lab))
labels = {split: seed_labels(lab, method, split) for split in ("train", "choose")}
features = unlabelled_features(lab, labels["train"])
clusters = cluster(labels["train"], features)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_lib import maps, metrics
from wsss_lib.backbones import Backbone, StagedBackbone, backbone
from wsss_lib.data.records import IGNORE, Batch, Records, collate, to_device, unpadded_batches
from wsss_lib.data.transforms import Resize
from wsss_lib.data.worlds.critters import World
from wsss_lib.evaluate import MaskMeasurement
from wsss_lib.experiments.networks import freeze_trunk, freeze_trunks, trunk_kept
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.files import cache_folder
from wsss_lib.methods.contract import Method
from wsss_lib.segment import MARS, CentredFeatures, Clusters, DebiasConfig, MARSConfig, Provenance, PseudoLabels, debias
from wsss_lib.segment.debiasing import Features, labels_on_grid
from wsss_lib.segment.mars import Refill
from wsss_lib.train import History
from wsss_lib.train.trunk_memory import remember

LONERS = ("fenn", "taur", "brok")
"""Species whose habitat objects look like the clutter (a stump, a fence, a boulder); here they have none."""
WORLD = World(
    head_evidence=0.7, body_evidence=0.8, scale=(0.40, 0.65), cooccurrence=0.9, companion_size=2.0, loners=LONERS
)
"""Small animals beside large things, as a train on its rails; the loners are the control."""
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6)
"""Similarities from which a pixel keeps its label; ``val`` chooses."""
SIMILARITIES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Those of photographs; ``train`` chooses."""
NETWORK = MARSConfig(width=32, dilations=(2,), scene=False, shallow="")
"""The segmentation network of every row: small, on the grid of the backbone. In this world a body tells its class."""
OF_PHOTOGRAPHS = MARSConfig(width=32, dilations=(6,), scene=True, shallow="")
"""That of photographs: behind a frozen trunk, and with the scene, as ``wsss pipeline`` has it."""
PASSES = 4
"""Of a network through photographs, eight at a time."""
LABELLED = 6
"""Of so many photographs, one gets labels and teaches the networks."""
TARGET, BIASED = 0.3, 0.1
"""A cluster is the object above an IoU of the first, and biased below the second (Jo et al. 2023, section 4.4)."""


def limited(lab: Workbench) -> Workbench:
    """The same lab on fewer images: 500 to train on, 200 to choose on, 200 to report.

    Of photographs every second one to train on, and every third one to choose on, as in the other chapters.
    """
    if not lab.drawn:
        lab.limit("train", every=2)
        lab.limit("choose", every=3)
        return lab
    lab.limit("train", most=500)
    lab.limit("choose", most=200)
    lab.limit("report", most=200)
    return lab


def passes(lab: Workbench, book: int = 6) -> int:
    """Passes through the images; one in the profile that only tries."""
    return lab.size.epochs or book


def labelled(lab: Workbench) -> Records:
    """The training images that get labels: all of them, but of photographs a part."""
    return lab.train_on if lab.drawn else lab.train_on.subset(range(0, len(lab.train_on), LABELLED))


def seed_labels(lab: Workbench, method: Method, split: Literal["train", "choose"], name: str = "cam") -> PseudoLabels:
    """Seeds of a method as pseudo-labels, cut at the threshold that ``val`` chooses by mIoU."""
    threshold = metrics.choose_threshold(lab.measure(method, "choose", score_boxes=False).miou()).value
    records = labelled(lab) if split == "train" else lab.choose_on

    def seeds(batch: Batch) -> Tensor:
        height, width = batch["images"].shape[2:]
        heat = maps.resize(method.localize(batch["images"], batch["labels"]), (height, width))
        return maps.seeds(heat, batch["labels"], threshold)

    how = Provenance(name, "none", lab.seed, {"background": threshold})
    with trunk_kept(method):
        return PseudoLabels.of(records, seeds, how, network=method, device=lab.device)


def unlabelled_features(lab: Workbench, records: Records, net: Backbone | None = None) -> CentredFeatures:
    """The features of the shipped network that was trained without labels, or of another, centred over the records.

    On photographs it is the lab's own network as ImageNet trained it, and so by labels of images; where it has a frozen
    trunk, the last stage of this.
    """
    if net is None:
        net = backbone("tiny_cnn", weights="unlabelled") if lab.drawn else as_published(lab)
    stage = net.trunk[-1] if isinstance(net, StagedBackbone) and net.trunk else None
    return CentredFeatures.of(net.to(lab.device), records, stage=stage).to(lab.device).eval()


def as_published(lab: Workbench) -> Backbone:
    """The network of a run on photographs before it learns; what its frozen trunk makes of an image is kept."""
    net = lab.backbone()
    if lab.trunk:
        freeze_trunk(net, lab.trunk)
    if isinstance(net, StagedBackbone) and net.trunk:
        remember(net, cache_folder())
    return net


def pictures(lab: Workbench, records: Records, which: Sequence[int]) -> Batch:
    """Some of the records in one batch; photographs are squeezed to squares of the run's side."""
    if lab.drawn:
        return records.batch(which)
    shape = Resize((lab.side, lab.side))
    return collate([shape(records[number]) for number in which])


@torch.no_grad()
def cluster_ious(
    labels: Records,
    truth: Records,
    features: Features,
    clusters: Clusters,
    device: str | torch.device | None = None,
) -> Tensor:
    """How much of the true object each cluster covers: its IoU with the object of its class, on the features' grid.

    Args:
        labels: As they were clustered.
        truth: The same images with true masks.
        features: As they were clustered.
        clusters: Of the labels.
        device: Where the features are computed; None for the CPU.

    Returns:
        (M,) in [0, 1].
    """
    ious = torch.zeros(len(clusters.classes))
    for index, mine, true in cells(labels, truth, features, clusters, device):
        real = true == clusters.classes[index] + 1
        ious[index] = (mine & real).sum() / (mine | real).sum().clamp(min=1)
    return ious


def cells(
    labels: Records,
    beside: Records,
    features: Features,
    clusters: Clusters,
    device: str | torch.device | None = None,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Each cluster's number, its cells (h, w) bool, and on the same grid (h, w) the masks of ``beside``.

    Args:
        labels, features, clusters, device: As for :func:`cluster_ious`.
        beside: The same images with other masks.
    """
    number = -1
    for batch, other in zip(unpadded_batches(labels, 50), unpadded_batches(beside, 50), strict=True):
        grid = features(to_device(batch, device)["images"]).to(clusters.centroids)
        said, known = (labels_on_grid(each["masks"], grid) for each in (batch, other))
        for row in range(len(grid)):
            number += 1
            for index, mine in members(clusters, number, grid[row], said[row]):
                yield index, mine, known[row]


def members(clusters: Clusters, number: int, grid: Tensor, said: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each cluster of an image, and its cells: those that are labelled with its class and nearest to its centroid.

    Args:
        clusters: Of all images.
        number: Of the image.
        grid: (D, h, w) its features.
        said: (h, w) its labels.

    Yields:
        The number of the cluster, and (h, w) bool.
    """
    here, units = clusters.images == number, F.normalize(grid, dim=0)
    for kind in clusters.classes[here].unique():
        (which,) = (here & (clusters.classes == kind)).nonzero(as_tuple=True)
        nearest = torch.einsum("kd,dhw->khw", clusters.centroids[which], units).argmax(0)
        for position, index in enumerate(which.tolist()):
            yield index, (said == kind + 1) & (nearest == position)


class Sides(NamedTuple):
    """Which clusters are the object and which are biased, (M,) bool; those between are neither."""

    target: Tensor
    biased: Tensor

    def share(self, among: Tensor) -> float:
        """Share of targets among the chosen clusters that are one or the other; NaN where none is."""
        return float((self.target & among).sum() / ((self.target | self.biased) & among).sum())


def sides(ious: Tensor) -> Sides:
    """The paper's two kinds of clusters, by their IoU with the object."""
    return Sides(ious > TARGET, ious < BIASED)


def label_scores(labels: PseudoLabels, truth: Records) -> MaskMeasurement:
    """Labels against the truth; where a label was dropped, they say background."""
    measured = MaskMeasurement(truth)
    for start in range(0, len(truth), 50):
        at = range(start, min(start + 50, len(truth)))
        masks = labels.batch(at)["masks"]
        measured.update(truth.batch(at), torch.where(masks == IGNORE, 0, masks))
    return measured


def chosen_threshold(
    lab: Workbench,
    labels: PseudoLabels,
    features: Features,
    clusters: Clusters,
    settings: Sequence[float] | None = None,
) -> tuple[float, list[float]]:
    """The similarity with the best mIoU of the debiased labels of the split that chooses, and the mIoU of each.

    It is one of the settings; None for :data:`THRESHOLDS`, of photographs :data:`SIMILARITIES`.
    """
    curve, settings = [], settings or (THRESHOLDS if lab.drawn else SIMILARITIES)
    for threshold in settings:
        config = DebiasConfig(threshold=threshold)
        cleaned = debias(labels, features, clusters, config, device=lab.device)
        curve.append(row_of(label_scores(cleaned, lab.choose_on))["miou"])
    return settings[curve.index(max(curve))], curve


def network(
    lab: Workbench,
    classifier: Method,
    labels: Records,
    refill: Refill = "none",
    *,
    book: int | None = None,
    config: MARSConfig | None = None,
) -> tuple[MARS, History]:
    """The segmentation network after training on labels, and how it went: every row of the chapter, by one recipe.

    Args:
        lab: The run.
        classifier: Every network starts from its backbone, and so needs few updates to tell the species apart. Of a
            frozen trunk, all but the deepest stage stays as the classifier left it.
        labels: What is learnt.
        refill: What becomes of dropped labels.
        book: Passes through the images; None for five, of photographs :data:`PASSES`.
        config: Of the network; None for :data:`NETWORK`, of photographs :data:`OF_PHOTOGRAPHS`.
    """
    usual = NETWORK if lab.drawn else OF_PHOTOGRAPHS
    batch_size, often = (4, 5) if lab.drawn else (8, PASSES)
    net = lab.build(MARS, replace(config or usual, refill=refill))
    net.backbone.load_state_dict(classifier.backbone.state_dict())
    net.teacher.follow(net, momentum=0.0)
    if lab.trunk:
        freeze_trunks(net, net.backbone.stages[-2])  # as the classifier left it, and so once for both networks
    net = net.to(memory_format=torch.channels_last)
    return net, lab.fit(net, labels, batch_size=batch_size, epochs=passes(lab, book or often))


def companion_pixels(lab: Workbench, split: str = "test", count: int = 200) -> Tensor:
    """Where the habitat object of its species is seen in each of the first images of a split, (N, H, W) bool.

    It is where the same image, drawn without the object, differs. Images without one show it nowhere; neither do those
    that another object strays into once it is left out.
    """
    along, alone = lab.split(split), lab.split(split, cooccurrence=0.0)
    at = range(min(count, len(along)))
    one, two = along.batch(at), alone.batch(at)
    had, lost = (
        torch.tensor([any(thing["companion"] for thing in row) for row in batch["objects"]]) for batch in (one, two)
    )
    differs = (one["images"] - two["images"]).abs().sum(1) > 0.05
    return differs & (had & ~lost)[:, None, None] & (one["masks"] == 0)


def row_of(measured: MaskMeasurement) -> dict[str, Any]:
    """The scores of masks; the IoU of each class; and, where there are loners, of these and the others in the mean."""
    ious = metrics.iou(measured.confusions[0].matrix)[1:].nan_to_num()
    loner = torch.tensor([name in LONERS for name in measured.classes])
    groups = {"loners": float(ious[loner].mean()), "companioned": float(ious[~loner].mean())} if loner.any() else {}
    each = {f"iou_{name}": float(value) for name, value in zip(measured.classes, ious, strict=True)}
    return measured.numbers({}) | groups | each
