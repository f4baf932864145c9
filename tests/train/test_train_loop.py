"""The loop against a loop written out by hand, and what it leaves as it found it."""

import io
import itertools
import json
import math
import os
import random
import re
import select
import shutil
import subprocess
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, is_initialized
from torch import Tensor, nn
from train_kit import Noisy, Plain, StackedToys, Toys, farthest, identical, jitter, weights

from wsss_lib.data.records import Batch, Sample, batches
from wsss_lib.train import History, TrainConfig, checkpoint, epoch_seed, fit, loop, restore, resume
from wsss_lib.train.config import Plan
from wsss_lib.train.progress import Progress, epoch_line

CONFIG = TrainConfig(epochs=2, batch_size=4, lr=0.1)


def by_hand(method: nn.Module, records: Toys, config: TrainConfig) -> list[float]:
    """Momentum SGD with the poly schedule, as its formula stands in a textbook: no optimiser, no Accelerate."""
    velocity = {name: torch.zeros_like(p) for name, p in method.named_parameters()}
    step, total, losses = 0, config.epochs * math.ceil(len(records) / config.batch_size), []
    for epoch in range(config.epochs):
        order = batches(records, config.batch_size, shuffle=True, seed=epoch_seed(config.seed, epoch))
        for batch in order:
            loss = sum(method.losses(batch).values())
            gradients = torch.autograd.grad(loss, list(method.parameters()))
            rate = config.lr * (1 - step / total) ** 0.9
            with torch.no_grad():
                for (name, p), g in zip(method.named_parameters(), gradients, strict=True):
                    velocity[name] = config.momentum * velocity[name] + g + config.weight_decay * p
                    p -= rate * velocity[name]
            losses.append(float(loss.detach()))
            step += 1
    return losses


@pytest.mark.parametrize("kind", [Toys, StackedToys])
def test_the_loop_is_the_textbooks(kind: type[Toys]) -> None:
    ours, theirs = Plain(), Plain()
    history = fit(ours, kind(10), CONFIG)
    losses = by_hand(theirs, Toys(10), CONFIG)
    assert history.loss == pytest.approx(losses, rel=1e-6)
    assert farthest(weights(ours), weights(theirs)) < 1e-7
    assert farthest(weights(ours), weights(Plain())) > 1e-3, "something was learned"
    assert history.lr == pytest.approx([0.1 * (1 - t / 6) ** 0.9 for t in range(6)])
    assert list(history.terms) == ["classification", "size"]
    assert [a + b for a, b in zip(*history.terms.values(), strict=True)] == pytest.approx(history.loss)


def test_adamw_is_torchs() -> None:
    config = replace(CONFIG, optimiser="adamw", schedule="constant", weight_decay=0.05, lr=0.01)
    ours, theirs = Plain(), Plain()
    fit(ours, Toys(8), config)
    adam = torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.05)
    for epoch in range(2):
        for batch in batches(Toys(8), 4, shuffle=True, seed=epoch_seed(0, epoch)):
            adam.zero_grad()
            sum(theirs.losses(batch).values()).backward()
            adam.step()
    assert identical(weights(ours), weights(theirs))


@pytest.mark.parametrize("images", [32, 27])
def test_accumulating_two_batches_of_8_is_one_of_16(images: int) -> None:
    one, two = Plain(), Plain()
    whole = fit(one, Toys(images), TrainConfig(epochs=2, batch_size=16, lr=0.1))
    parts = fit(two, Toys(images), TrainConfig(epochs=2, batch_size=8, gradient_accumulation=2, lr=0.1))
    assert farthest(weights(one), weights(two)) < 1e-6
    assert len(parts) == len(whole) == 4
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)


def test_bf16_runs_and_stays_near(monkeypatch: pytest.MonkeyPatch) -> None:
    dtypes: list[torch.dtype] = []
    forward = Plain.forward

    def noting(self: Plain, images: Tensor) -> Tensor:
        dtypes.append(self.conv(images).dtype)
        return forward(self, images)

    monkeypatch.setattr(Plain, "forward", noting)
    half, full = Plain(), Plain()
    history = fit(half, Toys(16), replace(CONFIG, mixed_precision="bf16"))
    assert set(dtypes) == {torch.bfloat16}
    fit(full, Toys(16), CONFIG)
    assert set(dtypes) == {torch.bfloat16, torch.float32}
    assert 0 < farthest(weights(half), weights(full)) < 0.02
    assert all(value.dtype == torch.float32 for value in weights(half).values())
    assert all(math.isfinite(loss) for loss in history.loss)


