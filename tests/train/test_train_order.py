"""Order, shares and random transforms."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, nn
from train_kit import StackedToys, Toys, jitter

from wsss_lib.data import load
from wsss_lib.data.records import Sample, batches
from wsss_lib.data.transforms import RandomFlip
from wsss_lib.refine import WithSuperpixels
from wsss_lib.train import TrainConfig, epoch_seed
from wsss_lib.train.config import Plan
from wsss_lib.train.order import Reader, epoch_order, micro_batches, share, stream


def flow(records: Toys, config: TrainConfig, start: int = 0, process: int = 0, processes: int = 1) -> list:
    reader = Reader(records, jitter if isinstance(records, Toys) else None, config.seed)
    return list(stream(reader, config, Plan.of(config, len(records)), start, process, processes))


def test_the_order_is_that_of_batches() -> None:
    records = Toys(11)
    config = TrainConfig(epochs=2, batch_size=4, seed=5)
    loop = [batch["ids"] for batch, _, _ in flow(records, config)]
    plain = [b["ids"] for epoch in (0, 1) for b in batches(records, 4, shuffle=True, seed=epoch_seed(5, epoch))]
    assert loop == plain
    assert loop[:3] != loop[3:], "every epoch has an order of its own"


def test_orders_depend_on_seed_and_epoch_only() -> None:
    state = torch.get_rng_state()
    orders = {(seed, epoch): tuple(epoch_order(seed, epoch, 50)) for seed in range(3) for epoch in range(3)}
    assert len(set(orders.values())) == 9
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    torch.rand(1)
    assert tuple(epoch_order(1, 2, 50)) == orders[1, 2]
    torch.set_rng_state(state)
    epoch_order(0, 0, 50)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is not touched"


@pytest.mark.parametrize("start", [1, 3, 4, 7])
def test_a_stream_can_begin_anywhere(start: int) -> None:
    # 10 images, 2 × 2 an update: 3 updates of 2, 2 and 1 passes in an epoch.
    records = Toys(10)
    config = TrainConfig(epochs=3, batch_size=2, gradient_accumulation=2)
    whole = flow(records, config)
    skipped = sum([2, 2, 1][step % 3] for step in range(start))
    rest = flow(records, config, start)
    assert len(rest) == len(whole) - skipped > 0
    for (a, *counts), (b, *others) in zip(whole[skipped:], rest, strict=True):
        assert counts == others
        assert a["ids"] == b["ids"]
        assert torch.equal(a["images"], b["images"]), "the random transform draws the same again"


def test_transforms_draw_alike_whatever_the_batch_and_unlike_in_each_epoch() -> None:
    records = Toys(9)
    by_size = []
    for size in (2, 3, 9):
        pairs = [
            (name, image)
            for batch, _, _ in flow(records, TrainConfig(epochs=2, batch_size=size))
            for name, image in zip(batch["ids"], batch["images"], strict=True)
        ]
        by_size.append([dict(pairs[:9]), dict(pairs[9:])])
    for first, second in by_size[1:]:
        for epoch, expected in ((first, by_size[0][0]), (second, by_size[0][1])):
            assert all(torch.equal(epoch[name], expected[name]) for name in expected)
    assert not any(torch.equal(by_size[0][0][name], by_size[0][1][name]) for name in by_size[0][0])


class OneByOne(RandomFlip):
    """The same mirror, which the reader does not know, so that it reads sample by sample."""


def same(one: object, two: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_a_batch_mirrored_as_a_whole_is_that_of_its_mirrored_samples(p: float) -> None:
    records = WithSuperpixels(load("critters", split="train", count=12))
    for epoch, indices in ((0, [3, 1, 4]), (2, list(range(12))), (1, [7])):
        whole = Reader(records, RandomFlip(p), seed=9)[epoch, indices]
        single = Reader(records, OneByOne(p), seed=9)[epoch, indices]
        assert whole.keys() == single.keys()
        assert {"masks", "parts", "boxes", "superpixels", "sizes"} <= whole.keys()
        assert "objects" not in whole, "it may no longer be true"
        assert all(same(value, single[name]) for name, value in whole.items())  # type: ignore[literal-required]
    before = records.batch([0, 1])["images"]
    Reader(records, RandomFlip(1.0), seed=0)[0, [0, 1]]
    assert torch.equal(records.batch([0, 1])["images"], before), "the records stay as they are"


def test_worker_processes_change_nothing() -> None:
    records = Toys(9)
    here = flow(records, TrainConfig(epochs=2, batch_size=4))
    state = torch.get_rng_state()
    ahead = flow(records, TrainConfig(epochs=2, batch_size=4, workers=2))
    assert torch.equal(torch.get_rng_state(), state)
    for (a, *_), (b, *_) in zip(here, ahead, strict=True):
        assert a["ids"] == b["ids"]
        assert a["sizes"] == b["sizes"]
        assert torch.equal(a["images"], b["images"])


@given(st.lists(st.integers(0, 99), min_size=1, max_size=20), st.integers(1, 6))
def test_shares_are_a_partition(indices: list[int], processes: int) -> None:
    shares = [share(indices, process, processes) for process in range(processes)]
    assert [i for mine, counted in shares for i in mine[:counted]] == indices
    assert max(counted for _, counted in shares) - min(counted for _, counted in shares) <= 1
    assert all(mine for mine, _ in shares), "nobody may stay away from the exchange of gradients"
    assert all(counted in (0, len(mine)) for mine, counted in shares)


@given(st.integers(1, 30), st.integers(1, 9))
def test_micro_batches(count: int, size: int) -> None:
    pieces = micro_batches(list(range(count)), size)
    assert [i for piece in pieces for i in piece] == list(range(count))
    assert all(len(piece) == size for piece in pieces[:-1])
    assert 1 <= len(pieces[-1]) <= size


def test_whole_batches_are_used_where_offered_and_no_transform_is_asked_for() -> None:
    stacked, single = StackedToys(6), Toys(6)
    fast = Reader(stacked, None, 0)[0, [4, 1]]
    slow = Reader(single, None, 0)[0, [4, 1]]
    assert stacked.read == [4, 1]
    assert fast.keys() == slow.keys()
    assert torch.equal(fast["images"], slow["images"])
    assert torch.equal(fast["images"], stacked.pixels[[4, 1]])
    transformed = Reader(stacked, jitter, 0)[0, [4, 1]]
    assert not torch.equal(transformed["images"], fast["images"])


class Doubling(nn.Module):
    def forward(self, sample: Sample) -> Sample:
        return {**sample, "image": sample["image"] * 2}


class Drawing(nn.Module):
    def forward(self, sample: Sample, generator: Generator) -> Sample:
        return jitter(sample, generator)


def test_who_gets_a_generator() -> None:
    def scaled(sample: Sample, by: float = 2.0) -> Sample:
        return {**sample, "image": sample["image"] * by}

    def optional(sample: Sample, generator: Generator | None = None) -> Sample:
        assert generator is not None
        return sample

    records = Toys(2)
    for transform, draws in [(scaled, False), (Doubling(), False), (optional, True), (jitter, True), (Drawing(), True)]:
        reader = Reader(records, transform, 0)
        assert reader.draws is draws, transform
        reader[0, [0]]
    assert torch.equal(Reader(records, scaled, 0)[0, [0]]["images"][0], records.pixels[0] * 2)


def test_what_worker_processes_cannot_be_sent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig(epochs=1, batch_size=4, workers=1)
    plan = Plan.of(config, 8)
    monkeypatch.setattr(torch.multiprocessing, "get_start_method", lambda: "spawn")
    with pytest.raises(ValueError, match=r"workers is 1, .* by 'spawn' here, which cannot send them the transform"):
        next(stream(Reader(Toys(8), lambda sample: sample, 0), config, plan, 0, 0, 1))
    records = Toys(8)
    records.helper = lambda: None  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="cannot send them the records"):
        next(stream(Reader(records, jitter, 0), config, plan, 0, 0, 1))
    batch, _, _ = next(stream(Reader(Toys(8), jitter, 0), config, plan, 0, 0, 1))
    assert len(batch["images"]) == 4
