"""How fast are the maps, beside pytorch-grad-cam, torch-cam and the obvious loop? `make bench` runs this.

Every row measures all competitors on the same input in the same process, in turn, several rounds; a ratio is the median
over the rounds of (their time / ours). Time is the processor time of this process, which other work on the machine
disturbs less than the wall clock. Ratios travel between machines better than seconds do, yet not perfectly: what is
recorded says on what it was measured.

    .venv-bench/bin/python benchmarks/bench_cams.py --rounds 5

writes results/bench_cams.json and prints the same as a Markdown table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np
import torch
from contest import Contest, compare, measure, record, table
from torch import Tensor
from torch.nn import functional as F
from torchvision.models import resnet18, resnet50

from wsss_lib import maps
from wsss_lib.backbones import backbone
from wsss_lib.methods import CAM, EigenCAM, EigenCAMConfig, GradCAM, GradCAMPlusPlus
from wsss_lib.methods.eigen_cam import project

try:
    import pytorch_grad_cam as pgc
    import torchcam.methods as tcam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
except ImportError as error:
    sys.exit(f"{error.name} is not installed, and this script measures against it: run it by `make bench`.")

BATCH, SEVERAL, VOC = 8, 5, 20
SHAPES = {
    "ResNet-18, 224 px: 512 × 7 × 7": (512, 7, 7),
    "ResNet-50, stride 16: 2048 × 14 × 14": (2048, 14, 14),
    "ResNet-50, stage of 512 channels: 512 × 28 × 28": (512, 28, 28),
}


def features_of_a_scene(c: int, h: int, w: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (N, C, h, w) ≥ 0 with the decaying spectrum of a trained network's, and the object's masks (N, h, w).

    An ellipse of an object's channels on a ground of other channels, thirty smooth patterns of falling strength, noise.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    y, x = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    centre, radius = 0.3 * normal(BATCH, 2, 1, 1), 0.4 + 0.3 * torch.rand(BATCH, 2, 1, 1, generator=generator)
    masks = ((y - centre[:, 0]) / radius[:, 0]) ** 2 + ((x - centre[:, 1]) / radius[:, 1]) ** 2 < 1  # (N, h, w)
    object_, ground = normal(2, c).relu().split(1)
    mixed = masks[:, None] * 2 * object_.view(1, c, 1, 1) + ~masks[:, None] * ground.view(1, c, 1, 1)
    fields = F.interpolate(normal(BATCH, 30, 4, 4), size=(h, w), mode="bicubic")
    strength = 0.85 ** torch.arange(30.0).view(1, 30, 1, 1)
    mixed = mixed + torch.einsum("nrhw,nrc->nchw", strength * fields, normal(BATCH, 30, c)) * 0.4
    return (mixed + 0.1 * normal(BATCH, c, h, w)).relu(), masks


def agreement(heats: Tensor, reference: Tensor) -> float:
    """The smallest absolute correlation of two batches of maps (N, h, w)."""
    a, b = (m.double().flatten(1) - m.double().flatten(1).mean(1, keepdim=True) for m in (heats, reference))
    return float(((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).abs().min())


def upside_down(heats: Tensor, masks: Tensor) -> int:
    """How many maps are lower on the object than around it."""
    inside = (heats * masks).sum((1, 2)) / masks.sum((1, 2))
    outside = (heats * ~masks).sum((1, 2)) / (~masks).sum((1, 2))
    return int((inside < outside).sum())


def svd_loop(features: Tensor) -> Tensor:
    """The obvious way: NumPy's thin SVD, image by image, centred as pytorch-grad-cam does."""
    heats = []
    for image in features.numpy():
        o = image.reshape(len(image), -1).T
        o = o - o.mean(axis=0)
        heats.append((o @ np.linalg.svd(o, full_matrices=False)[2][0]).reshape(image.shape[1:]))
    return torch.from_numpy(np.stack(heats))