class Elsewhere(Noisy):
    """The same method on a machine that rounds otherwise: each activation is off by one in its last place."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        images = batch["images"]
        return super().losses({**batch, "images": images * (1 + torch.finfo(images.dtype).eps)})


def test_in_64_bits_machines_that_round_otherwise_end_alike() -> None:
    apart = {}
    for double in (False, True):
        one, other = Noisy(), Elsewhere()
        for method in (one, other):
            fit(method, Toys(16), replace(CONFIG, epochs=20, optimiser="adamw", double=double))
        apart[double] = farthest(weights(one), weights(other))
        assert {value.dtype for value in weights(one).values()} == {torch.float32, torch.int64}
    assert apart[False] > 1e-4 > 1e-6 > apart[True], apart


def test_a_run_in_64_bits_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    class Death(Exception):
        pass

    def dying(method: nn.Module) -> dict[str, float]:
        assert method.conv.weight.dtype == torch.float64
        raise Death

    config = replace(CONFIG, double=True)
    whole, method = Plain(), Plain()
    fit(whole, Toys(10), config)
    with pytest.raises(Death):
        fit(method, Toys(10), config, out_dir=tmp_path, validate=dying)
    assert method.conv.weight.dtype == torch.float32, "given back as it came, also after an error"
    fit(method, Toys(10), config, out_dir=tmp_path)
    assert identical(weights(method), weights(whole))


def test_64_bits_are_for_weights_of_32() -> None:
    with pytest.raises(ValueError, match=r"weights are torch.float16, expected torch.float32: call method.float"):
        fit(Plain().half(), Toys(4), replace(CONFIG, double=True))
    with pytest.raises(ValueError, match="double is set and mixed_precision is 'bf16'"):
        replace(CONFIG, double=True, mixed_precision="bf16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("precision", ["no", "fp16", "bf16"])
def test_on_a_gpu_killed_runs_go_on(tmp_path: Path, precision: str) -> None:
    config = replace(CONFIG, mixed_precision=precision, device="cuda")
    whole, broken = Noisy(), Noisy()
    expected = fit(whole, Toys(10), config)
    interrupt(broken, config, tmp_path, Toys(10))
    again = Noisy()
    history = fit(again, Toys(10), config, out_dir=tmp_path)
    assert history.loss == pytest.approx(expected.loss, rel=1e-3)
    assert next(again.parameters()).is_cuda


def interrupt(method: nn.Module, config: TrainConfig, out_dir: Path, records: Toys, **options: object) -> None:
    """Run the first epoch and die in its validation's place."""

    class Death(Exception):
        pass

    def validate(method: nn.Module) -> dict[str, float]:
        if validate.calls:
            raise Death
        validate.calls += 1
        return {}

    validate.calls = 0
    with pytest.raises(Death):
        fit(method, records, config, out_dir=out_dir, validate=validate, **options)


def test_a_resumed_run_prints_what_the_unbroken_one_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = replace(CONFIG, epochs=3)

    def validate(method: nn.Module) -> dict[str, float]:
        return {"iou": 0.1234567}

    whole = fit(Plain(), Toys(10), config, validate=validate, progress="lines")
    lines = capsys.readouterr().out
    assert re.fullmatch(
        r"(epoch \d/3  loss \d\.\d{3}  classification \d\.\d{3}  size \d\.\d{3}  validation iou 0\.123\n){3}", lines
    ), lines

    class Death(Exception):
        pass

    def dying(method: nn.Module, state: dict = {"calls": 0}) -> dict[str, float]:  # noqa: B006
        state["calls"] += 1
        if state["calls"] == 3:
            raise Death
        return validate(method)

    with pytest.raises(Death):
        fit(Plain(), Toys(10), config, out_dir=tmp_path, validate=dying)
    capsys.readouterr()
    resumed = fit(Plain(), Toys(10), config, out_dir=tmp_path, validate=validate, progress="lines")
    assert capsys.readouterr().out == lines
    assert resumed == whole
    assert resumed.resumed_at == [6]
    fit(Plain(), Toys(10), config, out_dir=tmp_path, progress="lines")  # finished: nothing is trained, all is shown
    assert capsys.readouterr().out == lines


