"""Every method by its name: a method's file enters itself, and the command, studies, tables and tests read it here.

@register("cam", title="CAM", settings=CAMConfig, chapter=1)
class CAM(Method): ...
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar, cast

from wsss_lib.backbones.base import Backbone
from wsss_lib.methods.contract import Method
from wsss_lib.methods.learner import Learner, Task

M = TypeVar("M", bound=type[Learner])


@dataclass(frozen=True)
class Entry:
    """What is known of a method.

    Attributes:
        name: On the command line: ``"cam"``, ``"gradcam++"``, …
        title: In tables and figures.
        method: The class.
        settings: The class of its settings; None for a method without.
        recipe: Settings of ``TrainConfig`` by which it differs from the run's recipe.
        chapter: Where it is built, or first used.
        backbone: The shipped backbone on which it can be tried.
    """

    name: str
    title: str
    method: type[Learner]
    settings: type[Any] | None
    recipe: Mapping[str, Any]
    chapter: int
    backbone: str

    @property
    def task(self) -> Task:
        """What the method answers."""
        return self.method.task

    @property
    def trained(self) -> bool:
        """Whether the method has losses."""
        return callable(getattr(self.method, "losses", None))

    def configured(self, **changes: Any) -> Any:
        """The book's settings but for some changes; None of a method without settings.

        Raises:
            ValueError: Changes of a method without settings, or values that they refuse.
            TypeError: There is no such setting.
        """
        if self.settings is None and changes:
            raise ValueError(f"{self.title} has no settings, and got {', '.join(changes)}: leave them out")
        return None if self.settings is None else self.settings(**changes)


_ENTRIES: dict[str, Entry] = {}


def register(
    name: str,
    *,
    title: str,
    chapter: int,
    settings: type[Any] | None = None,
    recipe: Mapping[str, Any] = MappingProxyType({}),
    backbone: str = "tiny_cnn",
) -> Callable[[M], M]:
    """Enter a method under a name; the arguments are those of :class:`Entry`.

    Raises:
        ValueError: The name belongs to another method.
    """

    def enter(method: M) -> M:
        held = _ENTRIES.get(name)
        if held is not None and (held.method.__module__, held.method.__qualname__) != (
            method.__module__,
            method.__qualname__,
        ):
            raise ValueError(f"the name {name!r} belongs to {held.method.__qualname__}: choose another")
        _ENTRIES[name] = Entry(name, title, method, settings, MappingProxyType(dict(recipe)), chapter, backbone)
        return method

    return enter


def names(task: Task | None = None) -> tuple[str, ...]:
    """All names, or those of the methods for one task, chapter by chapter."""
    asked = [name for name, entry in _ENTRIES.items() if task in (None, entry.task)]
    return tuple(sorted(asked, key=lambda name: _ENTRIES[name].chapter))


def entry(name: str) -> Entry:
    """What is known of the method called ``name``.

    Raises:
        ValueError: There is none.
    """
    if name not in _ENTRIES:
        close = difflib.get_close_matches(name.lower().replace("-", "").replace("_", ""), names(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no method {name!r}: choose one of {', '.join(names())}{hint}")
    return _ENTRIES[name]


def build(name: str, backbone: Backbone | None, num_classes: int, settings: Any = None) -> Any:
    """The method called ``name`` over a backbone.

    Args:
        name: See :func:`names`.
        backbone: From :func:`wsss_lib.backbones.backbone`; None for a method that takes none.
        num_classes: K. A method that explains a classifier gets a fresh one with as many classes.
        settings: Of the class ``entry(name).settings``; None for the book's.

    Raises:
        ValueError: No such method, no backbone where it takes one, settings of another class, or what the method
            refuses.
    """
    known = _checked(entry(name), settings)
    if backbone is None and known.method.takes_backbone:
        raise ValueError(
            f"{known.title} is built over a backbone and got none: build one by wsss_lib.backbones.backbone"
        )
    return known.method.build(cast(Backbone, backbone), num_classes, settings)


def explain(name: str, classifier: Method, settings: Any = None) -> Method:
    """The method called ``name``, looking into a classifier that is trained.

    Args:
        name: Of a method that learns nothing itself.
        classifier: A trained method; it is shared, not copied.
        settings: As for :func:`build`.

    Raises:
        ValueError: No such method, one that must be trained itself, or settings of another class.
    """
    known = _checked(entry(name), settings)
    if known.trained or not issubclass(known.method, Method):
        raise ValueError(f"{known.title} is trained itself and explains no other classifier: build it instead")
    return known.method.explaining(classifier, settings)


def _checked(known: Entry, settings: Any) -> Entry:
    """The same entry, if the settings are of its method."""
    if settings is not None and (known.settings is None or not isinstance(settings, known.settings)):
        expected = "none" if known.settings is None else known.settings.__name__
        raise ValueError(f"{known.title} got settings of type {type(settings).__name__}, expected {expected}")
    return known
