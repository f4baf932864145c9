"""ImageNet classifiers: a backbone, the head that its publishers trained, and the names of the 1000 classes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision import models

from wsss_lib.backbones import timm_nets
from wsss_lib.backbones.base import Backbone, StagedBackbone
from wsss_lib.backbones.torchvision_nets import NAMES, RESNETS
from wsss_lib.backbones.vit import TransformerBackbone

CAM_NAMES = (*RESNETS, "mobilenet_v2", *timm_nets.NAMES)
"""Networks whose published head is global average pooling and one linear layer, so that CAM is exact."""
LAYOUT = "its publishers' layout (torchvision's or timm's) with the head for 1000 classes"


class ImageNetClassifier(nn.Module):
    """A published classifier, its backbone apart from its head: ``forward`` maps images in [0, 1] to (N, 1000) logits.

    Where the head is global average pooling and one linear layer (ResNet, MobileNetV2, EfficientNet),
    s_c = Σ_k W_ck ⟨A_k⟩ + b_c and CAM is exact, with ``weight`` and ``bias``. VGG16, MobileNetV3 and DeiT put something
    else between features and scores: ``weight`` says so, and Grad-CAM is the way. Used in chapter 1.

    Attributes:
        backbone: Gives the features.
        head: Deepest features (N, C, h, w) → logits (N, 1000); for a ViT the class token (N, D) → logits.
        categories: The class names, ImageNet's 1000 in torchvision's order unless others are given; of ImageNet's, two
            ("crane", "maillot") occur twice.
        layer: Name of the layer at which Grad-CAM should look, for ``get_submodule``: the deepest grid, or, in a ViT,
            the LayerNorm before the last attention (after it, patches no longer reach the class token).
    """

    def __init__(self, backbone: Backbone, head: nn.Module, categories: Sequence[str] | None = None) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        meta = models.get_model_weights("mobilenet_v2")["IMAGENET1K_V1"].meta  # the same for all of torchvision's
        self.categories = tuple(meta["categories"] if categories is None else categories)
        if isinstance(backbone, StagedBackbone):
            self.layer = f"backbone.blocks.{backbone.stages[-1]}"
        else:
            self.layer = f"backbone.vit.blocks.{len(backbone.stages) - 2}.norm1"

    def forward(self, images: Tensor) -> Tensor:
        if isinstance(self.backbone, TransformerBackbone):
            return self.head(self.backbone.tokens(images)[:, 0])  # (N, 1000)
        return self.head(self.backbone(images)[self.backbone.stages[-1]])

    @property
    def has_cam(self) -> bool:
        """Whether the head is global average pooling and one linear layer, so that CAM is exact."""
        linear = [layer for layer in self.head.modules() if isinstance(layer, nn.Linear)]
        return isinstance(self.backbone, StagedBackbone) and len(linear) == 1

    @property
    def weight(self) -> Tensor:
        """Head weights W, (1000, C).

        Raises:
            ValueError: The head is more than global average pooling and one linear layer.
        """
        return self._linear().weight

    @property
    def bias(self) -> Tensor:
        """Head biases b, (1000,); CAM never adds them to a map.

        Raises:
            ValueError: The head is more than global average pooling and one linear layer.
        """
        return self._linear().bias

    def _linear(self) -> nn.Linear:
        if not self.has_cam:
            raise no_cam(self.backbone.name)
        return next(layer for layer in self.head.modules() if isinstance(layer, nn.Linear))


def no_cam(name: str) -> ValueError:
    """The error for a network whose published head CAM cannot read, with the way out."""
    return ValueError(
        f"{name} has no global average pooling with one linear layer behind its last features, so CAM does not apply "
        "to its published head: use Grad-CAM or Eigen-CAM, or CAM with mobilenet_v2 or a ResNet."
    )


def head_of(name: str, classifier: nn.Module) -> nn.Module:
    """Take the head off a torchvision or timm classifier, as a module of its own that shares the weights."""
    if name.startswith("deit"):
        return classifier.get_submodule("head")
    if name not in NAMES:
        return timm_nets.head_of(name, classifier)
    layers: list[nn.Module] = []
    if name == "vgg16":  # the fifth pooling, which `cut` leaves to the head, and pooling to 7 × 7
        layers += [classifier.get_submodule("features")[-1], classifier.get_submodule("avgpool")]  # type: ignore[index]
    else:
        layers.append(nn.AdaptiveAvgPool2d(1))
    layers.append(nn.Flatten())
    last = classifier.get_submodule("fc" if name.startswith("resnet") else "classifier")
    layers += list(last) if isinstance(last, nn.Sequential) else [last]
    return nn.Sequential(*layers)
