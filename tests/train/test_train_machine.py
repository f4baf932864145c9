"""Precision by torch's own scaler: what it scales, what is clipped, and which updates it leaves out."""

import pytest
import torch
from torch import nn

from wsss_lib.train import TrainConfig, machine
from wsss_lib.train.machine import Machine


@pytest.fixture
def scaled() -> Machine:
    """A machine whose losses are scaled as on a GPU in half precision."""
    machine = Machine(TrainConfig(epochs=1, device="cpu"))
    machine.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    return machine


def pulled(machine: Machine, factor: float, norm: float | None) -> nn.Parameter:
    """A weight after one step of gradient descent on ``factor`` times its sum."""
    weight = nn.Parameter(torch.ones(4))
    optimiser = torch.optim.SGD([weight], lr=0.5)
    machine.backward(factor * weight.sum())
    if norm is not None:
        machine.clip(optimiser, [weight], norm)
    machine.step(optimiser)
    return weight


@pytest.mark.parametrize("norm", [None, 1.0, 100.0])
def test_scaling_changes_no_update(scaled: Machine, norm: float | None) -> None:
    plain = Machine(TrainConfig(epochs=1, device="cpu"))
    assert torch.equal(pulled(scaled, 3.0, norm), pulled(plain, 3.0, norm))
    assert float(pulled(plain, 3.0, 1.0).detach()[0]) == pytest.approx(1 - 0.5 * 0.5)  # |gradient| 6 becomes 1


def test_an_update_that_overflows_is_left_out_and_the_scale_comes_down(scaled: Machine) -> None:
    assert scaled.scaler is not None
    assert pulled(scaled, 1e38, None).tolist() == [1, 1, 1, 1]
    assert scaled.scaler.get_scale() == 512


def test_half_precision_needs_a_gpu() -> None:
    with pytest.raises(ValueError, match="mixed_precision is 'fp16', which needs a GPU"):
        Machine(TrainConfig(epochs=1, device="cpu", mixed_precision="fp16"))


@pytest.mark.parametrize(("launched", "name", "refused"), [
    (True, "cuda", False), (True, "cuda:1", True), (False, "cuda:1", False), (True, "mps:0", False),
])  # fmt: skip
def test_a_launcher_gives_each_process_its_gpu(
    monkeypatch: pytest.MonkeyPatch, launched: bool, name: str, refused: bool
) -> None:
    monkeypatch.setattr(machine, "pick_device", torch.device)  # this machine may have none of them
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if launched:
        monkeypatch.setenv("LOCAL_RANK", "0")
    if refused:
        with pytest.raises(ValueError, match="device is 'cuda:1', but the launcher gives each process its own"):
            machine.choose_device(name)
    else:
        assert machine.choose_device(name) == torch.device(name)
