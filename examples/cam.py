"""CAM in plain PyTorch: train a classifier on image labels, then read from it where things are.

    python examples/cam.py                 about a minute on two cores

Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016. Chapter 1 builds it step by step.
"""

import argparse

import torch
from torch.utils.data import DataLoader

from wsss_lib import figures
from wsss_lib.backbones import backbone
from wsss_lib.data import collate, load
from wsss_lib.evaluate import measure, scores
from wsss_lib.files import write_atomically
from wsss_lib.methods import CAM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1600, help="critters to train on")
    parser.add_argument("--epochs", type=int, default=3, help="passes through them")
    parser.add_argument("--seed", type=int, default=0, help="of fresh weights and of the order of images")
    parser.add_argument("--picture", default="cam.png", help="file of the maps that are drawn at the end")
    options = parser.parse_args()
    torch.manual_seed(options.seed)

    train = load("critters", split="train", count=options.images)
    choose, report = (load("critters", split=split, count=min(options.images, 100)) for split in ("val", "test"))
    batches = DataLoader(train, batch_size=32, shuffle=True, collate_fn=collate)

    # A backbone, average pooling and a linear layer; the mean of the class's map is its score.
    method = CAM(backbone("tiny_cnn", weights="shipped"), len(train.classes))
    # Small steps for the pretrained backbone; the new layers, which have no rate of their own, get the optimiser's.
    optimiser = torch.optim.AdamW(method.parameter_groups(lr=1e-3), lr=5e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.epochs * len(batches))

    for epoch in range(options.epochs):
        for batch in batches:  # images (N, 3, H, W), and labels (N, K): what is in them, never where
            terms = method.losses(batch)  # named scalars
            optimiser.zero_grad()
            sum(terms.values()).backward()
            optimiser.step()
            schedule.step()
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
