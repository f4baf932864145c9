"""What does an update of each method cost beside CAM's, and beside what its paper asks for? `make bench` runs this.

An update is what the training loop does with one batch: forward and backward pass, the optimiser's step, the method's
hooks. Of each method three figures are given over those of CAM (of TS-CAM, where the network is a transformer):

* passes: the backbone's operations alone, in those passes through it that the method's paper asks for;
* operations: all that a counter sees in our update, so what the paper adds to the backbone too, and what we may waste;
* time: of the processor, measured in turns within one process, several rounds; a ratio is the median over the rounds.

Operations are of convolutions and matrix products. Where time is far above operations, the other work of an update
decides. So a profiler says how an update's time is shared: products, and the kinds of the rest.

    python benchmarks/bench_updates.py --rounds 5

writes results/bench_updates.json and prints the same as Markdown tables.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from contest import measure, record
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from wsss_lib.backbones import Backbone, backbone
from wsss_lib.data.records import Batch
from wsss_lib.experiments.context import NETWORK
from wsss_lib.experiments.studies.cost import saved
from wsss_lib.memory import keep_freed
from wsss_lib.methods import registry
from wsss_lib.methods.bas import BAS
from wsss_lib.methods.esol import ESOL
from wsss_lib.methods.seam import SEAM
from wsss_lib.segment import MARS
from wsss_lib.train import History, TrainConfig, optimiser
from wsss_lib.train.machine import Machine
from wsss_lib.train.phases import Course

CLASSES = 6
STEPS = 1000
CONFIG = TrainConfig(steps=STEPS, optimiser="adamw", lr=1e-5, device="cpu")
"""Small steps, so that no round changes what the next one computes."""


PROFILED = 3
"""Updates whose time is shared out."""
KINDS = {
    "products": ("convolution", "mm", "attention"),
    "ReLU": ("relu", "clamp_min", "threshold"),
    "norms": ("batch_norm", "group_norm", "layer_norm"),
    "sampling": ("grid_sampler", "upsample"),
    "softmax, GELU": ("softmax", "gelu"),
    "sorting": ("sort", "topk"),
    "gathering": ("scatter", "gather"),
}
"""Of torch's operators, by parts of their names; the first that fits. ``mm`` is in ``addmm`` and ``bmm``."""


@dataclass(frozen=True)
class Case:
    """Networks and batch of one comparison: the first method of each network's is the one that others are held to."""

    side: int
    batch: int
    methods: Mapping[str, Sequence[str]]
    stride: int | None = None


CNN, VIT = ("cam", "bas", "seam", "ssc", "esol", "mars"), ("ts-cam", "sat")
CASES = {
    "ResNet-18 at a stride of 16, DeiT-tiny; 224 px": Case(224, 4, {"resnet18": CNN, "deit_tiny": VIT}, stride=16),
    "the book's small networks; 96 px": Case(96, 32, {"tiny_cnn": CNN, "tiny_vit": VIT}),
}


class Update:
    """One update of a method on one batch, as the training loop does it, in the phase that begins at ``step``."""

    def __init__(self, method: nn.Module, batch: Batch, step: int = 0, config: TrainConfig = CONFIG) -> None:
        self.method, self.batch, self.step = method.train(), batch, step
        self.stepper = optimiser.build(method, config)
        self.course = Course(method, self.stepper, STEPS)
        self.machine, self.history = Machine(config), History(1)

    def __call__(self) -> None:
        self.course.begin(self.step)
        losses = self.method.losses(self.batch)  # type: ignore[operator]
        torch.stack(list(losses.values())).sum().backward()
        self.stepper.step()
        self.stepper.zero_grad()
        self.course.end(self.step, self.machine, self.history)

    def costs(self) -> dict[str, float]:
        """Operations of an update, and bytes that are kept for its backward pass."""
        with FlopCounterMode(display=False) as counter:
            self()
        return {"operations": float(counter.get_total_flops()), "memory": float(saved(self.method, self.batch))}


def shares(update: Update) -> dict[str, float]:
    """How an update's time is shared out by :data:`KINDS`; "other" is arithmetic number by number, and copies."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(PROFILED):
            update()
    spent = dict.fromkeys([*KINDS, "other"], 0.0)
    for event in seen.key_averages():
        kind = next((k for k, parts in KINDS.items() if any(part in event.key.lower() for part in parts)), "other")
        spent[kind] += event.self_cpu_time_total
    return {kind: time / sum(spent.values()) for kind, time in spent.items()}


def network(kind: str, case: Case) -> Backbone:
    """Fresh weights, drawn from the seed."""
    torch.manual_seed(0)
    return backbone(kind, weights=None, output_stride=case.stride if kind == "resnet18" else None)


def build(name: str, kind: str, case: Case) -> nn.Module:
    """A method by its registered name; MARS is none of these, and has chapter 8's network."""
    if name == "mars":
        return MARS(network(kind, case), CLASSES, NETWORK)
    method: nn.Module = registry.build(name, network(kind, case), CLASSES)
    return method


def title_of(name: str) -> str:
    """What the book calls a method."""
    return "MARS" if name == "mars" else registry.entry(name).title


