"""What a device is called, and which of them a machine offers."""

import pytest
import torch

from wsss_lib import notebook
from wsss_lib.devices import pick_device
from wsss_lib.train.machine import choose_device


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)


@pytest.mark.usefixtures("two_gpus")
def test_devices_are_picked_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [str(pick_device(name)) for name in ("auto", "cuda", "cuda:1", "cpu")] == ["cuda", "cuda", "cuda:1", "cpu"]
    with pytest.raises(RuntimeError, match="device is 'cuda:2', and there are 2 GPUs, counted from 0"):
        pick_device("cuda:2")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert str(pick_device()) == str(pick_device("mps")) == "mps"
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert str(pick_device()) == "cpu"


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:-1", "cuda:one", "tpu:0"])
@pytest.mark.parametrize("pick", [pick_device, choose_device])
def test_a_name_that_is_none(pick, name: str) -> None:
    with pytest.raises(ValueError, match=r"device is '.*', expected one of auto, cpu, cuda, mps: use 'auto'"):
        pick(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(RuntimeError, match=f"device is '{name}', but this machine has none"):
        pick_device(name)


@pytest.mark.usefixtures("two_gpus")
def test_what_a_launcher_decides_stands_above_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(ValueError, match="the launcher gives each process its own"):
        choose_device("cuda:1")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert choose_device("auto") == torch.device("cpu")
    assert choose_device("cuda") == torch.device("cuda"), "what is named is meant"


def test_a_chapter_imports_it_from_the_notebook_room() -> None:
    assert notebook.pick_device is pick_device
