"""GroundeR sentence by sentence, word by word and region by region; the LSTM is written out gate by gate."""

from __future__ import annotations

from dtmr_slow import through, unit_score
from torch import Tensor, zeros_like


def lstm(module, words: list[Tensor]) -> list[Tensor]:
    """The state after each word; both start at zero. Gates stand in torch's order: in, forget, new, out."""
    width = module.hidden_size
    state = memory = zeros_like(module.bias_hh_l0[:width])
    states = []
    for word in words:
        gates = module.weight_ih_l0 @ word + module.bias_ih_l0 + module.weight_hh_l0 @ state + module.bias_hh_l0
        taken, kept, new, shown = gates[:width], gates[width : 2 * width], gates[2 * width : 3 * width], gates[-width:]
        memory = kept.sigmoid() * memory + taken.sigmoid() * new.tanh()
        state = shown.sigmoid() * memory.tanh()
        states.append(state)
    return states


def one_sentence(method, u: Tensor, codes: list[Tensor]) -> tuple[list[Tensor], int]:
    """The squared error of each word, each the mean over its code, and the chosen region; u (P, D + L)."""
    question = lstm(method.reader, codes)[-1]
    scores = [unit_score(method.scorer, question, region) for region in u]
    total = sum(score.exp() for score in scores)
    seen = sum((score.exp() / total) * region for score, region in zip(scores, u, strict=True))
    told = method.seen.weight @ seen + method.seen.bias
    before = [zeros_like(codes[0]), *codes[:-1]]
    states = lstm(method.teller, [_beside(told, word) for word in before])
    errors = [(through([method.word], state) - code).square().mean() for state, code in zip(states, codes, strict=True)]
    return errors, max(range(len(scores)), key=lambda i: scores[i].item())


def _beside(first: Tensor, second: Tensor) -> Tensor:
    both = first.new_zeros(len(first) + len(second))
    both[: len(first)], both[len(first) :] = first, second
    return both
