"""DTMR sentence by sentence and pair by pair, with one tensor for each pair: slow, and nothing is factorised."""

from __future__ import annotations

import torch
from torch import Tensor


def through(layers, x: Tensor) -> Tensor:
    """A vector through linear layers and what is negative set to zero between them."""
    for layer in layers:
        x = layer.weight @ x + layer.bias if hasattr(layer, "weight") else x * (x > 0)
    return x


def unit_score(scorer, word: Tensor, region: Tensor) -> Tensor:
    """g([e; v]) with one weight matrix."""
    weight = torch.cat([scorer.word.weight, scorer.region.weight], dim=1)
    return through(scorer.rest, weight @ torch.cat([word, region]) + scorer.word.bias)[0]


def pair_score(scorer, triad: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """h([e_t; e_r; e_d; u_i; u_j]) with one weight matrix."""
    weight = torch.cat([scorer.words.weight, scorer.target.weight, scorer.reference.weight], dim=1)
    return through(scorer.rest, weight @ torch.cat([triad, first, second]) + scorer.words.bias)[0]


def one_sentence(method, v: Tensor, u: Tensor, codes: list[Tensor]) -> tuple[list[Tensor], int]:
    """The three squared errors of a sentence, and the chosen target; v (P, D), u (P, D + L), codes three (E,)."""
    number = len(v)
    scores = {"t": [], "r": [], "d": []}
    for i in range(number):
        for j in range(number):
            scores["t"].append(unit_score(method.unit, codes[0], v[i]))
            scores["r"].append(unit_score(method.unit, codes[1], v[j]))
            scores["d"].append(pair_score(method.pair, torch.cat(codes), u[i], u[j]))
    t, r, d = (torch.stack(scores[key]) for key in "trd")  # (P²,), pair k is (k // P, k % P)
    total = 2 * t + r + d
    kind = method.config.attention
    if kind == "shared":
        weights = [total.exp() / total.exp().sum()] * 3
    elif kind == "independent":
        weights = [each.exp() / each.exp().sum() for each in (t, r, d)]
    else:
        weights = [t, r, d]
    z = [torch.zeros_like(v[0]), torch.zeros_like(v[0]), torch.zeros_like(torch.cat([u[0], u[0]]))]
    for k in range(number * number):
        i, j = k // number, k % number
        z[0] = z[0] + weights[0][k] * v[i]
        z[1] = z[1] + weights[1][k] * v[j]
        z[2] = z[2] + weights[2][k] * torch.cat([u[i], u[j]])
    rebuilders = [method.rebuild_thing, method.rebuild_thing, method.rebuild_word]
    guesses = [through(layers, each) for layers, each in zip(rebuilders, z, strict=True)]
    errors = [(guess - code).square().mean() for guess, code in zip(guesses, codes, strict=True)]
    return errors, int(total.argmax()) // number
