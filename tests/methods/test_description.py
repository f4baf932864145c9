"""What is written beside a trained method's weights is enough to build it again."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from wsss_lib.backbones import backbone
from wsss_lib.methods import CAM, CAMConfig, registry
from wsss_lib.methods.description import NEEDED, describe, rebuild

TRAINED = [name for name in registry.names() if registry.entry(name).trained]
CLASSES = ("lynx", "猫", "$ox$")


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_is_built_again_from_json_alone(name: str) -> None:
    torch.manual_seed(0)
    entry = registry.entry(name)
    classes = CLASSES[:2] if entry.task == "boxes3d" else CLASSES  # their settings name as many mean sizes
    method = registry.build(name, backbone(entry.backbone), len(classes))
    written = json.loads(json.dumps(describe(method, classes, (64, 96))))
    assert (written["name"], written["classes"], written["image_size"]) == (name, list(classes), [64, 96])
    again = rebuild(written)
    assert type(again) is type(method)
    assert getattr(again, "config", None) == getattr(method, "config", None)
    again.load_state_dict(method.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(again.state_dict().values(), method.state_dict().values(), strict=True)
    )
    if entry.task != "maps":
        return
    images = torch.rand(1, 3, 64, 96)
    torch.testing.assert_close(again.localize(images), method.localize(images), rtol=0, atol=0)


def test_settings_and_backbone_are_those_of_the_run() -> None:
    net = backbone("tiny_cnn", widths=(8, 8, 16, 16), output_stride=2, frozen_bn=True)
    method = CAM(net, 2, CAMConfig(neck=8, bias=True, loss="softmax"))
    again = rebuild(json.loads(json.dumps(describe(method, ("a", "b"), (64, 64)))))
    assert again.config == method.config
    assert again.backbone.strides == method.backbone.strides
    assert [type(m) for m in again.modules()] == [type(m) for m in method.modules()]
    assert again.state_dict().keys() == method.state_dict().keys()


def test_what_cannot_be_built_again_says_so() -> None:
    described = describe(CAM(backbone("tiny_cnn"), 2), ("a", "b"), (64, 64))
    for change, message in (
        ({"name": None}, r"does not say a method of the registry \('name'\)"),
        ({"classes": []}, r"does not say its classes"),
        ({"backbone": None}, r"does not say its backbone"),
        ({"name": "camm"}, r"there is no method 'camm'.*did you mean 'cam'"),
        ({"backbone": {"name": "tiny_cn"}}, r"no backbone 'tiny_cn'"),
        ({"settings": {"warp": 9}}, r"another version of wsss-lib .*warp"),
        ({"settings": {"loss": "hinge"}}, r"loss is 'hinge', expected one of"),
        ({"image_size": [64]}, r"it gives \[64\] as 'image_size', expected height and width in pixels"),
        ({"image_size": [0, 64]}, r"it gives \[0, 64\] as 'image_size'"),
        ({"image_size": [64, True]}, r"it gives \[64, True\] as 'image_size'"),
    ):
        with pytest.raises(ValueError, match=message):
            rebuild(described | change)
    for missing in NEEDED:
        with pytest.raises(ValueError, match=missing):
            rebuild({key: value for key, value in described.items() if key != missing})
    stranger = describe(nn.Linear(2, 2), ("a",), (8, 8))
    assert (stranger["name"], stranger["settings"], stranger["backbone"]) == (None, None, None)


def test_a_backbone_is_left_out_only_where_none_is_taken() -> None:
    assert registry.build("centerpoint", None, 2).num_classes == 2
    with pytest.raises(ValueError, match="CAM is built over a backbone and got none"):
        registry.build("cam", None, 2)
