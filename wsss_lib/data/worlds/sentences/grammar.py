"""What is said of a scene: sentences that are true of one critter and of no other, and what they single it out by.

The grammar::

    sentence  →  the ATTRIBUTE SPECIES  |  the SPECIES that is ATTRIBUTE
              |  the SPECIES RELATION the SPECIES
    ATTRIBUTE →  a coat's name  |  large  |  small
    RELATION  →  left of | right of | above | below | in front of | behind | larger than | smaller than

A relation is said only where every other critter of the species stands on the *other* side of the reference: who
understands the word the wrong way round then points at another critter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wsss_lib.data.worlds.random_numbers import Draws

Thing = Mapping[str, Any]
"""An entry of an image's ``objects``."""

KINDS = ("colour", "size", "beside", "above", "in front", "larger")
"""What tells the meant critter from others: two attributes, then four relations."""
ATTRIBUTES, RELATIONS = KINDS[:2], KINDS[2:]

PHRASES: dict[str, tuple[str, ...]] = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above",),
    "below": ("below",),
    "front": ("in front of",),
    "behind": ("behind",),
    "larger": ("larger than", "that is larger than"),
    "smaller": ("smaller than", "that is smaller than"),
}
"""How a relation is said, by the word that stands for it."""


@dataclass(frozen=True)
class _Axis:
    """A relation and its opposite.

    Attributes:
        lower, higher: Their words.
        of: Where a thing is on the axis.
        margin: Two things that are closer are not compared.
    """

    lower: str
    higher: str
    of: Callable[[Thing], float]
    margin: float


_AXES: dict[str, _Axis] = {
    "beside": _Axis("left", "right", lambda thing: float(thing["centre"][0]), 0.08),
    "above": _Axis("above", "below", lambda thing: float(thing["centre"][1]), 0.08),
    # Who stands lower in the picture is nearer.
    "in front": _Axis("behind", "front", lambda thing: float(thing["foot"]), 0.08),
    "larger": _Axis("smaller", "larger", lambda thing: float(thing["extent"]), 0.05),
}
"""By kind; all lengths in image sides."""


@dataclass(frozen=True)
class Statement:
    """A sentence and what it means.

    Attributes:
        text: For example ``"the fenn left of the taur"``.
        kind: One of :data:`KINDS`.
        target: Index of the thing that is meant.
        triad: Target, reference and discriminative word, as a parser should find them: the reference of an attribute is
            the target itself.
    """

    text: str
    kind: str
    target: int
    triad: tuple[str, str, str]


def statements(things: Sequence[Thing], species: str) -> list[Statement]:
    """Everything that the grammar can say to single out a critter of a species, in a fixed order.

    Args:
        things: An image's ``objects``, with ``foot`` (y of the lower edge, in image sides).
        species: Of the targets.
    """
    targets = [i for i, thing in enumerate(things) if thing["species"] == species]
    names = [thing["species"] for thing in things]
    references = [i for i, name in enumerate(names) if name != species and names.count(name) == 1]
    return [
        statement
        for i in targets
        for statement in (
            *_attributes(things, i, [j for j in targets if j != i]),
            *_relations(things, i, [j for j in targets if j != i], references),
        )
    ]


def _attributes(things: Sequence[Thing], target: int, rivals: Sequence[int]) -> Iterator[Statement]:
    thing = things[target]
    name = thing["species"]
    if all(things[j]["coat"] != thing["coat"] for j in rivals):
        yield from _described(name, thing["coat"], "colour", target)
    size, margin = _AXES["larger"].of, _AXES["larger"].margin
    others = [size(things[j]) for j in rivals] or [_MIDDLE]
    if size(thing) > max(others) + margin:
        yield from _described(name, "large", "size", target)
    if size(thing) < min(others) - margin:
        yield from _described(name, "small", "size", target)


_MIDDLE = 0.25
"""A critter that is alone of its species is large or small beside this extent, in image sides."""


def _described(name: str, word: str, kind: str, target: int) -> Iterator[Statement]:
    for text in (f"the {word} {name}", f"the {name} that is {word}"):
        yield Statement(text, kind, target, (name, name, word))


def _relations(
    things: Sequence[Thing], target: int, rivals: Sequence[int], references: Sequence[int]
) -> Iterator[Statement]:
    name = things[target]["species"]
    for reference in references:
        other = things[reference]["species"]
        for kind, axis in _AXES.items():
            place = axis.of(things[reference])
            steps = [axis.of(things[i]) - place for i in (target, *rivals)]
            for word, sign in ((axis.lower, -1), (axis.higher, 1)):
                if sign * steps[0] > axis.margin and all(sign * step < -axis.margin for step in steps[1:]):
                    for phrase in PHRASES[word]:
                        yield Statement(f"the {name} {phrase} the {other}", kind, target, (name, other, word))


def said(candidates: Sequence[Statement], draws: Draws, most: int) -> list[Statement]:
    """Some of what can be said: an attribute and a relation in turn, each kind as likely as the others of its sort.

    Args:
        candidates: From :func:`statements`.
        draws: Of one image.
        most: Sentences at most. No triad is said twice of a thing.
    """
    left, chosen = list(candidates), []
    for turn in range(most):
        sort = (ATTRIBUTES, RELATIONS)[turn % 2]
        open_to = [each for each in left if each.kind in sort] or left
        if not open_to:
            break
        kinds = sorted({each.kind for each in open_to})
        kind = kinds[int(draws.integers(f"kind {turn}", count=len(kinds))[0])]
        of_kind = [each for each in open_to if each.kind == kind]
        pick = of_kind[int(draws.integers(f"statement {turn}", count=len(of_kind))[0])]
        chosen.append(pick)
        left = [each for each in left if (each.target, each.triad) != (pick.target, pick.triad)]
    return chosen
