r"""DTMR: a sentence as three words, matched to pairs of regions, and rebuilt from what was matched (Sun et al. 2021).

    sentence → target t, reference r, discriminative word d;  regions i (target) and j (reference) of all pairs

.. math::
    s^t_i = g(e_t, v_i), \quad s^r_j = g(e_r, v_j), \quad s^d_{ij} = h(e_t, e_r, e_d, u_i, u_j), \quad u = [v; \ell]

    a = \operatorname{softmax}_{ij}(2 s^t_i + s^r_j + s^d_{ij}), \qquad
    L = \sum_{x \in \{t, r, d\}} \lVert f_x(\textstyle\sum_{ij} a_{ij} \dots) - e_x \rVert^2

Nobody says which region a sentence means. A pair of regions from which its words can be rebuilt is likely the right
one.
The released code weighs with raw scores; one *shared* distribution over pairs is this book's correction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from wsss_lib.backbones import Backbone
from wsss_lib.data.records import Batch
from wsss_lib.files import sha256_of_text
from wsss_lib.methods.english import parse_english
from wsss_lib.methods.learner import Settings
from wsss_lib.methods.regions import RegionReader
from wsss_lib.methods.registry import register
from wsss_lib.methods.triads import Triad, parse

RECIPE = {"epochs": 20, "batch_size": 48, "lr": 8e-3, "head_lr": 1.0}
"""How this book trains what grounds sentences."""
Attention = Literal["shared", "independent", "raw"]
"""What weighs the regions: one softmax over pairs for all three words, a softmax for each word, or the scores."""
Parser = Literal["grammar", "english"]
"""What reads triads off sentences: the closed grammar, or the parser of free English, which needs an extra."""
PARSERS: dict[str, Callable[[str], Triad]] = {"grammar": parse, "english": parse_english}


@dataclass(frozen=True)
class DTMRConfig(Settings):
    """Settings of DTMR.

    Attributes:
        attention: One of :data:`Attention`.
        width: Of the hidden layers.
        words: Numbers that stand for a word.
        place: Numbers that a linear layer makes of the five of a place.
        reference: Whether the reference is matched and rebuilt.
        discriminative: Whether the discriminative word is.
        parser: One of :data:`Parser`.
    """

    attention: Attention = "shared"
    width: int = 64
    words: int = 64
    place: int = 16
    reference: bool = True
    discriminative: bool = True
    parser: Parser = "grammar"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "words", "place"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")

    @classmethod
    def paper(cls) -> Self:
        """The released code's sizes and weights (Sun et al. 2021, ``lib/layers/model.py``)."""
        return cls(attention="raw", width=512, words=300, place=512)


