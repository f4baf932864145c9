"""What every method computes, written down: losses, gradients and answers of small fresh networks.

The book's recorded results hold for what the code computed when they were measured. Who changes what a method computes
changes these numbers, and either meant to, and measures again, or did not. They are written anew by
``PYTHONPATH=tests/reference python tests/methods/test_numbers.py``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import test_contract
import test_dtmr
import test_point_detr3d
import torch
from torch import Tensor, nn

from wsss_lib.methods import CenterPointConfig, PointDETR3DConfig, registry

FILE = Path(__file__).with_name("numbers.json")
SETTINGS: dict[str, dict[str, Any]] = {
    "point-detr3d": {"width": 8, "cells": 32},
    "centerpoint": {"width": 8, "cells": 32, "guided": 0.1},
}
"""Of the methods in 3D, few channels and cells."""


def doubled(value: Any) -> Any:
    """In 64 bits, so that another machine's rounding does not show."""
    if isinstance(value, list):
        return [doubled(item) for item in value]
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def stirred(method: Any) -> Any:
    """The method in 64 bits. What is zero in a fresh one is drawn: offsets of zero lie on a kink of the sampling."""
    torch.manual_seed(3)
    for parameter in method.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    return method.double()


def size(tensors: Iterable[Tensor | None]) -> float:
    """The root of the sum of all squares."""
    return sum(float(tensor.detach().square().sum()) for tensor in tensors if tensor is not None) ** 0.5


def moments(values: Tensor) -> list[float]:
    """Size, mean, and a sum that depends on the order."""
    flat = values.detach().double().flatten()
    return [size([flat]), float(flat.mean()), float(flat @ torch.linspace(-1, 1, len(flat), dtype=torch.float64))]


def learnt(method: Any, batch: Any) -> dict[str, Any]:
    """Each loss, and how large the gradient of each parameter group is."""
    torch.manual_seed(2)
    terms = method.losses(batch)
    method.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    groups = {group["name"]: size(p.grad for p in group["params"]) for group in method.parameter_groups(0.1)}
    return {"losses": {name: float(term.detach()) for name, term in terms.items()}, "gradients": groups}


def of_maps(name: str) -> dict[str, Any]:
    """A method that says where classes are: each phase's losses, then its maps, raw and ready."""
    batch = {field: doubled(value) for field, value in test_contract.batch_of().items()}
    method = stirred(test_contract.built(name))
    numbers: dict[str, Any] = {}
    if registry.entry(name).trained:
        for number, phase in enumerate(method.phases()):
            one = stirred(test_contract.built(name)).train()
            test_contract.enter(one, number)
            numbers[phase.name] = learnt(one, batch)
    method.eval()
    given = method.predict(batch["images"])
    numbers["maps"], numbers["logits"] = moments(given.maps), [] if given.logits is None else moments(given.logits)
    numbers["ready"] = moments(method.localize(batch["images"], batch["labels"]))
    return numbers


def of_sentences(name: str) -> dict[str, Any]:
    """A method that says which box a sentence means."""
    method, batch = stirred(test_dtmr.built(name)), test_dtmr.batch_of()
    batch["proposals"] = doubled(batch["proposals"])
    return {**learnt(method.train(), batch), "answer": [moments(each) for each in method.eval().answer(batch)]}


def of_scenes(name: str) -> dict[str, Any]:
    """A method that says which boxes a scene has."""
    kind = PointDETR3DConfig if name == "point-detr3d" else CenterPointConfig
    method = stirred(test_point_detr3d.built(kind(**SETTINGS[name])))
    batch = {field: doubled(value) for field, value in test_point_detr3d.batch_of().items()}
    numbers = learnt(method.train(), batch)
    answers = method.eval().answer(batch)
    return {**numbers, "boxes": [moments(each.boxes) for each in answers], "scores": moments(answers[0].scores)}


def computed(name: str) -> dict[str, Any]:
    """The numbers of a method."""
    return {"maps": of_maps, "grounding": of_sentences, "boxes3d": of_scenes}[registry.entry(name).method.task](name)


def flat(numbers: Any, path: str = "") -> dict[str, float]:
    """Every number by where it stands."""
    if isinstance(numbers, dict | list):
        items = numbers.items() if isinstance(numbers, dict) else enumerate(numbers)
        return {place: value for key, part in items for place, value in flat(part, f"{path}/{key}").items()}
    return {path: numbers}


def test_every_method_is_written_down() -> None:
    assert set(json.loads(FILE.read_text(encoding="utf-8"))) == set(registry.names())


@pytest.mark.parametrize("name", registry.names())
def test_a_method_computes_what_is_written_down(name: str) -> None:
    written = flat(json.loads(FILE.read_text(encoding="utf-8"))[name])
    assert flat(computed(name)) == pytest.approx(written, rel=1e-4, abs=1e-7)


if __name__ == "__main__":
    made = {name: computed(name) for name in registry.names()}
    rounded = json.loads(json.dumps(made), parse_float=lambda text: float(f"{float(text):.6g}"))
    FILE.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{FILE.name}: {sum(len(flat(of)) for of in made.values())} numbers of {len(made)} methods\n")