def drawn_batch(case: Case) -> Batch:
    """Noise with labels; squares as superpixels; masks of which a quarter was dropped."""
    torch.manual_seed(0)
    labels = torch.eye(CLASSES)[torch.arange(case.batch) % CLASSES]
    tiles = torch.arange(case.side)[:, None] // 8 * 100 + torch.arange(case.side) // 8 + 1
    masks = (tiles % 2) * (labels.argmax(1) + 1)[:, None, None]
    masks[:, : case.side // 2, : case.side // 2] = 255
    images = torch.rand(case.batch, 3, case.side, case.side)
    superpixels = tiles.expand(case.batch, -1, -1).contiguous()
    return {"images": images, "labels": labels, "masks": masks, "superpixels": superpixels}


def through(net: Backbone, side: int, stages: Sequence[str] | None = None, backward: bool = True) -> float:
    """Operations of one image's way through a backbone and, if asked for, of its gradients' way back."""
    net.zero_grad()
    with torch.set_grad_enabled(backward), FlopCounterMode(display=False) as counter:
        features = net(torch.rand(1, 3, side, side), stages)
        if backward:
            next(reversed(features.values())).sum().backward()
    return float(counter.get_total_flops())


def passes(method: nn.Module, net: Backbone, side: int, phase: str = "") -> float:
    """Operations of the backbone alone, for one image, in the passes that the paper's equations ask for."""
    whole = through(net, side)
    if isinstance(method, SEAM):  # a second view, smaller, through the same network (Wang et al. 2020, figure 2)
        return whole + through(net, round(side * method.config.scale))
    if isinstance(method, BAS):  # masked features once more through f₂, held fixed: back to the mask, not to weights
        behind = through(net, side, backward=False) - through(net, side, (method.stage,), backward=False)
        return whole + 2 * behind
    if isinstance(method, ESOL):  # one stage less; the samplers learn over features that are held
        return through(net, side, (method.stage,), backward=phase == "classify")
    if isinstance(method, MARS):  # a teacher's forward pass
        return whole + through(net, side, backward=False)
    return whole


def update_rows(case: Case, rounds: int) -> dict[str, Any]:
    """Costs of each method over those of the first of its network."""
    rows: dict[str, Any] = {}
    for kind, names in case.methods.items():
        updates: dict[str, Update] = {}
        costs: dict[str, dict[str, float]] = {}
        for name in names:
            title = title_of(name)
            parts = {title: (0, "")}
            if name == "ssc":  # while it warms up, no alignment is computed
                parts = {f"{title}, warm-up": (0, ""), f"{title}, aligning": (STEPS - 1, "")}
            if name == "esol":
                ends = Course(method := build(name, kind, case), optimiser.build(method, CONFIG), STEPS).ends
                parts = {
                    f"{title}, phase {p.name}": (e - 1, p.name) for p, e in zip(method.phases(), ends, strict=True)
                }
            for row, (step, phase) in parts.items():
                method = build(name, kind, case)
                updates[row] = update = Update(method, drawn_batch(case), step)
                costs[row] = update.costs()
                costs[row]["passes"] = case.batch * passes(method, network(kind, case), case.side, phase)
        spent, first = measure(dict(updates), rounds), next(iter(updates))
        for row, times in spent.items():
            ratios = [mine / theirs for mine, theirs in zip(times, spent[first], strict=True)]
            rows[row] = {
                "beside": first,
                **{key: value / costs[first][key] for key, value in costs[row].items()},
                "time": statistics.median(ratios),
                "least": min(ratios),
                "most": max(ratios),
                "milliseconds_an_image": 1000 * statistics.median(times) / case.batch,
                "shares": shares(updates[row]),
            }
        print(f"  {kind}", flush=True)
    return rows


def as_markdown(data: Mapping[str, Any]) -> str:
    """A table for each case."""
    keys, lines = ("passes", "operations", "time", "memory"), []
    for case, rows in data["updates"].items():
        lines += ["", case, "", "| over CAM or TS-CAM | " + " | ".join(keys) + " |", "|:--|" + "--:|" * len(keys)]
        lines += [f"| {name} | " + " | ".join(f"{row[key]:.2f}" for key in keys) + " |" for name, row in rows.items()]
        lines += [
            "",
            *(f"{name}: " + ", ".join(f"{k} {v:.0%}" for k, v in row["shares"].items()) for name, row in rows.items()),
        ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each update is timed (default: 5)")
    parser.add_argument("--dry-run", action="store_true", help="print the tables, record nothing")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}: run at least one")
    keep_freed()  # as chapters and commands do before they train
    print(f"{options.rounds} rounds, {torch.get_num_threads()} threads")
    rows = {name: update_rows(case, options.rounds) for name, case in CASES.items()}
    data = {"updates": rows, "rounds": options.rounds}
    print(as_markdown(data))
    if not options.dry_run:
        record(
            "bench_updates",
            data,
            command=f"python benchmarks/bench_updates.py --rounds {options.rounds}",
            fingerprint="noise, drawn from the seed",
            note="Fresh weights, updates in turns on one batch; ratios are medians over rounds, of processor time.",
        )


if __name__ == "__main__":
    main()
