"""The global generators: each is seeded by the run's seed, kept, and given back."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from wsss_lib.train import random_state

CPU, GPU = torch.device("cpu"), torch.device("cuda")
DRAWS = {
    "torch": lambda: float(torch.rand(())),
    "python": random.random,
    "numpy": lambda: float(np.random.rand()),  # noqa: NPY002
}


@pytest.mark.parametrize("name", DRAWS)
def test_every_generator_follows_the_seed(name: str) -> None:
    with random_state.preserved(CPU):
        drawn = []
        for seed in (0, 1, 64, 2**31, 2**32 + 5, 2**63 - 1, 0):
            random_state.seed(CPU, seed)
            drawn.append(DRAWS[name]())
    assert drawn[0] == drawn[-1]
    assert len(set(drawn)) == 6, "another seed, other draws"


@pytest.mark.parametrize("name", DRAWS)
def test_a_state_that_was_read_is_written_back(name: str) -> None:
    with random_state.preserved(CPU):
        random_state.seed(CPU, 3)
        DRAWS[name]()
        np.random.randn()  # noqa: NPY002  leaves a second normal draw behind, which belongs to the state
        random.gauss(0, 1)
        state = random_state.read(CPU)
        first = [DRAWS[name](), float(np.random.randn()), random.gauss(0, 1)]  # noqa: NPY002
        random_state.seed(CPU, 4)
        random_state.write(CPU, *state)
        assert [DRAWS[name](), float(np.random.randn()), random.gauss(0, 1)] == first  # noqa: NPY002


def test_the_block_leaves_no_trace() -> None:
    before = random_state.read(CPU)
    with random_state.preserved(CPU):
        random_state.seed(CPU, 9)
    after = random_state.read(CPU)
    assert torch.equal(before[0]["cpu"], after[0]["cpu"])
    assert before[1] == after[1]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> torch.Generator:
    """The generator of a device that this machine need not have."""
    own = torch.Generator()
    own.manual_seed(5)
    module = SimpleNamespace(get_rng_state=own.get_state, set_rng_state=own.set_state, manual_seed=own.manual_seed)
    monkeypatch.setattr(random_state, "_module", lambda _: module)
    return own


def draw(generator: torch.Generator) -> list[float]:
    return torch.rand(3, generator=generator).tolist()


def test_a_devices_generator_is_seeded_kept_and_given_back(device: torch.Generator) -> None:
    expected = draw(device.clone_state())
    with random_state.preserved(GPU):
        random_state.seed(GPU, 3)
        assert draw(device) == draw(torch.Generator().manual_seed(3))
        assert float(torch.rand(())) == float(torch.rand((), generator=torch.Generator().manual_seed(3)))
    assert draw(device) == expected


def test_on_a_cpu_no_devices_generator_is_touched(device: torch.Generator) -> None:
    expected = draw(device.clone_state())
    with random_state.preserved(CPU):
        random_state.seed(CPU, 3)
        assert list(random_state.read(CPU)[0]) == ["cpu"]
    assert draw(device) == expected


def test_a_state_of_a_cpu_leaves_the_devices_generator_alone(device: torch.Generator) -> None:
    expected = draw(device.clone_state())
    with random_state.preserved(CPU):
        random_state.write(GPU, *random_state.read(CPU))
    assert draw(device) == expected