def test_a_line_is_in_the_log_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = io.BytesIO()
    log = io.TextIOWrapper(kept)
    monkeypatch.setattr(sys, "stdout", log)
    seen: list[bytes] = []

    def validate(method: nn.Module) -> dict[str, float]:
        seen.append(kept.getvalue())
        return {}

    fit(Plain(), Toys(10), replace(CONFIG, epochs=2), validate=validate, progress="lines")
    assert [text.count(b"epoch") for text in seen] == [0, 1]


@pytest.mark.skipif(os.name == "nt", reason="terminals")
def test_a_bar_follows_the_width_of_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import pty
    import termios

    reader, terminal = pty.openpty()
    with open(terminal, "w") as screen:
        monkeypatch.setattr(sys, "stderr", screen)
        shown, widths = None, []
        for columns in (70, 110):
            termios.tcsetwinsize(terminal, (30, columns))
            shown = shown or Progress("bar", Plan(8, 4, 2, 2, 1), History(2, loss=[1.0]))
            assert shown.bar is not None
            shown.bar.refresh()
            said = b""  # the kernel hands it over in parts, and when it likes
            while select.select([reader], [], [], 0.2 if said else 30)[0]:
                said += os.read(reader, 10_000)
            widths.append(len(said.decode().rpartition("\r")[2]))
        shown.close()
    os.close(reader)
    assert widths == [69, 109], "a column is left to the cursor"


def test_a_line_by_hand() -> None:
    history = History(2, loss=[1.0, 2.0, 0.5], terms={"a": [1.0, 2.0, 0.5]}, lr=[0.1] * 3)
    history.metrics = [{"epoch": 1, "step": 2}, {"epoch": 2, "step": 3, "iou": 0.25, "box": 1.0}]
    assert epoch_line(history, 1, 2) == "epoch 1/2  loss 1.500"
    assert epoch_line(history, 2, 2) == "epoch 2/2  loss 0.500  validation iou 0.250  box 1.000"