def batched_svd(features: Tensor) -> Tensor:
    """The obvious way in torch: one call for the batch."""
    o = features.flatten(2).mT
    o = o - o.mean(dim=1, keepdim=True)
    return (o @ torch.linalg.svd(o, full_matrices=False).Vh[:, 0, :, None]).view(len(o), *features.shape[2:])


def eigen_rows(rounds: int) -> dict[str, Any]:
    """The projection alone, on features that are there already."""
    rows: dict[str, Any] = {}
    for name, shape in SHAPES.items():
        features, masks = features_of_a_scene(*shape)
        ours = project(features, centre=True, sign="mean_activation").maps
        array = features.numpy()
        contest: Contest = {
            "ours": lambda f=features: project(f, centre=True, sign="mean_activation"),
            "ours, eigh": lambda f=features: project(f, centre=True, sign="mean_activation", solver="eigh"),
            "ours, subspace": lambda f=features: project(f, centre=True, sign="mean_activation", solver="subspace"),
            "torch.linalg.svd, batched": lambda f=features: batched_svd(f),
            "numpy.linalg.svd, a loop": lambda f=features: svd_loop(f),
            "pytorch-grad-cam": lambda a=array: get_2d_projection(a),
        }
        rows[name] = {
            "speed": compare(measure(contest, rounds), "ours", BATCH),
            "correlation_with_numpy": agreement(ours, svd_loop(features)),
            "upside_down_ours": upside_down(ours, masks),
            "upside_down_pytorch_grad_cam": upside_down(torch.from_numpy(get_2d_projection(array)), masks),
            "images": BATCH,
        }
        print(f"  {name}", flush=True)
    return rows


def network_rows(rounds: int) -> dict[str, Any]:
    """From images to maps of the images' size, of one class and of several in each, ResNet-18 at 224 px, fresh weights.

    Who explains one class in each image needs the forward pass, so that no one can be faster than it. Images whose
    channels lie together in memory ("channels last") make this pass itself faster on a CPU, for whoever hands them so.
    """
    torch.manual_seed(0)
    model = resnet18(weights=None).eval()
    images, targets = torch.rand(BATCH, 3, 224, 224), list(range(BATCH))
    channels_last = images.contiguous(memory_format=torch.channels_last)
    labels = F.one_hot(torch.tensor(targets), 1000)
    several = (torch.arange(1000) < SEVERAL).expand(BATCH, -1)

    def forward() -> Tensor:
        with torch.no_grad():
            return model(images)

    rows: dict[str, Any] = {}
    for name, ours, theirs, beside in (
        ("Grad-CAM", GradCAM, pgc.GradCAM, tcam.GradCAM),
        ("Grad-CAM++", GradCAMPlusPlus, pgc.GradCAMPlusPlus, tcam.GradCAMpp),
    ):
        method = ours(model, "layer4")

        def ours_resized(method: GradCAM = method, images: Tensor = images) -> Tensor:
            heats = method.localize(images, labels)[torch.arange(BATCH), targets]
            return maps.resize(heats, (224, 224))

        def ours_of_several(method: GradCAM = method) -> Tensor:
            heats = method.localize(images, several)[:, :SEVERAL]
            return maps.resize(heats, (224, 224))

        with (
            theirs(model=model, target_layers=[model.layer4]) as other,
            beside(model, target_layer="layer4") as third,
        ):
            contest: Contest = {
                "ours": ours_resized,
                "pytorch-grad-cam": lambda other=other: other(images, [ClassifierOutputTarget(k) for k in targets]),
                "torch-cam": lambda third=third: maps.resize(third(targets, model(images))[0], (224, 224)),
                "the forward pass alone": forward,
                "ours, channels last": lambda ours=ours_resized: ours(images=channels_last),
            }
            rows[name] = {"speed": compare(measure(contest, rounds), "ours", BATCH), "images": BATCH}

            def theirs_of_several(other: Any = other) -> list[np.ndarray]:
                return [other(images, [ClassifierOutputTarget(k)] * BATCH) for k in range(SEVERAL)]

            def third_of_several(third: Any = third) -> list[Tensor]:
                scores = model(images)
                kept = [third([k] * BATCH, scores, retain_graph=k + 1 < SEVERAL)[0] for k in range(SEVERAL)]
                return [maps.resize(heats, (224, 224)) for heats in kept]

            contest = {
                "ours": ours_of_several,
                "pytorch-grad-cam": theirs_of_several,
                "torch-cam": third_of_several,
                "the forward pass alone": forward,
            }
            speed = compare(measure(contest, rounds), "ours", BATCH)
            rows[f"{name}, {SEVERAL} classes of each image"] = {"speed": speed, "images": BATCH}
        model.zero_grad()
        print(f"  {name}", flush=True)
    cam = CAM(backbone("resnet18", weights=None), VOC).eval()
    deepest = cam.backbone.stages[-1]

    def scores() -> Tensor:
        return F.linear(cam.backbone(images, (deepest,))[deepest].mean((2, 3)), cam.head.weight)

    with torch.no_grad():
        contest = {"ours": lambda: cam.localize(images), "the forward pass alone": scores}
        rows[f"CAM, {VOC} classes"] = {"speed": compare(measure(contest, 5 * rounds), "ours", BATCH), "images": BATCH}
    print("  CAM", flush=True)
    method = EigenCAM(model, "layer4", EigenCAMConfig(centre=True, sign="mean_activation"))
    with pgc.EigenCAM(model=model, target_layers=[model.layer4]) as other, torch.no_grad():
        contest = {
            "ours": lambda: maps.resize(method.localize(images), (224, 224)),
            "pytorch-grad-cam": lambda: other(images, [ClassifierOutputTarget(k) for k in targets]),
            "the forward pass alone": lambda: model(images),
        }
        rows["Eigen-CAM"] = {"speed": compare(measure(contest, rounds), "ours", BATCH), "images": BATCH}
    print("  Eigen-CAM", flush=True)
    return rows


