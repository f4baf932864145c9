"""Sums over chunks and processes."""

import pytest
import torch
import torch.multiprocessing as mp

from wsss_lib import metrics as E
from wsss_lib.metrics.accumulate import count_exceeded, index_type, threshold_grid


def build():
    pixels = E.ForegroundSweep(10), E.PixelAveragePrecision(10)
    return [E.ConfusionMatrix(3), E.ThresholdSweep(2, 10), *pixels, E.BoxSweep(10)]


def feed(metrics, part):
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(6, 2, 5, 5, generator=generator)[part]
    masks = torch.randint(0, 3, (6, 5, 5), generator=generator)[part]
    masks[:, 0, 0] = 255
    boxes = [torch.tensor([[0.0, 0, 2 + i % 3, 4]]) for i in range(6)][part]
    confusion, sweep, foreground, pixels, box = metrics
    confusion.update(maps.argmax(1), masks)
    sweep.update(maps, masks)
    foreground.update(maps[:, 0], masks)
    pixels.update(maps[:, 0], masks)
    box.update(maps[:, 0], boxes)
    return metrics


def same(a, b):
    return all(torch.allclose(x.state()[n], y.state()[n]) for x, y in zip(a, b, strict=True) for n in x.state())


def test_state_goes_round_and_is_a_copy():
    metrics = feed(build(), slice(None))
    states = [m.state() for m in metrics]
    copies = [m.load_state(s) for m, s in zip(build(), states, strict=True)]
    assert same(copies, metrics)
    feed(copies, slice(None))
    assert not same(copies, metrics)
    assert all(torch.equal(m.state()[n], s[n]) for m, s in zip(metrics, states, strict=True) for n in s)


def test_states_add_up():
    whole, halves = feed(build(), slice(None)), [feed(build(), slice(0, 4)), feed(build(), slice(4, 6))]
    summed = [
        m.load_state({n: a.state()[n] + b.state()[n] for n in a.state()})
        for m, a, b in zip(build(), *halves, strict=True)
    ]
    assert same(summed, whole)
    assert same([a.merge(b) for a, b in zip(*halves, strict=True)], whole)


def test_what_differs_is_not_merged():
    with pytest.raises(ValueError, match="merge equal metrics"):
        E.ConfusionMatrix(3).merge(E.ThresholdSweep(2))
    with pytest.raises(ValueError, match="thresholds differs"):
        E.ThresholdSweep(2, torch.tensor([0.1, 0.2])).merge(E.ThresholdSweep(2, torch.tensor([0.1, 0.3])))
    with pytest.raises(ValueError, match="protocol differs"):
        E.BoxSweep(10).merge(E.BoxSweep(10, protocol=E.HALF_OPEN))
    with pytest.raises(ValueError, match="expected a tensor of shape"):
        E.ConfusionMatrix(3).load_state(E.ConfusionMatrix(4).state())
    with pytest.raises(ValueError, match="nothing"):
        E.ConfusionMatrix(3).load_state({})


def _worker(rank, port, queue):
    import os

    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    os.environ |= where | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    metrics = feed(build(), slice(rank * 3, rank * 3 + 3))
    metrics = [m.load_state(accelerator.reduce(m.state(), reduction="sum")) for m in metrics]
    queue.put((rank, [{n: t.tolist() for n, t in m.state().items()} for m in metrics]))
    accelerator.end_training()


def test_two_processes_count_like_one():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = mp.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_worker, args=(rank, port, queue)) for rank in range(2)]
    for w in workers:
        w.start()
    answers = dict(queue.get(timeout=120) for _ in workers)
    for w in workers:
        w.join(timeout=60)
        assert w.exitcode == 0
    whole = feed(build(), slice(None))
    for rank in range(2):
        for metric, state in zip(whole, answers[rank], strict=True):
            for name, values in metric.state().items():
                assert torch.allclose(torch.tensor(state[name], dtype=values.dtype), values)


def test_the_default_grids_are_those_of_the_docstrings():
    assert len(E.ThresholdSweep(2).thresholds) == len(E.ForegroundSweep().thresholds) == 100
    assert E.PixelAveragePrecision().thresholds.tolist() == [*E.threshold_grid(1000).tolist(), 1.0]
    assert torch.equal(E.BoxSweep().thresholds, E.threshold_grid(1000))
    assert (E.BoxSweep().deltas, E.BoxSweep().protocol) == ((0.3, 0.5, 0.7), E.MAX_BOX_ACC_V2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("number", [1, 2, 3, 7, 100, 1000, 9999])
@pytest.mark.parametrize("closed", [False, True])
def test_even_thresholds_are_counted_as_any_others(dtype, number, closed):
    """At each threshold, one number below and above it, outside all of them, and at random."""
    grid = threshold_grid(number)
    at = grid.to(dtype if dtype != torch.float16 else torch.float32)
    far = at.new_tensor([-1, -1e-30, 0, 1, 1.5, 1e30, torch.inf, -torch.inf])
    beside = [at.nextafter(at.new_tensor(end)) for end in (-2, 2)]
    values = torch.cat([at, *beside, far, torch.rand(5000, dtype=at.dtype)]).to(dtype)
    slow = torch.bucketize(values.to(at.dtype), at, right=closed)
    assert torch.equal(count_exceeded(values, grid, closed=closed).long(), slow)
    shifted = grid + 1e-4  # no multiples of the first step
    slow = torch.bucketize(values.to(at.dtype), shifted.to(at.dtype), right=closed)
    assert torch.equal(count_exceeded(values, shifted, closed=closed).long(), slow)


@pytest.mark.parametrize("size", [1, 2**31 - 1, 2**31, 2**40])
def test_a_type_holds_the_numbers_of_all_cells_and_one_more(size: int) -> None:
    kind = index_type(size)
    assert torch.tensor(size, dtype=torch.int64).to(kind) == size
    assert (kind == torch.int32) == (size < 2**31)
