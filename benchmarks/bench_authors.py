"""How long does an update take beside the authors' own code, at equal batch? That of SEAM, BAS and SAT is public.

Theirs are no packages, and nothing of them is here. They run from clones that lie side by side in one folder:

    git clone https://github.com/YudeWang/SEAM    and, of wpy1999, BAS and SAT
    git -C BAS checkout 903c86a                   and so on: :data:`VERSIONS`
    python benchmarks/bench_authors.py --code FOLDER --rounds 5

What was recorded ran the files as they are there. Later commits may not run: BAS then keeps a network without losses.

An update is what a training script does with one batch, from the forward pass to the optimiser's step. Of theirs the
statements are taken from the script, and executed as they stand over their network with fresh weights; on a CPU,
moving to the GPU does nothing. Both get the same images, in turns within one process, and the same optimiser of torch.

* SEAM: over their network, which ours takes as its backbone; and over our ResNet-18 at a stride of 8, put in place of
  theirs. The same early layers are frozen on both sides, and batch norm.
* BAS: a ResNet-50 with the same grids, and heads of the same widths, for 200 classes (their folder CUB).
* SAT: a DeiT of the same size, the same three blocks gated, the same stochastic depth.

Beside the ratio of times stands that of operations: convolutions and matrix products, as a counter sees them. Where
both do the products that the paper asks for, neither can be much faster than the other.

Prints a Markdown table and, where all three clones are there, writes results/bench_authors.json.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any
from unittest import mock

import timm
import torch
from bench_updates import Update
from contest import compare, measure, record
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from wsss_lib.backbones import Backbone, backbone, freeze_batch_norm
from wsss_lib.files import sha256_of
from wsss_lib.memory import keep_freed
from wsss_lib.methods.bas import BAS, BASConfig
from wsss_lib.methods.sat import SAT, SATConfig
from wsss_lib.methods.seam import SEAM, SEAMConfig
from wsss_lib.train import TrainConfig

CLONES = {
    "SEAM": "https://github.com/YudeWang/SEAM",
    "BAS": "https://github.com/wpy1999/BAS",
    "SAT": "https://github.com/wpy1999/SAT",
}
VERSIONS = {"SEAM": "17a8eb6", "BAS": "903c86a", "SAT": "4215f1a"}
"""Commits at which the files that an update needs were read."""
PACKAGES = ("network", "tool", "utils", "util", "Model")
"""Their packages, under names so common that those of one clone would be taken for those of the next."""
UNUSED = ("cv2", "matplotlib", "matplotlib.pyplot", "pydensecrf", "pydensecrf.densecrf", "pydensecrf.utils", "skimage")
"""What their files import to draw or to measure: an update does without, so it need not be installed."""
PLAIN = TrainConfig(steps=1000, optimiser="sgd", lr=1e-5, momentum=0.0, weight_decay=5e-4, device="cpu")
"""Small steps, so that no round changes what the next one computes. SEAM's SGD has, in effect, no momentum."""
NESTEROV = replace(PLAIN, momentum=0.9, nesterov=True)
ADAMW = TrainConfig(steps=1000, optimiser="adamw", lr=1e-5, weight_decay=0.05, device="cpu")
VOC, BIRDS, PEER = 20, 200, "the authors' code"
ON_CPU: dict[str, Any] = {"cuda": lambda self, *_, **__: self}
"""For tensors and modules: they stay where they are."""

Pair = tuple[Callable[[], Any], Callable[[], Any]]


@dataclass(frozen=True)
class Case:
    """Whose code, what makes our update and theirs of a clone and images, and the side and the number of these."""

    clone: str
    pair: Callable[[Path, Tensor], Pair]
    side: int
    batch: int


class Theirs:
    """One update by the authors' training script, over their network; ``names`` are those that its statements read."""

    def __init__(self, script: Path, model: nn.Module, config: TrainConfig, **names: Any) -> None:
        model.train()
        groups = [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]
        shared: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay}
        if config.optimiser == "sgd":
            shared |= {"momentum": config.momentum, "nesterov": config.nesterov}
        stepper = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[config.optimiser](groups, **shared)
        self.code, functions = training_step(script)
        self.names = names | {"model": model, "optimizer": stepper}
        self.names |= {"torch": torch, "nn": nn, "F": F, "Variable": torch.autograd.Variable}
        exec(functions, self.names)

    def __call__(self) -> None:
        exec(self.code, dict(self.names))  # a copy, because the statements give new meanings to names that they read