def test_styles(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fit(Plain(), Toys(4), CONFIG)
    assert capsys.readouterr() == ("", ""), "auto is quiet where nobody looks"
    fit(Plain(), Toys(4), CONFIG, progress="bar")
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 2/2" in err
    assert "loss 0." in err
    assert "images/s" in err
    with pytest.raises(ValueError, match="progress is 'loud': choose one of auto, bar, lines, none"):
        fit(Plain(), Toys(4), CONFIG, progress="loud")  # type: ignore[arg-type]

    from wsss_lib.train import progress

    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    assert progress.choose("auto") == "bar"

    class Shell:
        kernel = object()

    class FakeIPython:
        get_ipython = staticmethod(Shell)

    monkeypatch.setitem(progress.sys.modules, "IPython", FakeIPython)  # type: ignore[arg-type]
    assert progress.choose("auto") == "lines"


def test_the_global_generators_are_given_back(tmp_path: Path) -> None:
    torch.manual_seed(11), random.seed(12), np.random.seed(13)  # noqa: NPY002
    expected = torch.rand(2), random.random(), np.random.rand()  # noqa: NPY002
    torch.manual_seed(11), random.seed(12), np.random.seed(13)  # noqa: NPY002
    method = Noisy.__new__(Noisy)  # its constructor seeds
    state = torch.get_rng_state()
    Noisy.__init__(method)
    torch.set_rng_state(state)
    fit(method, Toys(8), CONFIG, out_dir=tmp_path, transform=jitter)
    assert torch.equal(torch.rand(2), expected[0])
    assert random.random() == expected[1]
    assert np.random.rand() == expected[2]  # noqa: NPY002


def test_the_callers_draws_do_not_matter() -> None:
    results = []
    for seed in (1, 2):
        method = Noisy()
        torch.manual_seed(seed), random.seed(seed), np.random.seed(seed)  # noqa: NPY002
        fit(method, Toys(8), CONFIG)
        results.append(weights(method))
    assert identical(*results)
    other = Noisy()
    fit(other, Toys(8), replace(CONFIG, seed=1))
    assert not identical(results[0], weights(other))


def test_modes_come_back_even_after_an_error() -> None:
    method = Noisy().eval()
    method.head.train()
    modes = [module.training for module in method.modules()]
    fit(method, Toys(8), CONFIG)
    assert [module.training for module in method.modules()] == modes
    with torch.no_grad():
        method.head.weight.fill_(torch.inf)
    with pytest.raises(FloatingPointError):
        fit(method, Toys(8), CONFIG)
    assert [module.training for module in method.modules()] == modes
    assert all(p.grad is None for p in method.parameters())
    assert "forward" not in vars(method), "Accelerate patched its wrapper, not the method"


def test_accelerate_of_the_caller_is_left_alone() -> None:
    assert not is_initialized(), "no earlier test left a state"
    fit(Plain(), Toys(4), CONFIG)
    assert not is_initialized(), "one process needs none"
    mine = Accelerator(cpu=True, mixed_precision="no", gradient_accumulation_steps=3)
    other, alone = Plain(), Plain()
    fit(other, Toys(4), replace(CONFIG, mixed_precision="bf16"))
    assert (mine.mixed_precision, mine.gradient_accumulation_steps) == ("no", 3)
    assert mine.device.type == "cpu"
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    fit(alone, Toys(4), replace(CONFIG, mixed_precision="bf16"))
    assert identical(weights(other), weights(alone)), "nor does the caller's reach into the run"


def test_the_launchers_accumulation_does_not_divide_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, launched = Plain(), Plain()
    fit(plain, Toys(8), CONFIG)
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    fit(launched, Toys(8), CONFIG)
    assert identical(weights(plain), weights(launched))


def test_validation_leaves_no_trace() -> None:
    def intrusive(method: nn.Module) -> dict[str, float]:
        assert not method.training
        assert not torch.is_grad_enabled()
        random.random(), np.random.rand(), torch.rand(3)  # noqa: NPY002
        with torch.enable_grad():
            method.losses({"images": torch.rand(2, 3, 8, 8), "labels": torch.ones(2, 3)})["classification"].backward()
        return {"drawn": 1}

    quiet, validated = Noisy(), Noisy()
    fit(quiet, Toys(8), replace(CONFIG, epochs=5))
    history = fit(validated, Toys(8), replace(CONFIG, epochs=5), validate=intrusive, validate_every=2)
    assert identical(weights(quiet), weights(validated))
    assert history.metrics == [{"epoch": e, "step": 2 * e, "drawn": 1.0} for e in (2, 4, 5)]
    with pytest.raises(TypeError, match="validate returned float"):
        fit(Plain(), Toys(8), CONFIG, validate=lambda method: 0.5)  # type: ignore[arg-type, return-value]


class Exploding(Plain):
    """Its second term is not a number from the update ``at`` on."""

    def __init__(self, at: int, value: float) -> None:
        super().__init__()
        self.at, self.value, self.calls = at, value, 0

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        self.calls += 1
        terms = super().losses(batch)
        return terms if self.calls < self.at else {**terms, "size": terms["size"] * self.value}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_named(value: float) -> None:
    method, healthy = Exploding(4, value), Exploding(99, value)
    with pytest.raises(FloatingPointError, match=rf"the loss term 'size' is {value} in update 4 of 6 \(epoch 2\)"):
        fit(method, Toys(10), CONFIG)
    with pytest.raises(FloatingPointError, match="update 4"):
        fit(Exploding(4, value), Toys(10), replace(CONFIG, clip_norm=1.0))
    fit(healthy, Toys(10), replace(CONFIG, epochs=None, steps=3, schedule="constant"))
    stopped = Exploding(4, value)
    with pytest.raises(FloatingPointError):
        fit(stopped, Toys(10), replace(CONFIG, schedule="constant"))
    assert identical(weights(stopped), weights(healthy)), "the parameters are those before the update"


class Returning(Plain):
    def __init__(self, terms: object) -> None:
        super().__init__()
        self.terms, self.calls = terms, 0

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        self.calls += 1
        return self.terms(super().losses(batch), self.calls)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        (lambda t, n: t["size"], "returned Tensor, expected a dictionary"),
        (lambda t, n: {}, "at least one scalar"),
        (lambda t, n: {"size": 1.0}, "'size' is float, expected a scalar tensor"),
        (lambda t, n: {"size": t["size"].expand(4)}, r"'size' is a tensor of shape \(4,\)"),
        (lambda t, n: {"size": t["size"].detach()}, "no loss term of Returning depends on a trainable parameter"),
        (lambda t, n: t if n < 3 else {"size": t["size"]}, "returned size after classification, size before"),
    ],
)
def test_losses_that_are_none(terms: object, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        fit(Returning(terms), Toys(10), CONFIG)


class Grouped(Plain):
    """Groups as WSSS papers have them."""

    def __init__(self, groups: object) -> None:
        super().__init__()
        self.groups = groups

    def parameter_groups(self, lr: float) -> list[dict]:
        return self.groups(self, lr)  # type: ignore[operator]


def moved(method: nn.Module, config: TrainConfig) -> dict[str, Tensor]:
    before = weights(method)
    fit(method, Toys(4), config)
    return {name: value - before[name] for name, value in weights(method).items()}


def test_groups_have_rates_of_their_own() -> None:
    # One update without momentum or decay moves each parameter by its rate times the gradient.
    config = TrainConfig(steps=1, batch_size=4, lr=0.1, momentum=0, weight_decay=0)
    plain = moved(Plain(), config)

    def head(m: Grouped, lr: float) -> list[dict]:
        return [{"params": m.conv.parameters()}, {"params": m.head.parameters(), "name": "head"}]

    def with_rates(m: Grouped, lr: float) -> list[dict]:
        return [
            {"params": [m.conv.weight, *m.head.parameters()], "lr": 3 * lr},
            {"params": m.conv.bias, "weight_decay": 2.0},
        ]

    ten = moved(Grouped(head), replace(config, head_lr=10.0))
    assert torch.allclose(ten["head.weight"], 10 * plain["head.weight"], rtol=1e-4, atol=1e-7)
    assert torch.allclose(ten["conv.weight"], plain["conv.weight"])
    mixed = moved(Grouped(with_rates), config)
    assert torch.allclose(mixed["conv.weight"], 3 * plain["conv.weight"], rtol=1e-4, atol=1e-7)
    decayed = plain["conv.bias"] - 0.1 * 2.0 * Plain().conv.bias.detach()
    assert torch.allclose(mixed["conv.bias"], decayed, atol=1e-6)


def test_groups_that_forget_or_surprise_are_refused() -> None:
    def forgetful(m: Grouped, lr: float) -> list[dict]:
        return [{"params": m.conv.parameters()}]

    with pytest.raises(ValueError, match=r"leaves out head\.weight, head\.bias, which would get gradients"):
        fit(Grouped(forgetful), Toys(4), CONFIG)
    frozen = Grouped(forgetful)
    frozen.head.requires_grad_(False)
    change = moved(frozen, CONFIG)
    assert not change["head.weight"].any()
    assert change["conv.weight"].any()
    with pytest.raises(ValueError, match="names 1 parameters that are not among"):
        fit(Grouped(lambda m, lr: [{"params": [nn.Parameter(torch.ones(1))]}]), Toys(4), CONFIG)
    with pytest.raises(ValueError, match="head_lr is 10"):
        fit(Plain(), Toys(4), replace(CONFIG, head_lr=10.0))
    with pytest.raises(ValueError, match="nothing can be trained"):
        fit(Plain().requires_grad_(False), Toys(4), CONFIG)


def test_clipping_bounds_the_step() -> None:
    config = TrainConfig(steps=1, batch_size=4, lr=1.0, momentum=0, weight_decay=0)
    free, bound = moved(Plain(), config), moved(Plain(), replace(config, clip_norm=0.01))
    norm = math.sqrt(sum(float(change.square().sum()) for change in bound.values()))
    assert norm == pytest.approx(0.01, rel=1e-3)
    scale = 0.01 / math.sqrt(sum(float(change.square().sum()) for change in free.values()))
    assert all(torch.allclose(bound[name], free[name] * scale, atol=1e-6) for name in free)


def test_another_run_is_not_continued(tmp_path: Path) -> None:
    fit(Plain(), Toys(8), CONFIG, out_dir=tmp_path, transform=jitter)
    said = {
        r"settings\.lr is 0\.2, in the checkpoint it is 0\.1": (Plain(), Toys(8), replace(CONFIG, lr=0.2), jitter),
        r"records\.fingerprint is 'beef', in the checkpoint it is 'f00d'": (Plain(), Toys(8, "beef"), CONFIG, jitter),
        r"records\.images is 9": (Plain(), Toys(9), CONFIG, jitter),
        r"method\.class is 'Noisy'": (Noisy(), Toys(8), CONFIG, jitter),
        r"transform is None, in the checkpoint it is 'jitter'": (Plain(), Toys(8), CONFIG, None),
    }
    for message, (method, records, config, transform) in said.items():
        with pytest.raises(ValueError, match=message) as caught:
            fit(method, records, config, out_dir=tmp_path, transform=transform)
        assert "resume=False" in str(caught.value)
    # What does not decide the weights may change.
    free = replace(CONFIG, keep=5, workers=1, checkpoint_every=3, device="cpu")
    assert fit(Plain(), Toys(8), free, out_dir=tmp_path, transform=jitter).resumed_at == [4]
    fresh = fit(Plain(), Toys(8), replace(CONFIG, epochs=1), out_dir=tmp_path, resume=False)
    assert (len(fresh), fresh.resumed_at) == (2, [])
    assert restore(Plain(), tmp_path) == 2


@dataclass(frozen=True)
class Settings:
    field: int = 3


def test_the_methods_settings_and_shapes_count(tmp_path: Path) -> None:
    method = Plain()
    method.config = Settings()  # type: ignore[assignment]
    fit(method, Toys(4), CONFIG, out_dir=tmp_path)
    method.config = Settings(5)  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"method\.config\.field is 5, in the checkpoint it is 3"):
        fit(method, Toys(4), CONFIG, out_dir=tmp_path)
    method.config = Settings()  # type: ignore[assignment]
    method.head.weight = nn.Parameter(torch.rand(3, 5, 1))
    with pytest.raises(ValueError, match=r"shapes\.head\.weight is \[3, 5, 1\], in the checkpoint it is \[3, 5\]"):
        fit(method, Toys(4), CONFIG, out_dir=tmp_path)


