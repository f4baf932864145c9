"""MARS in plain PyTorch: labels lose what always comes along, and a network's own average fills what they lost.

    python examples/mars.py                about two minutes on two cores

Jo et al., MARS: Model-agnostic Biased Object Removal, ICCV 2023. Chapter 8 builds it step by step.
"""

import argparse

import torch
from torch.utils.data import DataLoader

from wsss_lib import figures, maps, metrics
from wsss_lib.backbones import backbone
from wsss_lib.data import collate, load
from wsss_lib.evaluate import measure, measure_masks
from wsss_lib.files import write_atomically
from wsss_lib.methods import CAM, Progress
from wsss_lib.segment import MARS, CentredFeatures, DebiasConfig, Provenance, PseudoLabels, cluster, debias


def train(learner, records, epochs, batch_size):
    batches = DataLoader(records, batch_size=batch_size, shuffle=True, collate_fn=collate)
    steps, step = epochs * len(batches), 0
    # Small steps for the pretrained backbone; the new layers, which have no rate of their own, get the optimiser's.
    optimiser = torch.optim.AdamW(learner.parameter_groups(lr=1e-3), lr=5e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for epoch in range(epochs):
        for batch in batches:
            terms = learner.losses(batch)  # named scalars
            optimiser.zero_grad()
            sum(terms.values()).backward()
            optimiser.step()
            schedule.step()
            learner.after_step(Progress(step, steps, "all", step, steps))  # MARS moves its teacher
            step += 1
        print(f"epoch {epoch + 1}: " + ", ".join(f"{name} {term:.3f}" for name, term in terms.items()))
    return learner.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500, help="critters to train on")
    parser.add_argument("--epochs", type=int, default=5, help="passes through them, in each of two trainings")
    parser.add_argument("--seed", type=int, default=0, help="of fresh weights and of the order of images")
    parser.add_argument("--picture", default="mars.png", help="file of the masks that are drawn at the end")
    options = parser.parse_args()
    torch.manual_seed(options.seed)

    world = {"cooccurrence": 0.9, "companion_size": 2.0, "scale": (0.40, 0.65), "body_evidence": 0.8}
    records = load("critters", split="train", count=options.images, **world)
    choose, report = (load("critters", split=s, count=min(options.images, 100), **world) for s in ("val", "test"))

    cam = train(CAM(backbone("tiny_cnn", weights="shipped"), len(records.classes)), records, options.epochs, 32)
    cut = metrics.choose_threshold(measure(cam, choose, score_boxes=False).miou()).value

    def seeds(batch):  # masks (N, H, W): a class where its map exceeds the cut, else background
        heat = maps.resize(cam.localize(batch["images"], batch["labels"]), tuple(batch["images"].shape[2:]))
        return maps.seeds(heat, batch["labels"], cut)

    labels = PseudoLabels.of(records, seeds, Provenance("cam", "none", options.seed, {"background": cut}), network=cam)
    # Clusters of features that know no labels; a class keeps what lies far from the backgrounds of all images.
    features = CentredFeatures.of(backbone("tiny_cnn", weights="unlabelled"), records).eval()
    cleaned = debias(labels, features, cluster(labels, features), DebiasConfig(threshold=0.2))
    print(f"{1 - cleaned.coverage():.1%} of the pixels lost their label")

    network = MARS(backbone("tiny_cnn", weights="shipped"), len(records.classes))
    train(network, cleaned, options.epochs, 8)
    of_seeds, of_network = (measure_masks(f, report).numbers({})["miou"] for f in (seeds, network.answer))
    print(f"mIoU of the network {of_network:.3f}, of seeds of the same images, labels given, {of_seeds:.3f}")

    batch = report.batch(range(8))
    with torch.no_grad():
        figure, alt = figures.gallery(batch["images"], (network.answer(batch) > 0).float(), batch["masks"])
    write_atomically(options.picture, figures.png(figure))
    print(f"{options.picture}: {alt}")


if __name__ == "__main__":
    main()
