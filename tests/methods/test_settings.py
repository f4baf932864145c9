"""The settings that the book's chapters and recorded results were measured with, and those of the papers.

Who changes a default changes what ``results/`` holds without measuring it again: so it is written down twice.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict, replace
from typing import Any

import pytest

from wsss_lib.methods import registry

BOX = ((4.5, 1.9, 1.5), (0.7, 0.65, 1.75))
"""Mean length, width and height of a car and of a pedestrian, in metres."""

BOOK: dict[str, dict[str, Any]] = {
    "cam": {"loss": "multilabel", "bias": False, "neck": None, "normalisation": "max"},
    "eigencam": {"centre": False, "sign": "auto", "component": 0, "normalisation": "max", "solver": "auto"},
    "bas": {
        "stage": None, "alpha": 1, "beta": 0.5, "suppression": 1, "rectify": "score", "loss": "multilabel",
        "detach_foreground": False, "copy_norm": "batch", "head": None, "bias": False, "pool": 1, "top_k": 1,
        "normalisation": "max",
    },
    "sat": {
        "prior": 0.2, "blocks": 6, "area_weight": 1, "norm_weight": 1, "area": "batch", "loss": "multilabel",
        "renormalise": False, "drop_path": 0,
    },
    "class-token": {"blocks": None, "coupled": True, "loss": "multilabel"},
    "ts-cam": {"blocks": None, "coupled": True, "loss": "multilabel"},
    "seam": {
        "scale": 0.5, "antialias": True, "equivariance": 1, "cross": 1, "background": 1, "hard": 0.2, "count": "all",
        "read": "pcm", "stages": None, "width": 48, "module_lr": 0.3, "dropout": 0,
    },
    "ssc": {
        "delta": 0.55, "expanded": None, "reconstruction": 0.3, "alignment": 200, "warm_up": 2 / 3, "reliable": 0.3,
        "rim": 1 / 32, "size": 0.5, "width": 24, "decoder_lr": 5,
    },
    "esol": {
        "stage": None, "width": None, "clip": 0.1, "area": 4, "reach": 0.1, "shares": (0.75, 0.125, 0.125),
        "expand_lr": 0.1, "shrink_lr": 0.3, "adapts": "expansion", "read": "shrinkage",
    },
    "dtmr": {
        "attention": "shared", "width": 64, "words": 64, "place": 16, "reference": True, "discriminative": True,
        "parser": "grammar",
    },
    "grounder": {"width": 64, "words": 64, "place": 16},
    "centerpoint": {
        "guided": 0, "strength": 1, "width": 24, "cells": 64, "sigma": 1, "box": 1, "most": 30, "sizes": BOX,
        "half": 25.6,
    },
    "point-detr3d": {
        "reference": "explicit", "camera": True, "pretrained": True, "width": 24, "heads": 4, "cells": 64, "side": 7,
        "extent": 5, "tall": 2.5, "direction": 0.1, "sizes": BOX, "half": 25.6,
    },
}  # fmt: skip
PAPER: dict[str, dict[str, Any]] = {
    "cam": {"loss": "softmax", "bias": True, "neck": 1024},
    "eigencam": {"normalisation": "minmax"},
    "bas": {
        "stage": "layer3", "alpha": 0.5, "beta": 1.5, "loss": "softmax", "head": 1024, "bias": True, "pool": 2,
        "top_k": 200, "normalisation": "minmax",
    },
    "sat": {"prior": 0.25, "blocks": 3, "loss": "softmax", "drop_path": 0.1},
    "class-token": {"loss": "softmax"},
    "ts-cam": {"loss": "softmax"},
    "seam": {"scale": 0.3, "antialias": False, "width": 192, "module_lr": 10, "dropout": 0.5},
    "ssc": {"reconstruction": 1, "alignment": 1, "warm_up": 0.2, "width": 256, "decoder_lr": 0.005},
    "esol": {"stage": "layer4", "width": 256},
    "dtmr": {"attention": "raw", "width": 512, "words": 300, "place": 512},
    "centerpoint": {"guided": 0.1, "width": 256, "cells": 128, "box": 0.25},
    "point-detr3d": {"width": 256, "heads": 8, "cells": 128},
}  # fmt: skip
"""What differs from the book's."""
RECIPES: dict[str, dict[str, Any]] = {
    "esol": {"schedule": "constant"},
    "dtmr": {"epochs": 20, "batch_size": 48, "lr": 8e-3, "head_lr": 1},
    "grounder": {"epochs": 20, "batch_size": 48, "lr": 2e-3, "head_lr": 1},
    "centerpoint": {"epochs": None, "steps": 200, "batch_size": 6, "lr": 5e-3, "head_lr": 1},
    "point-detr3d": {"epochs": None, "steps": 200, "batch_size": 4, "lr": 2e-3, "head_lr": 1},
}