def test_frozen_weights_count_and_trained_ones_do_not(tmp_path: Path) -> None:
    def built(seed: int, frozen: str = "conv") -> Plain:
        method = Plain()
        torch.manual_seed(seed)
        nn.init.normal_(method.conv.weight)
        method.get_submodule(frozen).requires_grad_(False)
        return method

    fit(built(0), Toys(4), CONFIG, out_dir=tmp_path)
    assert fit(built(0), Toys(4), CONFIG, out_dir=tmp_path).resumed_at == [2]
    for other in (built(1), built(0, "head"), Plain()):
        with pytest.raises(ValueError, match=r"method\.frozen\.\S+ is .*, in the checkpoint it is"):
            fit(other, Toys(4), CONFIG, out_dir=tmp_path)
    fit(built(0, "head"), Toys(4), CONFIG, out_dir=tmp_path / "head")
    assert fit(built(1, "head"), Toys(4), CONFIG, out_dir=tmp_path / "head").resumed_at == [2]


class Brighter:
    """A transform with a setting."""

    def __init__(self, by: float) -> None:
        self.by, self.then = by, [jitter]

    def __call__(self, sample: Sample) -> Sample:
        return {**sample, "image": sample["image"] * self.by}


def test_the_transforms_settings_count(tmp_path: Path) -> None:
    fit(Plain(), Toys(4), CONFIG, out_dir=tmp_path, transform=Brighter(0.5))
    assert fit(Plain(), Toys(4), CONFIG, out_dir=tmp_path, transform=Brighter(0.5)).resumed_at == [2]
    with pytest.raises(ValueError, match=r"transform\.by is 0\.7, in the checkpoint it is 0\.5"):
        fit(Plain(), Toys(4), CONFIG, out_dir=tmp_path, transform=Brighter(0.7))


