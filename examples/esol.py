"""ESOL in plain PyTorch: a classifier, a sampler that climbs its loss, and one that shrinks the map again.

    python examples/esol.py                about a minute on two cores

Li et al., Expansion and Shrinkage of Localization, NeurIPS 2022. Chapter 7 builds it step by step.
"""

import argparse
from bisect import bisect_right

import torch
from torch.utils.data import DataLoader

from wsss_lib import figures
from wsss_lib.backbones import backbone
from wsss_lib.data import collate, load
from wsss_lib.evaluate import measure, scores
from wsss_lib.files import write_atomically
from wsss_lib.methods import ESOL, Progress


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="critters to train on")
    parser.add_argument("--epochs", type=int, default=6, help="passes through them, in all three phases together")
    parser.add_argument("--seed", type=int, default=0, help="of fresh weights and of the order of images")
    parser.add_argument("--picture", default="esol.png", help="file of the maps that are drawn at the end")
    options = parser.parse_args()
    torch.manual_seed(options.seed)

    train = load("critters", split="train", count=options.images)
    choose, report = (load("critters", split=split, count=min(options.images, 100)) for split in ("val", "test"))
    batches = DataLoader(train, batch_size=32, shuffle=True, collate_fn=collate)

    method = ESOL(backbone("tiny_cnn", weights="shipped"), len(train.classes))
    # Small steps for the pretrained backbone; the new layers, which have no rate of their own, get the optimiser's.
    optimiser = torch.optim.AdamW(method.parameter_groups(lr=1e-3), lr=5e-3, weight_decay=1e-2)
    rates = [group["lr"] for group in optimiser.param_groups]
    steps, phases, step = options.epochs * len(batches), list(method.phases()), 0
    ends = [round(steps * sum(phase.share for phase in phases[: i + 1])) for i in range(len(phases))]

    for epoch in range(options.epochs):
        for batch in batches:  # images (N, 3, H, W), and labels (N, K): what is in them, never where
            if step == steps:  # a phase has ended early, and so does the run
                break
            at = bisect_right(ends, step)
            begins = ends[at - 1] if at else 0
            progress = Progress(step, steps, phases[at].name, step - begins, ends[at] - begins)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * phases[at].lr
            method.before_step(progress)
            terms = method.losses(batch)  # named scalars, whose gradient reaches what the phase trains
            optimiser.zero_grad()
            sum(terms.values()).backward()
            optimiser.step()
            with torch.no_grad():  # True: the expansion has gone far enough
                step = ends[at] if method.after_step(progress) else step + 1
        print(f"epoch {epoch + 1}: " + ", ".join(f"{name} {term:.3f}" for name, term in terms.items()))

    row = scores(measure(method, choose), measure(method, report))  # thresholds from val, numbers from test
    print(f"IoU of the object {row['iou']:.3f}, mIoU over classes {row['miou']:.3f}")

    batch = report.batch(range(8))
    with torch.no_grad():
        maps = method.localize(batch["images"], batch["labels"]).amax(dim=1)  # (8, h, w): of the classes present
    figure, alt = figures.gallery(batch["images"], maps, batch["masks"], threshold=row["thresholds"]["iou"])
    write_atomically(options.picture, figures.png(figure))
    print(f"{options.picture}: {alt}")


if __name__ == "__main__":
    main()
