"""Fresh weights that are the same on every processor."""

from __future__ import annotations

import pytest
import torch

from wsss_lib.experiments.variants import drawn_in_double
from wsss_lib.methods import registry
from wsss_lib.modes import default_dtype


@pytest.mark.parametrize("name", ["centerpoint", "point-detr3d"])
def test_fresh_weights_are_64_bit_draws_rounded_once(name: str) -> None:
    build = registry.entry(name).method.build
    torch.manual_seed(0)
    with default_dtype(torch.float64):
        wide = build(None, 2, None)
    for kind in (name, build):
        torch.manual_seed(0)
        method = drawn_in_double(kind)(None, 2, None)
        for (part, value), expected in zip(method.state_dict().items(), wide.state_dict().values(), strict=True):
            assert value.dtype in (torch.float32, torch.int64), part
            assert torch.equal(value, expected.to(value.dtype)), part
    assert torch.get_default_dtype() == torch.float32