def test_damage_falls_back_and_ends_the_same(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=4, keep=3)
    whole = Noisy()
    expected = fit(whole, Toys(10), config, out_dir=tmp_path)
    folders = sorted((tmp_path / "checkpoints").iterdir())
    assert [folder.name for folder in folders] == ["step_00000006", "step_00000009", "step_00000012"]
    (folders[2] / "optimiser.safetensors").write_bytes(b"half")
    (folders[1] / "state.json").unlink()
    again = Noisy()
    with pytest.warns(UserWarning, match="damaged") as caught:
        history = fit(again, Toys(10), config, out_dir=tmp_path)
    assert len(caught) == 2
    assert history.resumed_at == [6]
    assert history == expected
    assert identical(weights(whole), weights(again))
    for folder in (tmp_path / "checkpoints").iterdir():
        (folder / "model.safetensors").unlink()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert fit(Noisy(), Toys(10), config, out_dir=tmp_path) == expected
    said = [str(warning.message) for warning in caught]
    assert len(said) == 4
    assert f"no checkpoint in {tmp_path / 'checkpoints'} is intact: the run starts at step 0" == said[-1]


def test_the_first_checkpoint_holds_the_first_weights(tmp_path: Path) -> None:
    # Killed in its first update, a run of a method that nobody seeded starts from the same weights again.
    with pytest.raises(FloatingPointError):
        fit(Exploding(1, math.nan), Toys(8), CONFIG, out_dir=tmp_path)
    other = Exploding(9, math.nan)
    with torch.no_grad():
        other.head.weight.zero_()
    history = fit(other, Toys(8), CONFIG, out_dir=tmp_path)
    expected = Plain()
    assert history.resumed_at == [0]
    fit(expected, Toys(8), CONFIG)
    assert identical(weights(other), weights(expected))


