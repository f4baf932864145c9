"""What is known of data is a value: equal where its parts are, and never changed by who holds it."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil

import wsss_lib.data

CANVASES = {"Layer", "Painted", "Scenes"}
"""Arrays of critters, that are filled while they are drawn."""


def test_only_what_is_being_drawn_can_be_changed() -> None:
    modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages(wsss_lib.data.__path__, "wsss_lib.data.")]
    values = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == module.__name__
    }
    assert len(values) > 20
    assert {value.__name__ for value in values if not value.__dataclass_params__.frozen} == CANVASES
