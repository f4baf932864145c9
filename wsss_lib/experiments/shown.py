"""Photographs that may be shown: those that scikit-image ships under a free licence, as an ImageNet network sees them.

    for photo in shown("coffee", "rocket"):
        heat = full_size(photo.network, photo.image, photo.labels)

Nothing is trained: the network is EfficientNet-Lite0 with the weights that the extra ``photos`` installs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_lib.methods.cam import CAM

CREDITS = {
    "chelsea": "Chelsea the cat, by Stéfan van der Walt, CC0",
    "coffee": "a cup of coffee, by Rachel Michetti, CC0",
    "rocket": "the launch of a rocket, by SpaceX, public domain",
}
"""Who made them, and under which licence; in scikit-image's own words (``skimage.data``)."""
NETWORK = "tf_efficientnet_lite0"


@dataclass(frozen=True)
class Photograph:
    """A photograph and what the network says of it.

    Attributes:
        name: Of the photograph, one of :data:`CREDITS`.
        network: A CAM over the classes of ImageNet.
        image: (1, 3, H, W) in [0, 1].
        labels: (1, 1000), the class of the highest score.
        title: Name of that class.
        probability: Of that class, by a softmax over the scores.
    """

    name: str
    network: CAM
    image: Tensor
    labels: Tensor
    title: str
    probability: float


def shown(*names: str, device: str | torch.device = "cpu") -> list[Photograph]:
    """Photographs by name, and what the network says of them.

    Returns:
        The photographs; none, and a line that says why, where scikit-image or the network's weights are absent.

    Raises:
        ValueError: A name that is not one of :data:`CREDITS`.
    """
    if unknown := [name for name in names if name not in CREDITS]:
        raise ValueError(f"no photograph {unknown[0]!r} may be shown: choose from {', '.join(CREDITS)}")
    try:
        from skimage import data

        network = CAM.from_imagenet(NETWORK).to(device)
    except (ImportError, FileNotFoundError) as missing:
        print(f"No photograph here: {str(missing).splitlines()[0]}")
        return []
    photos = []
    for name in names:
        image = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None].float().to(device) / 255  # (1, 3, H, W)
        with torch.no_grad():
            likely = network(image).softmax(dim=1)  # (1, 1000)
        best = int(likely.argmax())
        labels = F.one_hot(likely.argmax(dim=1), likely.shape[1]).float()
        classes = network.classes or ()
        photos.append(Photograph(name, network, image, labels, classes[best], float(likely[0, best])))
    return photos
