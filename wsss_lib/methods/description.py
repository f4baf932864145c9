"""What a trained method is, as JSON beside its weights: enough for anybody to build it again and use it.

description = describe(method, records.classes, (96, 96))
method = rebuild(description)  # of the same shape, with fresh weights
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wsss_lib.backbones import backbone
from wsss_lib.methods import registry

NEEDED = {
    "name": "a method of the registry",
    "classes": "its classes",
    "backbone": "its backbone",
    "image_size": "its images' size",
}
"""What a description must say, and how a message calls it."""


def describe(method: object, classes: Sequence[str], image_size: tuple[int, int] | None) -> dict[str, Any]:
    """Say what a method is.

    Args:
        method: Any module; one that is not in the registry has no name.
        classes: Names of its K classes in their order.
        image_size: (height, width) in pixels of the images that it is trained on; None where there are none.

    Returns:
        ``name`` in the registry (None where it is not there), ``settings``, ``classes``, ``image_size``, and how its
        ``backbone`` was built (None where :func:`wsss_lib.backbones.backbone` did not build it, or there is none).
    """
    known = [name for name in registry.names() if registry.entry(name).method is type(method)]
    settings, net = getattr(method, "config", None), getattr(method, "backbone", None)
    return {
        "name": known[0] if known else None,
        "settings": None if settings is None else dataclasses.asdict(settings),
        "classes": list(classes),
        "image_size": None if image_size is None else list(image_size),
        "backbone": getattr(net, "built_by", None),
    }


def rebuild(description: Mapping[str, Any]) -> Any:
    """Build the method that :func:`describe` spoke of, with fresh weights.

    Raises:
        ValueError: Something is missing, of another kind than :func:`describe` writes, or unknown to this version.
    """
    if not isinstance(description, Mapping):
        raise ValueError(f"its description is a {type(description).__name__}, expected named fields")
    for key, (holds, kind) in _KINDS.items():
        if description.get(key) and not holds(description[key]):
            raise ValueError(f"it gives {description[key]!r:.80} as {key!r}, expected {kind}")
    for key, what in NEEDED.items():
        if not description.get(key) and (key != "backbone" or _takes_backbone(description)):
            raise ValueError(f"it does not say {what} ({key!r})")
    known = registry.entry(description["name"])
    try:
        net = backbone(**description["backbone"]) if known.method.takes_backbone else None
        values = {key: _frozen(value) for key, value in (description.get("settings") or {}).items()}
        settings = known.settings(**values) if known.settings is not None else None
    except TypeError as error:
        raise ValueError(f"it was written by another version of wsss-lib ({error})") from error
    return registry.build(known.name, net, len(description["classes"]), settings)


def _whole_above_0(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda value: isinstance(value, str), "a word"),
    "settings": (lambda value: isinstance(value, Mapping), "named fields"),
    "backbone": (lambda value: isinstance(value, Mapping), "named fields"),
    "classes": (
        lambda value: isinstance(value, list) and all(isinstance(name, str) and name for name in value),
        "a list of words",
    ),
    "image_size": (
        lambda value: isinstance(value, list) and len(value) == 2 and all(map(_whole_above_0, value)),
        "height and width in pixels",
    ),
}
"""What each field of a description holds, where it holds anything."""


def _takes_backbone(description: Mapping[str, Any]) -> bool:
    return registry.entry(description["name"]).method.takes_backbone


def _frozen(value: Any) -> Any:
    """JSON's lists, also those within, as the tuples that settings hold."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
