"""Settings, the learning rate that follows from them, and the counting of updates."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsss_lib.train import TrainConfig
from wsss_lib.train.config import Plan


def test_poly_is_the_formula_of_the_papers() -> None:
    config = TrainConfig(epochs=1)
    assert config.factor(0, 100) == 1.0
    assert config.factor(50, 100) == pytest.approx(0.5**0.9)
    assert config.factor(99, 100) == pytest.approx(0.01**0.9)


def test_cosine_and_constant_by_hand() -> None:
    cosine = TrainConfig(epochs=1, schedule="cosine")
    assert [cosine.factor(t, 4) for t in range(4)] == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, 0.1464466])
    assert TrainConfig(epochs=1, schedule="constant").factor(3, 4) == 1.0


def test_warmup_climbs_linearly_and_the_schedule_takes_the_rest() -> None:
    config = TrainConfig(epochs=1, warmup=3, power=1.0)
    assert [config.factor(t, 7) for t in range(7)] == pytest.approx([0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": 1, "seed": -1}, "seed is -1: pass a whole number from 0 to 2"),
        ({"epochs": 1, "seed": 2**63}, "seed is 9223372036854775808: pass"),
        ({"epochs": 1, "seed": "7"}, "seed is '7': pass"),
        ({}, "exactly one"),
        ({"epochs": 1, "steps": 1}, "exactly one"),
        ({"epochs": 0}, "epochs is 0"),
        ({"epochs": 1.5}, "epochs is 1.5"),
        ({"epochs": 1, "lr": 0}, "lr is 0"),
        ({"epochs": 1, "lr": math.nan}, "lr is nan"),
        ({"epochs": 1, "momentum": 1.0}, "momentum is 1.0"),
        ({"epochs": 1, "momentum": 0, "nesterov": True}, "nesterov"),
        ({"epochs": 1, "weight_decay": -1}, "weight_decay is -1"),
        ({"epochs": 1, "optimiser": "adam"}, "optimiser is 'adam'"),
        ({"epochs": 1, "schedule": "step"}, "schedule is 'step'"),
        ({"epochs": 1, "mixed_precision": "fp8"}, "mixed_precision is 'fp8'"),
        ({"epochs": 1, "workers": -1}, "workers is -1"),
        ({"epochs": 1, "clip_norm": 0.0}, "clip_norm is 0.0"),
        ({"epochs": 1, "keep": 0}, "keep is 0"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainConfig(**settings)


def test_plan_by_hand() -> None:
    # 10 images, 2 × 2 an update: 4, 4, 2.
    plan = Plan.of(TrainConfig(epochs=2, batch_size=2, gradient_accumulation=2), 10)
    assert (plan.steps_per_epoch, plan.steps, plan.epochs) == (3, 6, 2)
    assert [plan.images(step) for step in range(6)] == [4, 4, 2, 4, 4, 2]
    dropped = Plan.of(TrainConfig(steps=5, batch_size=4, drop_last=True), 10)
    assert (dropped.records, dropped.steps_per_epoch, dropped.epochs) == (8, 2, 3)
    with pytest.raises(ValueError, match="do not fill one update of 16"):
        Plan.of(TrainConfig(steps=5, batch_size=16, drop_last=True), 10)


def test_by_default_32_images_are_an_update() -> None:
    assert [Plan.of(TrainConfig(epochs=1), images).steps for images in (32, 33)] == [1, 2]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_plan_counts_every_image_once(records: int, size: int, accumulation: int, epochs: int, drop: bool) -> None:
    config = TrainConfig(epochs=epochs, batch_size=size, gradient_accumulation=accumulation, drop_last=drop)
    if drop and records < size * accumulation:
        return
    plan = Plan.of(config, records)
    running = 0
    for step in range(plan.steps):
        assert plan.images_before(step) == running
        assert 1 <= plan.images(step) <= size * accumulation
        running += plan.images(step)
    assert running == plan.images_before(plan.steps) == epochs * plan.records
    assert plan.records == records if not drop else records - records % (size * accumulation)


def test_a_boolean_is_no_seed():
    with pytest.raises(ValueError, match="seed is True"):
        TrainConfig(epochs=1, seed=True)
