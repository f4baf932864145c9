"""DTMR in plain PyTorch: which of several critters a sentence means, from sentences alone.

    python examples/dtmr.py                 about half a minute on two cores

Sun et al., Discriminative Triad Matching and Reconstruction, IEEE TPAMI 2021. Chapter 10 builds it step by step.
"""

import argparse

import torch
from torch.utils.data import DataLoader

from wsss_lib import figures
from wsss_lib.backbones import backbone
from wsss_lib.data import collate, load
from wsss_lib.data.worlds.sentences import KINDS
from wsss_lib.evaluate import measure_grounding
from wsss_lib.files import write_atomically
from wsss_lib.methods import DTMR
from wsss_lib.train.region_memory import RegionRecords


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1200, help="scenes to train on")
    parser.add_argument("--epochs", type=int, default=16, help="passes through them")
    parser.add_argument("--seed", type=int, default=0, help="of fresh weights and of the order of scenes")
    parser.add_argument("--picture", default="dtmr.png", help="file of the boxes that are drawn at the end")
    options = parser.parse_args()
    torch.manual_seed(options.seed)

    train = load("sentences", split="train", count=options.images)
    report = load("sentences", split="test", count=min(options.images, 300))
    # The backbone is frozen, so what it sees in each proposal is computed once.
    network = backbone("tiny_cnn", weights="shipped")
    batches = DataLoader(RegionRecords(train, network), batch_size=16, shuffle=True, collate_fn=collate)

    # A sentence becomes three words; a pair of regions is right if the words can be rebuilt from it.
    method = DTMR(network)
    optimiser = torch.optim.AdamW(method.parameter_groups(lr=5e-3), lr=5e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.epochs * len(batches))

    for epoch in range(options.epochs):
        for batch in batches:  # regions, proposals and sentences of each image; never which region is meant
            terms = method.losses(batch)  # named scalars
            optimiser.zero_grad()
            sum(terms.values()).backward()
            optimiser.step()
            schedule.step()
        print(f"epoch {epoch + 1}: " + ", ".join(f"{name} {term:.3f}" for name, term in terms.items()))

    measured = measure_grounding(method.answer, RegionRecords(report, network), kinds=KINDS)
    for name, share in measured.numbers({}).items():  # of the sentences, whose box has an IoU of one half at least
        print(f"{name} {share:.3f}")

    batch = report.batch(range(4))
    with torch.no_grad():
        boxes = method.eval().answer(batch)  # of each image (Q, 4) xyxy pixels, one a sentence
    figure, axes = figures.canvas(1, 4, size=(10, 3))
    for i, ax in enumerate(axes):
        figures.overlay(ax, batch["images"][i], title=batch["sentences"][i][0])
        figures.boxes(ax, batch["sentence_boxes"][i][:1])
        figures.boxes(ax, boxes[i][:1], predicted=True)
    write_atomically(options.picture, figures.png(figure))
    print(f"{options.picture}: solid is what the sentence means, dashed what was chosen")


if __name__ == "__main__":
    main()