def share_of_forward(rounds: int) -> dict[str, Any]:
    """What the projection adds to the forward pass that it needs: ResNet-50, 224 px, last features 2048 × 7 × 7."""
    torch.manual_seed(0)
    model, images = resnet50(weights=None).eval(), torch.rand(BATCH, 3, 224, 224)
    features, _ = features_of_a_scene(2048, 7, 7)
    with torch.no_grad():
        seconds = measure({"forward": lambda: model(images), "projection": lambda: project(features)}, rounds)
    shares = [p / f for p, f in zip(seconds["projection"], seconds["forward"], strict=True)]
    return {"median": statistics.median(shares), "least": min(shares), "most": max(shares)}


def as_markdown(data: dict[str, Any]) -> str:
    """The ratios as one table."""
    rows = {**{f"projection, {k}": v for k, v in data["projection"].items()}, **data["network"]}
    forward = f"Projection / forward pass of ResNet-50: {100 * data['share_of_forward']['median']:.2g} %."
    return f"{table(rows)}\n\n{forward}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="how often each competitor runs (default: 5)")
    parser.add_argument("--dry-run", action="store_true", help="print the table, record nothing")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}: run at least one")
    print(f"{BATCH} images at a time, {options.rounds} rounds, {torch.get_num_threads()} threads")
    data = {
        "projection": eigen_rows(options.rounds),
        "network": network_rows(options.rounds),
        "share_of_forward": share_of_forward(options.rounds),
        "rounds": options.rounds,
        "peers": {name: metadata.version(name) for name in ("grad-cam", "torchcam")},
    }
    print("\n" + as_markdown(data))
    if not options.dry_run:
        record(
            "bench_cams",
            data,
            command="make bench",
            fingerprint="random features and random weights, drawn from the seed",
            note="Ratios are medians over rounds that alternate the competitors on the same input.",
        )


if __name__ == "__main__":
    main()