def test_there_is_no_pickle_and_no_path_on_disk(tmp_path: Path) -> None:
    fit(Noisy(), Toys(8), CONFIG, out_dir=tmp_path)
    files = [path for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {
        "model.safetensors",
        "optimiser.safetensors",
        "random_0.safetensors",
        "random_0.json",
        "state.json",
        "SHA256SUMS",
    }
    state = json.loads((tmp_path / "checkpoints/step_00000004/state.json").read_text())
    assert (state["step"], state["epoch"]) == (4, 2)
    assert state["run"]["settings"]["lr"] == 0.1
    assert state["circumstances"]["torch"] == torch.__version__
    assert str(tmp_path) not in json.dumps(state)


def test_other_circumstances_are_told(tmp_path: Path) -> None:
    fit(Plain(), Toys(8), CONFIG, out_dir=tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.warns(UserWarning, match=f"threads is {threads + 1}, in the checkpoint it is {threads}"):
            fit(Plain(), Toys(8), CONFIG, out_dir=tmp_path)
    finally:
        torch.set_num_threads(threads)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(Plain(), Toys(8), CONFIG, out_dir=tmp_path)


def test_machines_and_methods_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"fp16.*needs a GPU"):
        fit(Plain(), Toys(4), replace(CONFIG, mixed_precision="fp16", device="cpu"))
    with pytest.raises(ValueError, match="device is 'tpu', expected one of auto, cpu, cuda, mps"):
        fit(Plain(), Toys(4), replace(CONFIG, device="tpu"))
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="device is 'cuda', but this machine has none"):
            fit(Plain(), Toys(4), replace(CONFIG, device="cuda"))
    with pytest.raises(TypeError, match=r"Linear has no losses\(batch\)"):
        fit(nn.Linear(1, 1), Toys(4), CONFIG)
    with pytest.raises(ValueError, match="do not fill one update"):
        fit(Plain(), Toys(0), CONFIG)
    with pytest.raises(ValueError, match="validate_every is 0"):
        fit(Plain(), Toys(4), CONFIG, validate=lambda method: {}, validate_every=0)


def test_gradients_that_are_off_are_named() -> None:
    for off in (torch.no_grad, torch.inference_mode):
        with off(), pytest.raises(RuntimeError, match="gradients are switched off here"):
            fit(Plain(), Toys(4), CONFIG)