def training_step(script: Path) -> tuple[CodeType, CodeType]:
    """What a training script does with one batch, and the functions that it defines for that.

    The first is the body of the one loop with a backward pass, up to the optimiser's step.
    """
    tree = ast.parse(script.read_text())
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For)]
    loops = [loop for loop in loops if any(calls(statement, "backward") for statement in loop.body)]
    if len(loops) != 1:
        raise ValueError(f"{script} has {len(loops)} loops with a backward pass, expected one: is it the authors' own?")
    body = loops[0].body
    end = next(place for place, statement in enumerate(body) if calls(statement, "step"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    step, defined = (ast.Module(list(part), type_ignores=[]) for part in (body[: end + 1], functions))
    return compile(step, str(script), "exec"), compile(defined, str(script), "exec")


def calls(statement: ast.stmt, method: str) -> bool:
    """Whether a statement is a call ``something.method(…)``."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == method


def imported(folder: Path, *names: str) -> list[Any]:
    """Modules of a clone, which Python then forgets; the caller keeps them."""
    stands_in: dict[str, Any] = {name: mock.MagicMock() for name in UNUSED if not find_spec(name.split(".")[0])}
    stands_in |= {"timm.models.registry": timm.models, "timm.models.layers": timm.layers}  # where SAT's timm had them

    def passing() -> list[str]:
        return [name for name in sys.modules if name in stands_in or name.split(".")[0] in PACKAGES]

    before = {name: sys.modules.pop(name) for name in passing()}
    sys.modules.update(stands_in)
    path, sys.path = sys.path, [str(folder), *sys.path, str(folder.parent / "ILSVRC")]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if (folder.parent / "ILSVRC" / "util.py").is_file() and not (folder / "utils" / "util.py").is_file():
                sys.modules["utils.util"] = importlib.import_module("util")  # BAS has it in one of its two folders
            return [importlib.import_module(name) for name in names]
    finally:
        sys.path = path
        for name in passing():
            del sys.modules[name]
        sys.modules.update(before)


def ours(method: nn.Module, images: Tensor, classes: Tensor, config: TrainConfig) -> Update:
    """Our update on images that are normalised, and will be so again."""
    labels = F.one_hot(classes, method.num_classes).float()  # type: ignore[arg-type]
    return Update(method, {"images": images * 0.25 + 0.5, "labels": labels}, config=config)


class Wide(Backbone):
    """The authors' network of SEAM as a backbone: the stages that SEAM reads, at a stride of 8."""

    def __init__(self, net: nn.Module) -> None:
        channels = {"conv4": 512, "conv5": 1024, "conv6": 4096}
        super().__init__("resnet38d", channels, dict.fromkeys(channels, 8))
        self.net = net

    def features(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        made = self.net.forward_as_dict(images)  # type: ignore[operator]
        yield from ((stage, made[stage]) for stage in self.stages)


def seam_pair(clone: Path, images: Tensor, small: bool) -> Pair:
    """SEAM over the authors' network, or over a small one of ours."""
    module, trunks, visualization = imported(clone, "network.resnet38_SEAM", "network.resnet38d", "tool.visualization")
    classes = torch.arange(len(images)) % VOC
    theirs, heads = module.Net(), ("dropout7", "fc8", "f8_3", "f8_4", "f9")
    net: Any
    if small:
        net = backbone("resnet18", weights=None, output_stride=8)
        freeze_batch_norm(net)
        net.freeze("layer1")
        for name in [name for name, _ in theirs.named_children() if name not in heads]:
            delattr(theirs, name)
        theirs.not_training, theirs.trunk = [], copy.deepcopy(net)
        theirs.fc8, theirs.f8_3, theirs.f8_4 = (
            nn.Conv2d(net.channels[stage], width, 1, bias=False)
            for stage, width in (("layer4", VOC + 1), ("layer2", 64), ("layer3", 128))
        )
        trunks.Net.forward_as_dict = lambda self, x: {
            {"layer2": "conv4", "layer3": "conv5", "layer4": "conv6"}.get(stage, stage): made
            for stage, made in self.trunk.features(x)
        }
    else:
        trunk = module.Net()
        trunk.train()
        for name in heads:
            delattr(trunk, name)
        freeze_batch_norm(trunk)
        net = Wide(trunk)
    pack = (None, images, F.one_hot(classes, VOC).float())
    script = Theirs(clone / "train_SEAM.py", theirs, PLAIN, pack=pack, visualization=visualization)
    return ours(SEAM(net, VOC, SEAMConfig.paper()), images, classes, PLAIN), script


def bas_pair(clone: Path, images: Tensor) -> Pair:
    """BAS over a ResNet-50, for birds."""
    (module,) = imported(clone / "CUB", "Model.resnet")
    classes = torch.arange(len(images)) % BIRDS
    names = {"imgs": images, "label": classes, "args": SimpleNamespace(arch="resnet")}
    theirs = module.model(SimpleNamespace(), pretrained=False)
    script = Theirs(clone / "CUB" / "train.py", theirs, NESTEROV, loss_func=nn.CrossEntropyLoss(), **names)
    net = backbone("resnet50", weights=None, output_stride=8)
    return ours(BAS(net, BIRDS, BASConfig.paper()), images, classes, NESTEROV), script


def sat_pair(clone: Path, images: Tensor, size: str) -> Pair:
    """SAT over a DeiT."""
    (module,) = imported(clone, "Model.SAT")
    classes, config = torch.arange(len(images)) % BIRDS, SATConfig.paper()
    names = {"imgs": images, "label": classes, "args": SimpleNamespace(area_thr=config.prior)}
    build = getattr(module, f"deit_sat_{size}_patch16_224")
    theirs = build(num_classes=BIRDS, drop_rate=0.0, drop_path_rate=config.drop_path)
    script = Theirs(clone / "train.py", theirs, ADAMW, loss_fnc=nn.CrossEntropyLoss(), **names)
    net: Any = backbone(f"deit_{size}", weights=None)
    return ours(SAT(net, BIRDS, config), images, classes, ADAMW), script


CASES = {
    "SEAM, ResNet-18, 224 px": Case("SEAM", partial(seam_pair, small=True), 224, 4),
    "SEAM, ResNet-18, 448 px": Case("SEAM", partial(seam_pair, small=True), 448, 4),
    "SEAM, their ResNet-38, 224 px": Case("SEAM", partial(seam_pair, small=False), 224, 1),
    "SEAM, their ResNet-38, 448 px": Case("SEAM", partial(seam_pair, small=False), 448, 1),
    "BAS, ResNet-50, 224 px": Case("BAS", bas_pair, 224, 4),
    "SAT, DeiT-tiny, 224 px": Case("SAT", partial(sat_pair, size="tiny"), 224, 4),
    "SAT, DeiT-small, 224 px": Case("SAT", partial(sat_pair, size="small"), 224, 4),
}


def operations(update: Callable[[], Any]) -> float:
    """What a counter sees of an update."""
    with FlopCounterMode(display=False) as counter:
        update()
    return float(counter.get_total_flops())


def row(case: Case, clone: Path, rounds: int) -> dict[str, Any]:
    """Their time and operations over ours."""
    torch.manual_seed(0)
    images = torch.randn(case.batch, 3, case.side, case.side)  # noise, as normalised images have it
    with mock.patch.multiple(torch.Tensor, **ON_CPU), mock.patch.multiple(nn.Module, **ON_CPU):
        mine, theirs = case.pair(clone, images)
        counted = operations(theirs) / operations(mine)
        seconds = measure({"ours": mine, PEER: theirs}, rounds)
    return {"speed": compare(seconds, "ours", case.batch), "operations": counted, "batch": case.batch}


def version(clone: Path) -> dict[str, str]:
    """The commit of a clone, or the one at which its files were read; and digests of its Python files."""
    head = f"files as at {VERSIONS[clone.name]}, no clone"
    if (clone / ".git").exists():
        head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=clone, text=True).strip()
    return {"commit": head} | {
        str(path.relative_to(clone)): sha256_of(path)[:12] for path in sorted(clone.rglob("*.py"))
    }


def as_markdown(rows: dict[str, Any]) -> str:
    """A line for each comparison."""
    lines = ["| their update over ours | batch | time | least – most | operations |", "|:--|--:|--:|--:|--:|"]
    for name, of in rows.items():
        speed = of["speed"][PEER]
        time, least, most = (f"{speed[key]:.2f}" for key in ("times_ours", "least", "most"))
        lines.append(f"| {name} | {of['batch']} | {time} | {least} – {most} | {of['operations']:.2f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--code", type=Path, help="folder with the clones SEAM, BAS and SAT")
    parser.add_argument("--rounds", type=int, default=5, help="how often each update is timed (default: 5)")
    parser.add_argument("--only", default="", help="comparisons whose name has this in it; nothing is recorded then")
    parser.add_argument("--dry-run", action="store_true", help="print the table, record nothing")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}: run at least one")
    absent = [name for name in CLONES if options.code is None or not (options.code / name).is_dir()]
    for name in absent:
        checkout = f"git -C {name} checkout {VERSIONS[name]}"
        print(f"the authors' code of {name} is absent: git clone {CLONES[name]} && {checkout}")
    if len(absent) == len(CLONES):
        return print("nothing to measure: clone into one folder, and pass it as --code FOLDER")
    if not any(options.only in title for title in CASES):
        parser.error(f"--only {options.only} is in no name: {', '.join(CASES)}")
    keep_freed()  # as chapters and commands do before they train, and for both sides
    print(f"{options.rounds} rounds, {torch.get_num_threads()} threads")
    rows: dict[str, Any] = {}
    for title, case in CASES.items():
        if case.clone not in absent and options.only in title:
            rows[title] = row(case, options.code / case.clone, options.rounds)
            print(f"  {title}", flush=True)
    print(as_markdown(rows))
    if options.dry_run or absent or options.only:
        return print("not recorded: only a run of all comparisons is")
    record(
        "bench_authors",
        {
            "authors": rows,
            "versions": {name: version(options.code / name) for name in CLONES},
            "rounds": options.rounds,
        },
        command=f"python benchmarks/bench_authors.py --code FOLDER --rounds {options.rounds}",
        fingerprint="noise, drawn from the seed",
        note="Fresh weights, updates in turns on one batch; ratios are medians over rounds, of processor time.",
    )


if __name__ == "__main__":
    main()
