"""SSC in plain PyTorch: maps that redraw their image, and are even within superpixels.

    python examples/ssc.py                 about a minute on two cores

Chen et al., Spatial Structure Constraints, IEEE TIP 2024. Chapter 6 builds it step by step.
"""

import argparse

import torch
from torch.utils.data import DataLoader

from wsss_lib import figures
from wsss_lib.backbones import backbone
from wsss_lib.data import collate, load
from wsss_lib.evaluate import measure, scores
from wsss_lib.files import write_atomically
from wsss_lib.methods import SSC, Progress
from wsss_lib.refine import WithSuperpixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="critters to train on")
    parser.add_argument("--epochs", type=int, default=2, help="passes through them")
    parser.add_argument("--seed", type=int, default=0, help="of fresh weights and of the order of images")
    parser.add_argument("--picture", default="ssc.png", help="file of the maps that are drawn at the end")
    options = parser.parse_args()
    torch.manual_seed(options.seed)

    # Superpixels are cut once for each image, and come with it.
    train = WithSuperpixels(load("critters", split="train", count=options.images))
    choose, report = (load("critters", split=split, count=min(options.images, 100)) for split in ("val", "test"))
    batches = DataLoader(train, batch_size=32, shuffle=True, collate_fn=collate)

    # A classifier whose strongest cells are cut (DRS), so that its maps spread; two losses hold them to the image.
    method = SSC(backbone("tiny_cnn", weights="shipped"), len(train.classes))
    # Small steps for the pretrained backbone; the head, which has no rate of its own, gets the optimiser's.
    optimiser = torch.optim.AdamW(method.parameter_groups(lr=1e-3), lr=5e-3, weight_decay=1e-2)
    steps = options.epochs * len(batches)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

    step = 0
    for epoch in range(options.epochs):
        for batch in batches:  # images (N, 3, H, W), labels (N, K) and superpixels (N, H, W); never where a class is
            method.before_step(Progress(step, steps, "training", step, steps))  # ends the warm-up
            step += 1
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
