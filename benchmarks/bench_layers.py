"""How fast is Grad-CAM at deep and at middle layers, beside pytorch-grad-cam and torch-cam? `make bench` runs this.

At the last layer nobody can be much faster than the forward pass alone, which stands beside. At a middle layer the
backward pass has a share: through the layers behind it, once for each class or once for all. Rows are measured as in
bench_cams.py; several classes are those of each image.

    .venv-bench/bin/python benchmarks/bench_layers.py --rounds 5

writes results/bench_layers.json and prints the same as a Markdown table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import torch
from contest import Contest, compare, measure, record, table
from torch import Tensor
from torch.nn import functional as F
from torchvision.models import resnet18

from wsss_lib import maps
from wsss_lib.methods import GradCAM

try:
    import pytorch_grad_cam as pgc
    import torchcam.methods as tcam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
except ImportError as error:
    sys.exit(f"{error.name} is not installed, and this script measures against it: run it by `make bench`.")

BATCH, SEVERAL, SIDE = 8, 5, 224
LAYERS = ("layer4", "layer3", "layer2")


def layer_rows(layer: str, rounds: int) -> dict[str, Any]:
    """From images to maps of the images' size, of one class and of several in each; ResNet-18, fresh weights."""
    torch.manual_seed(0)
    model = resnet18(weights=None).eval()
    images, targets = torch.rand(BATCH, 3, SIDE, SIDE), list(range(BATCH))
    one = F.one_hot(torch.tensor(targets), 1000)
    several = (torch.arange(1000) < SEVERAL).expand(BATCH, -1)
    method = GradCAM(model, layer)

    def forward() -> Tensor:
        with torch.no_grad():
            return model(images)

    def ours(labels: Tensor, count: int) -> Tensor:
        heats = method.localize(images, labels)
        kept = heats[:, :count] if count > 1 else heats[torch.arange(BATCH), targets][:, None]
        return maps.resize(kept, (SIDE, SIDE))

    def of_torch_cam(other: Any, classes: Sequence[list[int]]) -> list[Tensor]:
        scores = model(images)
        heats = [other(each, scores, retain_graph=n + 1 < len(classes))[0] for n, each in enumerate(classes)]
        return [maps.resize(heat, (SIDE, SIDE)) for heat in heats]

    with (
        pgc.GradCAM(model=model, target_layers=[model.get_submodule(layer)]) as other,
        tcam.GradCAM(model, target_layer=layer) as third,
    ):
        contests: dict[str, Contest] = {
            f"Grad-CAM at {layer}": {
                "ours": lambda: ours(one, 1),
                "pytorch-grad-cam": lambda: other(images, [ClassifierOutputTarget(k) for k in targets]),
                "torch-cam": lambda: of_torch_cam(third, [targets]),
                "the forward pass alone": forward,
            },
            f"Grad-CAM at {layer}, {SEVERAL} classes of each image": {
                "ours": lambda: ours(several, SEVERAL),
                "torch-cam": lambda: of_torch_cam(third, [[k] * BATCH for k in range(SEVERAL)]),
                "the forward pass alone": forward,
            },
        }
        return {
            name: {"speed": compare(measure(contest, rounds), "ours", BATCH), "images": BATCH}
            for name, contest in contests.items()
        }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each competitor runs (default: 5)")
    parser.add_argument("--dry-run", action="store_true", help="print the table, record nothing")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}: run at least one")
    print(f"{BATCH} images at a time, {options.rounds} rounds, {torch.get_num_threads()} threads")
    rows = {name: row for layer in LAYERS for name, row in layer_rows(layer, options.rounds).items()}
    peers = {name: metadata.version(name) for name in ("grad-cam", "torchcam")}
    print("\n" + table(rows))
    if not options.dry_run:
        record(
            "bench_layers",
            {"layers": rows, "rounds": options.rounds, "peers": peers},
            command=f"python benchmarks/bench_layers.py --rounds {options.rounds}",
            fingerprint="random images and random weights, drawn from the seed",
            note="Ratios are medians over rounds that alternate the competitors on the same input.",
        )


if __name__ == "__main__":
    main()
