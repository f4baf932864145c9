"""From a sentence to a triad: what is meant, what it is referred to, and the word that tells it from others.

    "the fenn to the left of the taur"   →  (fenn, taur, left)
    "the rust fenn"                      →  (fenn, fenn, rust)

A sentence without a second thing refers its target to itself: *rust* is what tells one fenn from another fenn.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

FILLER = "one"
"""The discriminative word of a sentence that has none, such as "the fenn"."""

PHRASES: dict[str, str] = {
    "to the left of": "left",
    "on the left of": "left",
    "left of": "left",
    "to the right of": "right",
    "on the right of": "right",
    "right of": "right",
    "in front of": "front",
    "on top of": "above",
    "larger than": "larger",
    "bigger than": "larger",
    "smaller than": "smaller",
    "above": "above",
    "over": "above",
    "below": "below",
    "under": "below",
    "beneath": "below",
    "behind": "behind",
    "next to": "beside",
    "beside": "beside",
}
"""Phrases between two things, and the word that stands for each in a triad."""

_RELATION = re.compile(r"\b(" + "|".join(sorted(PHRASES, key=len, reverse=True)) + r")\b")
_LITTLE = frozenset({"the", "a", "an", "is", "are", "that", "which", "who", "it", "this"})
"""Words that name neither a thing nor what tells it from others."""


class Triad(NamedTuple):
    """What a sentence says, in three words.

    Attributes:
        target: The thing that is meant.
        reference: The thing that it is referred to; the target itself where there is none.
        word: The discriminative word: a relation, or else an attribute, or else :data:`FILLER`.
    """

    target: str
    reference: str
    word: str


@lru_cache(maxsize=65536)
def parse(sentence: str) -> Triad:
    """The triad of a sentence of the closed grammar.

    A thing is a noun with attributes before it, or behind "that is". Of several attributes the first counts, and a
    relation counts before any attribute: the order of the released code, whose parser has relative places first.

    Args:
        sentence: For example ``"the small fenn that is behind the taur"``.

    Raises:
        ValueError: Nothing is named.

    Source: the order of words in the released code of Sun et al. 2021. Built in chapter 10.
    """
    text = " ".join(re.findall(r"[a-z0-9'-]+", sentence.lower()))
    related = _RELATION.search(text)
    if related is None:
        target, attributes = _thing(text, sentence)
        return Triad(target, target, attributes[0] if attributes else FILLER)
    target, _ = _thing(text[: related.start()], sentence)
    reference, _ = _thing(text[related.end() :], sentence)
    return Triad(target, reference, PHRASES[related.group(1)])


def _thing(phrase: str, sentence: str) -> tuple[str, list[str]]:
    """The noun of a phrase and its attributes."""
    front, _, behind = phrase.partition(" that ")
    words, later = ([word for word in part.split() if word not in _LITTLE] for part in (front, behind))
    if not words:
        raise ValueError(f"{sentence!r} names nothing where a thing is expected: write it as 'the red fox' is written")
    return words[-1], words[:-1] + later
