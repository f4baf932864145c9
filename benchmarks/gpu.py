"""Does every method train on this GPU as it does on a CPU, how fast, and in how much memory? `make gpu` runs this.

Of every registered method that is trained, in 32 bits and in bf16:

* its predictions and losses for one batch on the GPU, beside those on the CPU;
* a short training on its drawn world by the loop that the chapters use;
* updates of a network of ordinary size: images a second, the largest memory, and the share of the arithmetic that the
  card does in a matrix product of the same precision.

    make gpu                                             at most 8 minutes on one GPU
    python benchmarks/gpu.py --device cpu --only cam     the same code on a CPU, in small, nothing recorded

Without a GPU it says so. With one it writes results/bench_gpu.json, prints the same as a Markdown table, and ends with
an error where a method does not agree.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from wsss_lib.backbones import backbone
from wsss_lib.data.records import Batch, to_device
from wsss_lib.experiments import Workbench, results
from wsss_lib.methods import registry
from wsss_lib.train import fit

WORLDS = {"maps": "critters", "grounding": "sentences", "boxes3d": "lidar"}
LARGE = {"tiny_cnn": "resnet50", "tiny_vit": "deit_small"}
"""The network of ordinary size in the place of each small one."""
PRECISIONS: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16}
TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}
"""How far a prediction or a loss may be from the CPU's in 32 bits, as a share of the largest of its kind."""


@dataclass(frozen=True)
class Size:
    """How much is done: on a GPU, and in small on a CPU."""

    batch: int
    side: int
    updates: int
    training: int
    square: int
    large: bool


ON_GPU = Size(batch=32, side=224, updates=20, training=40, square=8192, large=True)
IN_SMALL = Size(batch=4, side=64, updates=2, training=3, square=256, large=False)


def wait(device: torch.device) -> None:
    """Until the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], Any], times: int, device: torch.device) -> float:
    """Of one call, by the clock, after two that do not count."""
    for _ in range(2):
        work()
    wait(device)
    start = time.perf_counter()
    for _ in range(times):
        work()
    wait(device)
    return (time.perf_counter() - start) / times


def arithmetic(dtype: torch.dtype | None, size: Size, device: torch.device) -> float:
    """Operations a second in a product of two square matrices."""
    one = torch.randn(size.square, size.square, device=device, dtype=dtype or torch.float32)
    return 2 * size.square**3 / seconds(lambda: one @ one, 10, device)


def precise(dtype: torch.dtype | None, device: torch.device) -> torch.autocast:
    """Within the block, forward passes have this precision."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def small_case(name: str) -> tuple[Workbench, nn.Module, Batch]:
    """A method on its drawn world, and a batch of it."""
    entry = registry.entry(name)
    lab = Workbench(profile="smoke", data=WORLDS[entry.task], backbone=entry.backbone, device="cpu")
    method = lab.build(name)
    records = lab.with_fields(lab.train_on.subset(range(8)), method.needs)
    return lab, method, records.batch(range(8))


def large_case(name: str, size: Size) -> tuple[nn.Module, Batch]:
    """A method with a network of ordinary size, and a batch; of what sees no photographs its own small one."""
    entry = registry.entry(name)
    if entry.task != "maps":
        _, method, batch = small_case(name)
        return method, batch
    torch.manual_seed(0)
    kind = LARGE[entry.backbone] if size.large else entry.backbone
    classes = 20
    method = registry.build(name, backbone(kind, weights=None), classes)
    labels = torch.eye(classes)[torch.arange(size.batch) % classes]
    tiles = torch.arange(size.side)[:, None] // 16 * 100 + torch.arange(size.side) // 16 + 1
    masks = (tiles % 2) * (labels.argmax(1) + 1)[:, None, None]
    images = torch.rand(size.batch, 3, size.side, size.side)
    planes = {"masks": masks, "superpixels": tiles.expand(size.batch, -1, -1).contiguous()}
    return method, {"images": images, "labels": labels, **planes}


