"""Grad-CAM and Grad-CAM++: class activation maps of networks that do not end in pooling and one linear layer.

Selvaraju et al., *Grad-CAM*, ICCV 2017; Chattopadhay et al., *Grad-CAM++*, WACV 2018. Built in chapter 1.

The weights that CAM reads off the last layer are asked of the gradient g = ∂s_c/∂A of the logit s_c instead, at
any layer A with K channels on a grid of Z = hw cells:

    Grad-CAM      w_k = 1/Z Σ_u g_k(u)                                        (eq. 1)
    Grad-CAM++    w_k = Σ_u a_k(u) ReLU(g_k(u)),   a = g² / (2g² + g³ Σ_v A_k(v))   (section 3)
    both          L_c(u) = ReLU(Σ_k w_k A_k(u))                               (eq. 2)

Behind average pooling and a linear layer W, g = W/Z everywhere: Grad-CAM is CAM divided by Z, the same map once it is
normalised. Grad-CAM++ gives w_k = ReLU(W_ck) / (2 + W_ck ⟨A_k⟩): evidence against the class is dropped, so its maps
are larger and tell classes apart less.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsss_lib.backbones.base import Backbone
from wsss_lib.methods.cam import CAM
from wsss_lib.methods.contract import Method, Normalisation, Prediction, check_labels
from wsss_lib.methods.registry import register
from wsss_lib.methods.taps import Layer, find_layer, grid_of, layer_name, only, tapped
from wsss_lib.modes import evaluating

_GRADIENTS_AT_ONCE = 2**24
"""Numbers in the gradients of several classes that are computed in one backward pass."""


def grad_cam_weights(features: Tensor, gradients: Tensor) -> Tensor:
    """Weight each channel by the mean of its gradient: w_k = 1/Z Σ_u g_k(u).

    Args:
        features: (N, C, h, w); not used, there so that both rules are called alike.
        gradients: (N, C, h, w), of one logit per image with respect to the features.

    Returns:
        (N, C), signed. Selvaraju et al. 2017, eq. 1. Built in chapter 1.
    """
    return gradients.mean(dim=(2, 3))  # (N, C)


def grad_cam_plus_plus_weights(features: Tensor, gradients: Tensor) -> Tensor:
    """Weight each channel by its positive gradients, the less the more of the channel is active.

    w_k = Σ_u a_k(u) ReLU(g_k(u)) with a = g² / (2g² + g³ S_k), S_k = Σ_v A_k(v). Only g > 0 counts, and there
    a = 1 / (2 + g S_k). Written so, nothing underflows and no ε is needed: with features after a ReLU the denominator
    is at least 2. The usual ε = 10⁻⁶ beside 2g² decides the result wherever g < 10⁻³, which is everywhere in an
    ordinary network (g ≈ W/Z).

    Args:
        features: (N, C, h, w), non-negative as the paper assumes. With signed ones (tokens of a ViT) the denominator
            can come near zero and a single channel dominate: prefer Grad-CAM there.
        gradients: (N, C, h, w), of one logit per image. The paper differentiates exp(s); the factor exp(s), the same
            for all channels, is left out, and with it the danger of overflow.

    Returns:
        (N, C). Chattopadhay et al. 2018, section 3. Built in chapter 1.
    """
    positive = F.relu(gradients)
    total = features.sum(dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
    return (positive / (2 + positive * total)).sum(dim=(2, 3))  # (N, C)


@register("gradcam", title="Grad-CAM", chapter=1)
class GradCAM(Method):
    """Grad-CAM at any layer of any classifier.

    The model keeps its modes, hooks, ``requires_grad`` and ``.grad``, also when it raises. It may be frozen, and the
    caller may be under ``torch.no_grad()`` or ``torch.inference_mode()``. It is run in evaluation mode: batch norm in
    training mode would mix the images of a batch, and the gradient of one image's score would say something of
    another's pixels.

    Cost: one forward pass, and one backward pass through the layers behind ``layer`` only; before it nothing is kept.
    It explains as many classes at once as are asked of the image with most of them: K where ``labels`` is None.

    Args:
        model: Images (N, 3, H, W) → logits (N, K), or an object with such ``.logits``.
        layer: Dotted path (``"layer4"``, ``"blocks.11.norm1"``) or the module; the last one with a grid as a rule. In a
            ViT with a class-token head take the norm *before* the last block's attention: behind that attention
            nothing of the patches reaches the logits, and their gradient is zero.
        grid: (h, w) of a ViT's patches; None finds it from the image's aspect ratio. Tokens before the patches (class,
            distillation, registers) are dropped.
        reshape: Turns the layer's output into (N, C, h, w) or (N, T, C) where it is neither.
        normalisation: ``"max"`` (ReLU, then division by each map's maximum) or ``"minmax"`` (signed, stretched).
        create_graph: Whether maps can be differentiated with respect to images and parameters. The whole graph is
            kept then; otherwise the map is a constant.

    Raises:
        ValueError: No such layer.
    """

    waits = True  # for the number of classes to explain, and to see that a gradient arrives

    def __init__(
        self,
        model: nn.Module,
        layer: Layer,
        *,
        grid: tuple[int, int] | None = None,
        reshape: Callable[[Tensor], Tensor] | None = None,
        normalisation: Normalisation = "max",
        create_graph: bool = False,
    ) -> None:
        super().__init__()
        find_layer(model, layer)
        self.model = model
        self.layer: str | nn.Module
        # A layer given as a module already lives inside the model: registering it twice would double its parameters.
        object.__setattr__(self, "layer", layer)
        self.grid, self.reshape = grid, reshape
        self.normalisation = normalisation
        self.create_graph = create_graph

    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Channel weights (N, C) from features and gradients (N, C, h, w)."""
        return grad_cam_weights(features, gradients)

    @classmethod
    def build(cls, backbone: Backbone, num_classes: int, settings: None = None) -> Self:
        """Explains a fresh :class:`~wsss_lib.methods.cam.CAM` over a backbone, at the deepest stage."""
        return cls.explaining(CAM(backbone, num_classes))

    @classmethod
    def explaining(cls, classifier: Method, settings: None = None) -> Self:
        """Explains a classifier at the deepest stage of its backbone."""
        return cls(classifier, classifier.backbone)

    def predict(self, images: Tensor) -> Prediction:
        """:meth:`explain` for all K classes."""
        return self.explain(images)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of the model, without a backward pass."""
        return self._logits(self.model(images))

    def raw_maps(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Σ_k w_k A_k (N, K, h, w) before ReLU and normalisation; zero for classes that ``labels`` leaves out."""
        return self.explain(images, labels).maps

    def infer(self, images: Tensor, labels: Tensor | None = None) -> Prediction:
        """Maps in [0, 1] and logits. Without ``labels`` all K classes are explained.

        For the predicted class alone pass ``one_hot(model(images).argmax(1), K)`` as labels.
        """
        maps, logits = self.explain(images, labels)
        if labels is None or self.create_graph:
            return Prediction(self.normalised(maps, labels), logits)
        shown = check_labels(labels, maps, maps.shape[1])  # of a thousand classes, an image shows few
        maps[shown] = self.normalised(maps[shown][:, None])[:, 0]
        return Prediction(maps, logits)

    def explain(self, images: Tensor, labels: Tensor | None = None) -> Prediction:
        """Raw maps of the classes that ``labels`` (N, K) names, zero for the others, and logits, of one forward pass.

        Raises:
            ValueError: The logits do not depend on the layer, or tokens that are no grid.
        """
        with torch.inference_mode(False), torch.enable_grad(), evaluating(self.model):
            if images.is_inference():  # such tensors cannot be part of a graph, their copies can
                images = images.clone()
            activations, logits = self._run(images)
            maps = self._all_classes(activations, logits, images, labels)
            return Prediction(maps, logits if self.create_graph else logits.detach())

    def _run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What the layer gives, cut from all before it, and the logits, of one forward pass."""
        if not self.create_graph:
            # Nothing is kept for a backward pass until the layer, where `_keep` begins with it.
            with torch.no_grad(), tapped(self.model, self.layer, self._keep) as collected:
                logits = self._logits(self.model(images))
                begun = torch.is_grad_enabled()
            if begun or not collected:
                return only(collected, self.layer), logits
            # The model itself runs the layer without gradients, and what came back behind it was the no_grad from here.
        with tapped(self.model, self.layer, self._keep) as collected:
            logits = self._logits(self.model(images))
        return only(collected, self.layer), logits

    @staticmethod
    def _logits(output: Any) -> Tensor:
        logits = getattr(output, "logits", output)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"the model returned {shape}, expected logits (N, K): wrap it so that it returns them")
        return logits

    def _all_classes(self, activations: Tensor, logits: Tensor, images: Tensor, labels: Tensor | None) -> Tensor:
        n, k = logits.shape
        present = torch.ones_like(logits) > 0 if labels is None else check_labels(labels, images, k)
        # The images do not interact, so each turn can explain a different class in each of them.
        queue = present.int().argsort(dim=1, descending=True, stable=True)  # (N, K): the present classes first
        passes = int(present.sum(dim=1).max()) if n else 0
        features = self._grid(activations if self.create_graph else activations.detach(), images)  # (N, C, h, w)
        maps = features.new_zeros(n, k, *features.shape[2:])
        rows = torch.arange(n, device=maps.device)
        several = 1 if self.create_graph else max(1, _GRADIENTS_AT_ONCE // max(1, activations.numel()))
        for first in range(0, passes, several):
            last = min(first + several, passes)
            classes = queue[:, first:last].mT  # (P, N)
            chosen = F.one_hot(classes, k) * present  # (P, N, K): a row of zeros where an image has no class left
            gradients = self._gradients(logits, activations, chosen, images, keep=last < passes)
            for turn, one, each in zip(classes, chosen, gradients, strict=True):
                weights = self.weights(features, each) * one.any(dim=1, keepdim=True)  # (N, C)
                maps[rows, turn] = torch.einsum("nc,nchw->nhw", weights, features)
        return maps

    def _gradients(
        self, logits: Tensor, activations: Tensor, chosen: Tensor, images: Tensor, keep: bool
    ) -> list[Tensor]:
        """∂(Σ_n s_chosen(p, n)) / ∂A on the grid, P of (N, C, h, w), of ``chosen`` (P, N, K)."""
        gradients = None
        if logits.requires_grad:
            gradients = self._backward(logits, activations, chosen.to(logits.dtype), keep)
        if gradients is None:
            raise ValueError(
                f"the logits do not depend on the layer {layer_name(self.layer)}: choose one on the way to them, and "
                "see that the model does not detach behind it"
            )
        patches = [self._grid(each, images) for each in gradients]
        if gradients.any() and not any(each.any() for each in patches):
            # The zero map would look like "nothing found".
            raise ValueError(
                f"only the class token of the layer {layer_name(self.layer)} reaches the logits, the gradient of all "
                "patches is zero: choose the norm before the last block's attention, for example 'blocks.11.norm1'"
            )
        return patches

    def _backward(self, logits: Tensor, activations: Tensor, chosen: Tensor, keep: bool) -> Tensor | None:
        """The gradients (P, …) of P choices among the logits; None where the logits do not depend on the layer."""
        kind = {"create_graph": self.create_graph, "allow_unused": True}
        if len(chosen) > 1:
            with suppress(RuntimeError):  # a network may hold an operation that does not go through several at once
                graph = {"retain_graph": True, "is_grads_batched": True}
                return torch.autograd.grad(logits, activations, chosen, **graph, **kind)[0]
        each = [
            torch.autograd.grad(
                logits, activations, one, retain_graph=keep or self.create_graph or turn + 1 < len(chosen), **kind
            )[0]
            for turn, one in enumerate(chosen)
        ]
        return None if each[0] is None else torch.stack(each)

    def _keep(self, output: Tensor) -> Tensor:
        # The clone survives in-place changes of it.
        kept = output.clone() if self.create_graph else output.detach().clone()
        torch.set_grad_enabled(True)  # until `_run` returns
        return kept if kept.requires_grad else kept.requires_grad_()

    def _grid(self, tensor: Tensor, images: Tensor) -> Tensor:
        return grid_of(tensor, images, grid=self.grid, reshape=self.reshape)


@register("gradcam++", title="Grad-CAM++", chapter=1)
class GradCAMPlusPlus(GradCAM):
    """Grad-CAM++: :class:`GradCAM` with the weights of :func:`grad_cam_plus_plus_weights`.

    Meant for several objects of one class: a small one's few cells count as much as a large one's many.
    """

    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Channel weights (N, C) from features and gradients (N, C, h, w)."""
        return grad_cam_plus_plus_weights(features, gradients)