def test_a_left_over_of_a_launcher_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match=r"WORLD_SIZE is 2 .* LOCAL_RANK, MASTER_ADDR, MASTER_PORT are not set.*unset"):
        fit(Plain(), Toys(4), CONFIG)
    monkeypatch.setenv("WORLD_SIZE", "1")
    fit(Plain(), Toys(4), CONFIG)


def test_another_process_in_the_folder_is_told_to_wait(tmp_path: Path) -> None:
    program = "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"
    command = [sys.executable, "-c", program, str(tmp_path / "checkpoints.lock")]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdout.readline()
    try:
        with pytest.raises(RuntimeError, match=r"another run trains in .*wait until it ends"):
            fit(Plain(), Toys(4), CONFIG, out_dir=tmp_path)
        assert not (tmp_path / "checkpoints").exists()
    finally:
        other.kill()
        other.wait()
    fit(Plain(), Toys(4), CONFIG, out_dir=tmp_path)  # the lock went with the process


def test_a_folder_that_cannot_be_locked_is_used_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(lock: object, **options: object) -> None:
        raise NotImplementedError("no locks here")

    monkeypatch.setattr(resume.FileLock, "acquire", refuse)
    with pytest.warns(UserWarning, match=r"cannot be locked \(no locks here\)"):
        fit(Plain(), Toys(4), CONFIG, out_dir=tmp_path)
    assert restore(Plain(), tmp_path) == 2


def test_a_compiled_method_and_a_plain_one_are_the_same_run(tmp_path: Path) -> None:
    plain, compiled = Plain(), Plain()
    expected = fit(plain, Toys(8), CONFIG)
    compiled.conv = torch.compile(compiled.conv, backend="eager")  # type: ignore[assignment]
    fit(compiled, Toys(8), replace(CONFIG, checkpoint_every=1), out_dir=tmp_path)
    names = checkpoint.newest(checkpoint.root_of(tmp_path)).tensors("model")  # type: ignore[union-attr]
    assert set(names) == set(plain.state_dict())
    shutil.rmtree(tmp_path / "checkpoints/step_00000004")
    other = Plain()
    history = fit(other, Toys(8), replace(CONFIG, checkpoint_every=1), out_dir=tmp_path)
    assert (history.resumed_at, history.loss) == ([3], expected.loss)
    assert identical(weights(other), weights(plain))
    again = torch.compile(Plain(), backend="eager")
    assert restore(again, tmp_path) == 4
    assert fit(again, Toys(8), CONFIG, out_dir=tmp_path).resumed_at == [3, 4]


def test_a_resumed_run_adds_its_seconds_to_those_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = replace(CONFIG, checkpoint_every=1)
    fit(Plain(), Toys(8), every, out_dir=tmp_path)
    root = checkpoint.root_of(tmp_path)
    shutil.rmtree(root / "step_00000004")
    kept = checkpoint.newest(root)
    assert kept is not None
    before = kept.state()["history"]["seconds"]
    ticks = itertools.count(1000)  # a second at each look at the clock
    monkeypatch.setattr(loop.time, "perf_counter", lambda: float(next(ticks)))
    resumed = fit(Plain(), Toys(8), every, out_dir=tmp_path)
    assert resumed.resumed_at == [3]
    looks = next(ticks) - 1001
    assert before + 1 <= resumed.seconds <= before + looks


def test_history_is_saved_and_described(tmp_path: Path) -> None:
    history = fit(Plain(), Toys(10), CONFIG, validate=lambda method: {"iou": 1 / 3})
    history.save(tmp_path / "history.json")
    again = History.load(tmp_path / "history.json")
    assert again == history
    assert again.seconds == history.seconds > 0
    assert history.epoch_means() == pytest.approx([sum(history.loss[:3]) / 3, sum(history.loss[3:]) / 3])
    first, last = history.epoch_means()
    assert history.describe() == f"training loss from {first:.3f} in the first to {last:.3f} in the last of 2 epochs"
    assert repr(history) == f"History(6 steps, 2 epochs, {history.describe()})"
    assert History(3).describe() == "no updates yet"