def losses(method: nn.Module, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    """Of a batch, its random draws from the seed."""
    torch.manual_seed(seed)
    return method.losses(batch)  # type: ignore[operator, no-any-return]


def answers(method: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """What the method says of a batch in evaluation mode, and its losses."""
    method.eval()
    with torch.no_grad():
        said: dict[str, Tensor] = {}
        if getattr(method, "task", "") == "maps":
            prediction = method.predict(batch["images"])  # type: ignore[operator]
            said |= {"maps": prediction.maps, "logits": prediction.logits}
        said |= {f"loss {key}": value for key, value in losses(method, batch).items()}
    return {key: value.detach().float().cpu() for key, value in said.items() if value is not None}


def drawn(method: nn.Module, batch: Batch) -> set[str]:
    """Names of the losses in which a random draw has part. A CPU is asked, whose sums are the same each time."""
    with torch.no_grad():
        terms, again = losses(method.eval(), batch), losses(method, batch, seed=1)
    return {f"loss {key}" for key, value in terms.items() if not torch.equal(value, again[key])}


def furthest(ours: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> float:
    """The largest difference, each as a share of the largest value of its kind; infinite where one is no number.

    Raises:
        ValueError: There is nothing to compare, which is no agreement.
    """
    if not reference:
        raise ValueError("no prediction and no loss without a random draw: there is nothing to compare")
    shares = []
    for key in reference:
        scale = max(float(reference[key].abs().max()), 1e-3)
        share = float((ours[key] - reference[key]).abs().max()) / scale
        shares.append(share if math.isfinite(share) else math.inf)
    return max(shares)


def agreement(name: str, dtype: torch.dtype | None, device: torch.device) -> float:
    """How far the method is from itself on a CPU in 32 bits."""
    _, method, batch = small_case(name)
    chance = drawn(copy.deepcopy(method), batch)
    reference = {key: value for key, value in answers(copy.deepcopy(method), batch).items() if key not in chance}
    with precise(dtype, device):
        return furthest(answers(method.to(device), to_device(batch, device)), reference)


def trained(name: str, precision: str, device: torch.device, size: Size) -> dict[str, float]:
    """A short training by the chapters' loop: its loss at both ends, and images a second with all that reads them."""
    lab, method, _ = small_case(name)
    records = lab.with_fields(lab.train_on, method.needs)
    batch = min(32, len(records))
    lab.device = device
    changes = {"epochs": None, "steps": max(size.training, len(method.phases())), "batch_size": batch}
    start = time.perf_counter()
    config = lab.recipe(method, mixed_precision="no" if precision == "fp32" else precision, **changes)
    history = fit(method, records, config, transform=lab.transform(), progress="none")
    wait(device)
    spent = time.perf_counter() - start
    return {
        "first_loss": history.loss[0],
        "last_loss": history.loss[-1],
        "loop_images_a_second": batch * len(history) / spent,
    }


def speed(name: str, dtype: torch.dtype | None, device: torch.device, size: Size, limit: float) -> dict[str, Any]:
    """Updates of one batch: images a second, memory, and the share of what the card does in a matrix product."""
    method, batch = large_case(name, size)
    method, batch = method.to(device).train(), to_device(batch, device)
    optimiser = torch.optim.AdamW(method.parameters(), lr=1e-5)
    images = len(batch["labels"] if "labels" in batch else next(iter(batch.values())))

    def update() -> None:
        with precise(dtype, device):
            terms = method.losses(batch)  # type: ignore[operator]
        sum(term.float() for term in terms.values()).backward()
        optimiser.step()
        optimiser.zero_grad()

    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    update()
    with FlopCounterMode(display=False) as counter:
        update()
    each = seconds(update, size.updates, device)
    memory = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
    return {
        "images": images,
        "images_a_second": images / each,
        "mib": memory,
        "share_of_card": counter.get_total_flops() / each / limit,
    }


def as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line for each method and precision."""
    heads = (
        "method",
        "precision",
        "apart from the CPU",
        "images/s",
        "images/s of the loop",
        "MiB",
        "share of the card",
    )
    lines = ["| " + " | ".join(heads) + " |", "|:--|:--|" + "--:|" * (len(heads) - 2)]
    for row in rows:
        memory = "–" if row["mib"] is None else f"{row['mib']:.0f}"
        values = (f"{row['apart']:.1e}", f"{row['images_a_second']:.0f}", f"{row['loop_images_a_second']:.0f}", memory)
        cells = (registry.entry(row["method"]).title, row["precision"], *values, f"{row['share_of_card']:.1%}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for a small trial that records nothing")
    parser.add_argument("--only", action="append", help="a method by its registered name; may be repeated")
    parser.add_argument("--minutes", type=float, default=8.0, help="what is not begun by then is left out (default: 8)")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA GPU here, so nothing was measured: run `make gpu` on a machine with one.")
        return
    names = [name for name in registry.names() if registry.entry(name).trained]
    if unknown := set(options.only or ()) - set(names):
        parser.error(f"{', '.join(sorted(unknown))} is not among the trained methods: {', '.join(names)}")
    # 32 bits are 32 bits here: by default convolutions would round their inputs to 19.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    size = ON_GPU if device.type == "cuda" else IN_SMALL
    limits = {key: arithmetic(dtype, size, device) for key, dtype in PRECISIONS.items()}
    start, rows, left = time.perf_counter(), [], []
    for name in options.only or names:
        for precision, dtype in PRECISIONS.items():
            if time.perf_counter() - start > 60 * options.minutes:
                left.append(f"{name} in {precision}")
                continue
            row: dict[str, Any] = {"method": name, "precision": precision, "apart": agreement(name, dtype, device)}
            row |= trained(name, precision, device, size)
            row |= speed(name, dtype, device, size, limits[precision])
            rows.append(row)
            print(f"  {name}, {precision}: {time.perf_counter() - start:.0f} s", flush=True)
    print("\n" + as_markdown(rows))
    if left:
        print(f"\nNot measured for want of time: {', '.join(left)}")
    if device.type == "cuda" and not options.only:
        results.record(
            "bench_gpu",
            {"rows": rows, "operations_a_second": limits, "tolerance": TOLERANCE, "left_out": left},
            command="make gpu",
            fingerprint="drawn worlds, and random images of 224 px",
            seeds=[0],
            wall_seconds=time.perf_counter() - start,
            note=f"updates of {size.batch} images with fresh weights; the loop's images are those of the drawn worlds",
        )
    apart = [f"{row['method']} in {row['precision']}" for row in rows if row["apart"] > TOLERANCE[row["precision"]]]
    lost = [f"{row['method']} in {row['precision']}" for row in rows if not math.isfinite(row["last_loss"])]
    if apart or lost:
        far, gone = ", ".join(apart) or "none", ", ".join(lost) or "none"
        sys.exit(f"further from the CPU than the tolerance: {far}; no finite loss at the end: {gone}")


if __name__ == "__main__":
    main()
