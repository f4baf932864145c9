r"""Grounding by reconstruction: attend to one region, and say the sentence again from it (Rohrbach et al. 2016).

.. math:: a = \operatorname{softmax}_i\, g(q, u_i), \qquad z = \sum_i a_i u_i, \qquad
          L = \frac1T \sum_{t=1}^{T} \lVert f(\mathrm{LSTM}(z, w_1, \dots, w_{t-1})) - w_t \rVert^2

q is the last state of an LSTM over the words w₁ … w_T. The whole sentence is matched to a single region: what DTMR is
compared with, in accuracy and in cost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wsss_lib.backbones import Backbone
from wsss_lib.data.records import Batch
from wsss_lib.methods.dtmr import RECIPE, UnitScorer, word_codes
from wsss_lib.methods.learner import Settings
from wsss_lib.methods.regions import RegionReader
from wsss_lib.methods.registry import register


@dataclass(frozen=True)
class GroundeRConfig(Settings):
    """Settings of GroundeR.

    Attributes:
        width: Of the hidden layers and of both LSTMs.
        words: Numbers that stand for a word.
        place: Numbers that a linear layer makes of the five of a place.
    """

    width: int = 64
    words: int = 64
    place: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "words", "place"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")


def words_of(sentence: str) -> list[str]:
    """The words of a sentence in lower case, at least one."""
    return re.findall(r"[a-z0-9'-]+", sentence.lower()) or [""]


@register("grounder", title="GroundeR", settings=GroundeRConfig, chapter=10, recipe={**RECIPE, "lr": 2e-3})
class GroundeR(RegionReader):
    """Matching and reconstruction of whole sentences.

    The words are the fixed codes of DTMR, and are rebuilt as such; the paper predicts them out of a vocabulary.

    Args:
        backbone: What it sees in a region; it is frozen.
        num_classes: Taken so that it is built as all systems are.
        config: The settings.
    """

    def __init__(
        self, backbone: Backbone, num_classes: int | None = None, config: GroundeRConfig | None = None
    ) -> None:
        settings = config or GroundeRConfig()
        super().__init__(backbone, num_classes, settings.place)
        self.config = settings
        words, width, seen = settings.words, settings.width, self.size + settings.place
        self.reader = nn.LSTM(words, width, batch_first=True)
        self.scorer = UnitScorer(width, seen, width)
        self.seen = nn.Linear(seen, words)
        self.teller = nn.LSTM(2 * words, width, batch_first=True)
        self.word = nn.Linear(width, words)

    def match(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scores (S, P), −∞ where there is no region; u (S, P, D + L); codes (S, T, E); and which are words (S, T)."""
        v, place, real, owner = self.read(batch)
        texts = [words_of(sentence) for sentence in self.spoken(batch)]
        longest = max(map(len, texts), default=1)
        flat = word_codes([word for text in texts for word in text + [""] * (longest - len(text))], self.config.words)
        codes = flat.view(len(texts), longest, self.config.words).to(v)
        lengths = torch.tensor([len(text) for text in texts], dtype=torch.int64).to(v.device)
        u = torch.cat([v, place], dim=2)
        if not texts:
            return v.new_zeros(0, v.shape[1]), u[owner], codes, codes[..., 0] > 0
        states, _ = self.reader(codes)  # (S, T, width)
        last = states.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, states.shape[2]))[:, 0]
        scores = self.scorer(last, u, owner).masked_fill(~real[owner], -torch.inf)
        spoken = torch.arange(longest, device=v.device) < lengths[:, None]
        return scores, u[owner], codes, spoken

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``sentence``: mean squared error of the codes, each said behind the region and the words before it."""
        scores, u, codes, spoken = self.match(batch)
        if not len(scores):
            return {"sentence": self.word.bias.sum() * 0}
        region = self.seen(torch.einsum("sp,spd->sd", scores.softmax(1), u))  # (S, E)
        before = torch.cat([torch.zeros_like(codes[:, :1]), codes[:, :-1]], dim=1)  # the word before each
        states, _ = self.teller(torch.cat([region[:, None].expand_as(before), before], dim=2))
        each = (self.word(states) - codes).square().mean(2) * spoken  # (S, T)
        return {"sentence": each.sum() / spoken.sum()}

    def answer(self, batch: Batch) -> list[Tensor]:
        """The proposal that each sentence means: of each image (Q, 4) xyxy pixels."""
        scores, *_ = self.match(batch)
        which = scores.argmax(1) if len(scores) else scores.new_zeros(0, dtype=torch.int64)
        return self.chosen(batch, which)