@lru_cache(maxsize=65536)
def word_code(word: str, size: int) -> Tensor:
    """The fixed code of a word: as many signs, decided by its letters alone, so that there is no vocabulary.

    Any two words agree in about half of their signs. The paper takes embeddings that were learned from text instead.

    Args:
        word: Any text.
        size: How many signs.

    Returns:
        (size,) of −1 and 1.
    """
    digits = "".join(sha256_of_text(f"{word} {part}") for part in range(-(-size // 256)))
    bits = bin(int(digits, 16))[2:].zfill(4 * len(digits))[:size]
    return torch.tensor([1.0 if bit == "1" else -1.0 for bit in bits])


def word_codes(words: Sequence[str], size: int) -> Tensor:
    """Codes of S words, (S, size)."""
    return torch.stack([word_code(word, size) for word in words]) if words else torch.zeros(0, size)


class Pairs(NamedTuple):
    """Scores of S sentences over P regions, and which regions there are.

    Attributes:
        target: (S, P).
        reference: (S, P).
        word: (S, P, P), target first.
        real: (S, P) bool: whether it is a region, and no padding.
    """

    target: Tensor
    reference: Tensor
    word: Tensor
    real: Tensor


def joined(pairs: Pairs) -> Tensor:
    """The score of each pair, 2 sᵗ + sʳ + sᵈ, (S, P, P); −∞ where a region is padding. Built in chapter 10."""
    score = 2 * pairs.target[:, :, None] + pairs.reference[:, None] + pairs.word
    return score.masked_fill(~(pairs.real[:, :, None] & pairs.real[:, None]), -torch.inf)


def over_pairs(scores: Tensor) -> Tensor:
    """One softmax over all pairs: (S, P, P), sums to 1 for each sentence. Built in chapter 10."""
    return scores.flatten(1).softmax(1).view_as(scores)


def weights(pairs: Pairs, attention: Attention) -> tuple[Tensor, Tensor, Tensor]:
    """How much each pair counts when target, reference and word are rebuilt, each (S, P, P). Built in chapter 10."""
    if attention == "shared":
        shared = over_pairs(joined(pairs))
        return shared, shared, shared
    valid = pairs.real[:, :, None] & pairs.real[:, None]
    single = (pairs.target[:, :, None], pairs.reference[:, None], pairs.word)
    each = [score.expand_as(pairs.word) for score in single]
    if attention == "raw":
        t, r, d = (score.masked_fill(~valid, 0) for score in each)
    else:
        t, r, d = (over_pairs(score.masked_fill(~valid, -torch.inf)) for score in each)
    return t, r, d


def best_pair(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Target and reference of the pair with the highest score, each (S,): pair k of P² is (k // P, k % P)."""
    best = scores.flatten(1).argmax(1)
    return best // scores.shape[2], best % scores.shape[2]


class UnitScorer(nn.Module):
    """g: how well a word fits a region. The first layer is a sum: the word's part is computed once for all regions."""

    def __init__(self, words: int, seen: int, width: int) -> None:
        super().__init__()
        self.word, self.region = nn.Linear(words, width), nn.Linear(seen, width, bias=False)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, words: Tensor, regions: Tensor, owner: Tensor) -> Tensor:
        """Scores (S, P) of words (S, E) and regions (N, P, D) of N images; sentence s is about image ``owner[s]``."""
        first = self.word(words)[:, None] + self.region(regions)[owner]  # (S, P, width)
        return self.rest(first)[..., 0]


class PairScorer(nn.Module):
    r"""h: how well a triad fits a pair of regions, target first.

    .. math:: W [e; u_i; u_j] = W_e e + W_1 u_i + W_2 u_j

    Three small products stand for one with a tensor of all pairs.
    """

    def __init__(self, words: int, seen: int, width: int) -> None:
        super().__init__()
        self.words = nn.Linear(3 * words, width)
        self.target, self.reference = (nn.Linear(seen, width, bias=False) for _ in range(2))
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, triads: Tensor, regions: Tensor, owner: Tensor) -> Tensor:
        """Scores (S, P, P) of triads (S, 3 E) and regions (N, P, D)."""
        of_pair = self.target(regions)[:, :, None] + self.reference(regions)[:, None]  # (N, P, P, width)
        return self.rest(self.words(triads)[:, None, None] + of_pair[owner])[..., 0]


def rebuilder(seen: int, width: int, words: int) -> nn.Sequential:
    """f: from what was attended to, to the code of a word."""
    return nn.Sequential(nn.Linear(seen, width), nn.ReLU(), nn.Linear(width, words))


@register("dtmr", title="DTMR", settings=DTMRConfig, chapter=10, recipe=RECIPE)
class DTMR(RegionReader):
    """Matching and reconstruction of triads.

    Args:
        backbone: What it sees in a region; it is frozen.
        num_classes: Taken so that it is built as all systems are; sentences name what they like.
        config: The settings.
    """

    def __init__(self, backbone: Backbone, num_classes: int | None = None, config: DTMRConfig | None = None) -> None:
        settings = config or DTMRConfig()
        super().__init__(backbone, num_classes, settings.place)
        self.config = settings
        words, width, seen = settings.words, settings.width, self.size
        self.unit = UnitScorer(words, seen, width)
        self.pair = PairScorer(words, seen + settings.place, width)
        self.rebuild_thing = rebuilder(seen, width, words)
        self.rebuild_word = rebuilder(2 * (seen + settings.place), width, words)

    def match(self, batch: Batch) -> tuple[Pairs, Tensor, Tensor, tuple[Tensor, ...]]:
        """Scores of all pairs; v (N, P, D) and u (N, P, D + L) of the regions; and the codes of the triads."""
        v, place, real, owner = self.read(batch)
        triads = [PARSERS[self.config.parser](sentence) for sentence in self.spoken(batch)]
        codes = tuple(
            word_codes([triad[part] for triad in triads], self.config.words).to(v)  # (S, E)
            for part in range(3)
        )
        u = torch.cat([v, place], dim=2)
        none = v.new_zeros(len(triads), v.shape[1])
        pairs = Pairs(
            target=self.unit(codes[0], v, owner),
            reference=self.unit(codes[1], v, owner) if self.config.reference else none,
            word=self.pair(torch.cat(codes, dim=1), u, owner)
            if self.config.discriminative
            else none[:, :, None].expand(-1, -1, v.shape[1]),
            real=real[owner],
        )
        return pairs, v[owner], u[owner], codes

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``target``, ``reference``, ``discriminative``: mean squared errors of rebuilt codes; 0 without a sentence."""
        pairs, v, u, codes = self.match(batch)
        t, r, d = weights(pairs, self.config.attention)
        looked = (
            torch.einsum("sij,sid->sd", t, v),
            torch.einsum("sij,sjd->sd", r, v),
            torch.cat([torch.einsum("sij,sid->sd", d, u), torch.einsum("sij,sjd->sd", d, u)], dim=1),
        )
        rebuilt = (self.rebuild_thing(looked[0]), self.rebuild_thing(looked[1]), self.rebuild_word(looked[2]))
        used = {"target": True, "reference": self.config.reference, "discriminative": self.config.discriminative}
        number = max(1, codes[0].numel())
        return {
            name: (guess - code).square().sum() / number * float(on)
            for (name, on), guess, code in zip(used.items(), rebuilt, codes, strict=True)
        }

    def answer(self, batch: Batch) -> list[Tensor]:
        """The proposal that each sentence means: of each image (Q, 4) xyxy pixels."""
        pairs, *_ = self.match(batch)
        if not pairs.real.numel():
            return self.chosen(batch, pairs.real.new_zeros(0, dtype=torch.int64))
        return self.chosen(batch, best_pair(joined(pairs))[0])