WEIGHT, COUNT = ((0.0, 9.0), (-0.01,)), ((1,), (0, -1))
SHARE, CLOSED, OPEN = ((0.01, 1.0), (0.0, 1.01)), ((0.0, 1.0), (-0.01, 1.01)), ((0.0, 0.99), (-0.01, 1.0))
LIMITS: dict[str, dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]]] = {
    "cam": {"neck": ((None, 1), (0,))},
    "eigencam": {"component": ((0, 1), (-1,))},
    "bas": {"alpha": WEIGHT, "beta": WEIGHT, "suppression": WEIGHT, "pool": COUNT, "top_k": COUNT},
    "sat": {
        "prior": ((0.01, 0.99), (0.0, 1.0)), "blocks": COUNT, "area_weight": WEIGHT, "norm_weight": WEIGHT,
        "drop_path": OPEN,
    },
    "class-token": {"blocks": ((None, 1), (0,))},
    "ts-cam": {"blocks": ((None, 1), (0,))},
    "seam": {
        "scale": ((0.01, 0.99, 2.0), (0.0, 1.0)), "hard": SHARE, "dropout": OPEN, "equivariance": WEIGHT,
        "cross": WEIGHT, "background": WEIGHT, "module_lr": WEIGHT, "width": ((3,), (2,)),
    },
    "ssc": {
        "delta": SHARE, "size": SHARE, "rim": OPEN, "warm_up": CLOSED, "reliable": CLOSED, "reconstruction": WEIGHT,
        "alignment": WEIGHT, "decoder_lr": WEIGHT, "width": COUNT,
    },
    "esol": {
        "clip": SHARE, "area": WEIGHT, "reach": ((0.01,), (0.0,)),
        "shares": (((1.0, 0.0, 0.0), (0.2, 0.3, 0.5)), ((1.0, 0.0), (-0.1, 0.6, 0.5), (0.5, 0.5, 0.1))),
    },
    "dtmr": {"width": COUNT, "words": COUNT, "place": COUNT},
    "grounder": {"width": COUNT, "words": COUNT, "place": COUNT},
}  # fmt: skip
"""Values at the ends of what is accepted, and the first that are refused."""


def test_every_method_with_settings_is_here() -> None:
    entries = [registry.entry(name) for name in registry.names()]
    assert {entry.name for entry in entries if entry.settings} == set(BOOK)
    assert {entry.name for entry in entries if hasattr(entry.settings, "paper")} == set(PAPER)


@pytest.mark.parametrize("name", BOOK)
def test_the_settings_of_the_book(name: str) -> None:
    settings = registry.entry(name).configured()
    assert asdict(settings) == BOOK[name]
    with pytest.raises(FrozenInstanceError):
        setattr(settings, next(iter(BOOK[name])), None)


@pytest.mark.parametrize("name", PAPER)
def test_the_settings_of_the_paper(name: str) -> None:
    settings = registry.entry(name).settings
    assert settings.paper() == replace(settings(), **PAPER[name])


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in LIMITS.items() for field in fields])
def test_the_limits_of_a_setting(name: str, field: str) -> None:
    settings = registry.entry(name).settings
    accepted, refused = LIMITS[name][field]
    for value in accepted:
        assert getattr(settings(**{field: value}), field) == value
    for value in refused:
        with pytest.raises(ValueError, match=field):
            settings(**{field: value})


@pytest.mark.parametrize("name", registry.names())
def test_the_recipe(name: str) -> None:
    assert dict(registry.entry(name).recipe) == RECIPES.get(name, {})
