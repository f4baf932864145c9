"""What a transformer shows without a token for it: the class token's attention, and TS-CAM's product."""

from __future__ import annotations

import pytest
import torch
from test_sat import batch_of, small
from torch.nn import functional as F

from wsss_lib.backbones import backbone
from wsss_lib.methods import TSCAM, ClassToken, TSCAMConfig
from wsss_lib.methods.ts_cam import class_attention


def built(kind: type[ClassToken], classes: int = 3, **settings: object) -> ClassToken:
    net = small()
    return kind(net, classes, TSCAMConfig(**settings)).double().eval()  # type: ignore[arg-type]


def test_class_attention_by_hand() -> None:
    first = torch.zeros(1, 2, 5, 5)
    second = torch.zeros(1, 2, 5, 5)
    first[0, 0, 0] = torch.tensor([0.6, 0.4, 0.0, 0.0, 0.0])
    second[0, 1, 0] = torch.tensor([0.2, 0.0, 0.0, 0.8, 0.0])
    second[0, 0, 1] = 1  # what another token looks at does not matter
    result = class_attention([first, second], (2, 2))
    torch.testing.assert_close(result, torch.tensor([[[[0.1, 0.0], [0.2, 0.0]]]]))
    torch.testing.assert_close(class_attention([first, second], (2, 2), 1), torch.tensor([[[[0.0, 0.0], [0.4, 0.0]]]]))


@pytest.mark.parametrize(("n", "side", "classes"), [(1, 32, 1), (3, 48, 5)])
@pytest.mark.parametrize("kind", [ClassToken, TSCAM])
def test_shapes(kind: type[ClassToken], n: int, side: int, classes: int) -> None:
    method, batch = built(kind, classes), batch_of(n, side, classes)
    assert method(batch["images"]).shape == (n, classes)
    assert method.losses(batch)["classification"].isfinite()
    result = method.localize(batch["images"], batch["labels"])
    assert result.shape == (n, classes, side // 8, side // 8)
    assert result.min() == 0
    assert result.max() == 1
    assert ((result.amax((2, 3)) > 0) <= (batch["labels"] > 0)).all()


def test_the_class_token_classifies_and_its_attention_is_the_map() -> None:
    method, batch = built(ClassToken), batch_of()
    images = batch["images"]
    torch.testing.assert_close(method(images), method.head(method.backbone.tokens(images)[:, 0]))
    rows = sum(a[:, :, 0, 1:].mean(1) for a in method.backbone.attention(images)) / 3
    low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
    expected = ((rows - low) / (high - low)).view(4, 1, 4, 4)
    torch.testing.assert_close(method.localize(images), expected)
    torch.testing.assert_close(method.localize(images, torch.ones(4, 3)), expected.expand(-1, 3, -1, -1))


def test_patch_tokens_classify_and_scores_meet_attention() -> None:
    method, batch = built(TSCAM), batch_of()
    images, labels = batch["images"], torch.ones(4, 3)
    scores = method.head(method.backbone(images)["norm"])
    torch.testing.assert_close(method(images), scores.mean((2, 3)))
    for coupled in (True, False):
        twin = built(TSCAM, coupled=coupled)
        twin.load_state_dict(method.state_dict())
        product = scores * method.attention_map(images) if coupled else scores
        low, high = product.amin((2, 3), keepdim=True), product.amax((2, 3), keepdim=True)
        torch.testing.assert_close(twin.localize(images, labels), (product - low) / (high - low))


@pytest.mark.parametrize("kind", [ClassToken, TSCAM])
def test_photographs_of_any_size(kind: type[ClassToken]) -> None:
    method, batch = built(kind), batch_of()
    images = F.interpolate(batch["images"], (21, 44), mode="bilinear")
    fitted = F.interpolate(images, (24, 48), mode="bilinear")
    assert method.localize(images, batch["labels"]).shape == (4, 3, 3, 6)
    torch.testing.assert_close(method.localize(images), method.localize(fitted))
    torch.testing.assert_close(method(images), method(fitted))


@pytest.mark.parametrize("kind", [ClassToken, TSCAM])
def test_losses_reach_the_backbone_and_none_present_is_no_error(kind: type[ClassToken]) -> None:
    method, batch = built(kind), batch_of()
    expected = F.multilabel_soft_margin_loss(method(batch["images"]), batch["labels"])
    torch.testing.assert_close(method.losses(batch)["classification"], expected)
    expected.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in method.backbone.layers[0].attn.parameters())
    batch["labels"] = torch.zeros_like(batch["labels"])
    assert method.losses(batch)["classification"].isfinite()
    assert method.localize(batch["images"], batch["labels"]).abs().max() == 0


def test_the_token_that_is_not_asked_gets_no_gradient() -> None:
    method, batch = built(TSCAM), batch_of()
    method.losses(batch)["classification"].backward()
    assert method.backbone.vit.cls_token.grad is not None  # the patches look at it
    tokens = method.backbone.tokens(batch["images"])
    (gradient,) = torch.autograd.grad(
        method.head(method.backbone.grid(tokens[:, 1:], (4, 4))).mean((2, 3)).sum(), tokens
    )
    assert gradient[:, 0].abs().max() == 0


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="blocks is 0"):
        TSCAMConfig(blocks=0)
    with pytest.raises(ValueError, match="loss is 'hinge'"):
        TSCAMConfig(loss="hinge")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"TSCAM needs a transformer.*tiny_cnn"):
        TSCAM(backbone("tiny_cnn"), 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_classes is 0"):
        ClassToken(small(), 0)
    assert TSCAMConfig.paper() == TSCAMConfig(blocks=None, coupled=True, loss="softmax")
