"""Train Point-DETR3D on drawn streets in plain PyTorch: a teacher makes boxes of clicks, a detector learns from them.

    python examples/point_detr3d.py                about two minutes on two cores

Gao et al., Point-DETR3D, AAAI 2024. Chapter 11 builds it step by step.
"""

import argparse

import torch
from torch.utils.data import DataLoader

from wsss_lib import figures
from wsss_lib.data import collate, load
from wsss_lib.data.worlds.lidar import HiddenBoxes, ReplacedBoxes, SpinScene
from wsss_lib.evaluate import measure_boxes3d
from wsss_lib.files import write_atomically
from wsss_lib.methods import CenterPoint, PointDETR3D
from wsss_lib.methods.point_detr3d import boxes_of, class_mean_boxes
from wsss_lib.metrics import QualityByDistance

LABELLED = 0.1  # of the scenes, that have boxes


def train(method, records, *, epochs, batch_size, lr, seed, name):
    """Minimise the sum of a method's losses; every scene is turned about the sensor each time it comes."""
    spin, coin = SpinScene(), torch.Generator().manual_seed(seed)
    turned = DataLoader(
        records, batch_size, shuffle=True, collate_fn=lambda samples: collate([spin(s, coin) for s in samples])
    )
    optimiser = torch.optim.AdamW(method.parameter_groups(lr=lr), lr=lr, weight_decay=1e-2)
    for epoch in range(epochs):
        for batch in turned:
            terms = method.losses(batch)  # named scalars
            optimiser.zero_grad()
            sum(terms.values()).backward()
            optimiser.step()
        print(f"{name} {epoch + 1}: " + ", ".join(f"{key} {term:.3f}" for key, term in terms.items()))


def cars(boxes, records):
    """Mean IoU of cars on the ground, of boxes in the clicks' order."""
    quality = QualityByDistance((0, 40))
    for made, sample in zip(boxes, records, strict=True):
        member = sample["box3d_labels"] == 0
        quality.update(made[member], sample["boxes3d"][member])
    return quality.iou()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200, help="scenes to train on")
    parser.add_argument("--epochs", type=int, default=6, help="passes of the student; the teacher makes more")
    parser.add_argument("--seed", type=int, default=0, help="of fresh weights and of the order of scenes")
    parser.add_argument("--picture", default="street.png", help="file of the scene that is drawn at the end")
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    scenes, test = load("lidar", count=given.images), load("lidar", split="test", count=min(given.images, 60))
    known, classes = max(1, round(LABELLED * given.images)), len(scenes.classes)
    options = {"batch_size": 6, "lr": 3e-3, "seed": given.seed}
    teacher = PointDETR3D(classes)  # a click and its class to a box; it sees boxes of a few scenes only
    train(teacher, scenes.subset(range(known)), epochs=8 * given.epochs, **options, name="teacher")
    made = boxes_of(teacher, HiddenBoxes(scenes))  # of every click, once
    student = CenterPoint(classes)  # an ordinary detector; real and made boxes count alike
    replaced = ReplacedBoxes(scenes, {i: made[i] for i in range(known, len(scenes))})
    train(student, replaced, epochs=given.epochs, **options, name="epoch")

    samples, boxes = [test[i] for i in range(len(test))], boxes_of(teacher, test)
    mean = [class_mean_boxes(s["clicks"], s["box3d_labels"], teacher.sizes) for s in samples]
    print(f"IoU of cars: {cars(mean, samples):.3f} at the click, {cars(boxes, samples):.3f} with the teacher")
    print(f"mAP of the student: {measure_boxes3d(student.answer, test).numbers({})['mean_ap']:.3f}")
    first = samples[0]
    figure, alt = figures.street(first["points"], first["panorama"], truth=first["boxes3d"], boxes=boxes[0])
    write_atomically(given.picture, figures.png(figure))
    print(f"{given.picture}: {alt}")


if __name__ == "__main__":
    main()
