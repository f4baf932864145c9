"""Precision by torch's own scaler: what it scales, what is clipped, and which updates it leaves out."""

from collections.abc import Iterator
from contextlib import contextmanager

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


def test_several_processes_exchange_on_their_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(machine, "DistributedDataParallel", lambda module, **options: asked.append(options) or module)
    here, module = Machine(TrainConfig(epochs=1, device="cpu")), nn.Linear(2, 2)
    assert here.shared(module) is module
    assert asked == [], "one process exchanges nothing"
    here.count = 2
    here.shared(module)
    here.device = torch.device("cuda", 1)
    here.shared(module)
    assert asked == [{"device_ids": ids, "find_unused_parameters": True} for ids in (None, [here.device])]


@pytest.mark.parametrize(("name", "entered"), [("cpu", False), ("cuda", False), ("cuda:1", True), ("mps:0", False)])
def test_within_a_run_its_gpu_is_the_current_one(monkeypatch: pytest.MonkeyPatch, name: str, entered: bool) -> None:
    current: list[torch.device] = []

    @contextmanager
    def device(chosen: torch.device) -> Iterator[None]:
        current.append(chosen)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", device)
    here = Machine(TrainConfig(epochs=1, device="cpu"))
    here.device = torch.device(name)
    with here.used():
        assert current == [here.device] * entered
    assert current == []


TORCHRUN = {"RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("environment", "joined"),
    [
        ({}, False), ({"WORLD_SIZE": "1"}, False), ({"WORLD_SIZE": ""}, False), (TORCHRUN, False),
        ({"WORLD_SIZE": "2"} | TORCHRUN, True), ({"PMI_SIZE": "1"}, False), ({"PMI_SIZE": "2"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "3"}, True), ({"MV2_COMM_WORLD_SIZE": "2"}, True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_a_launchers_processes_are_joined(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], joined: bool, name: str
) -> None:
    for variable in ("WORLD_SIZE", *machine._TORCHRUN, *machine._MPI):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(machine, "PartialState", lambda cpu: f"on the CPU: {cpu}")
    state = machine.processes(torch.device(name))
    assert state == (f"on the CPU: {name == 'cpu'}" if joined else None)


@pytest.mark.parametrize(("count", "joined"), [(1, False), (2, True)])
def test_processes_that_are_joined_already_stay_so(monkeypatch: pytest.MonkeyPatch, count: int, joined: bool) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: count)
    monkeypatch.setattr(machine, "PartialState", lambda cpu: cpu)
    assert machine.processes(torch.device("cpu")) is (True if joined else None)


def test_a_count_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ValueError, match="WORLD_SIZE is 'two' in the environment, expected a whole number"):
        machine.processes(torch.device("cpu"))


def test_in_64_bits_every_float_is_doubled_and_nothing_else() -> None:
    here = Machine(TrainConfig(epochs=1, device="cpu", double=True))
    batch = {"images": torch.rand(1, 3, 2, 2), "labels": torch.ones(1, 2), "masks": torch.zeros(1, 2, 2).long(),
             "points": [torch.rand(2, 3), torch.zeros(1).long()], "ids": ["a"]}  # fmt: skip
    read = here.read(batch)  # type: ignore[arg-type]
    assert read["images"].dtype == read["labels"].dtype == read["points"][0].dtype == torch.float64
    assert read["masks"].dtype == read["points"][1].dtype == torch.int64
    assert read["ids"] == ["a"]
    assert Machine(TrainConfig(epochs=1, device="cpu")).read(batch)["images"].dtype == torch.float32  # type: ignore


def test_half_precision_is_that_of_forward_passes() -> None:
    here = Machine(TrainConfig(epochs=1, device="cpu", mixed_precision="bf16"))
    layer, images = nn.Linear(2, 2), torch.ones(1, 2)
    with here.autocast():
        assert layer(images).dtype == torch.bfloat16
    with Machine(TrainConfig(epochs=1, device="cpu")).autocast():
        assert layer(images).dtype == torch.float32
    assert here.scaler is None
