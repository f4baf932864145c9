"""Checks of exercises: is an answer the right number, whatever holds it, and what has been verified?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def agrees(answer: Any, expected: Any, hint: str, *, within: float = 1e-4) -> None:
    """Assert that an answer holds the expected numbers: a number, a tensor of any precision, an array, a list.

    Args:
        answer: What the reader's function returned.
        expected: Numbers of the same shape; a number agrees with a tensor of one element as well.
        hint: What is probably wrong where the values differ.
        within: Largest difference that is allowed, absolute and relative.

    Raises:
        AssertionError: Nothing was returned, or no numbers, or another shape, or other values; the message ends with
            what to do.
    """
    mine, right = numbers(answer), numbers(expected)
    if mine.numel() == right.numel() == 1:
        mine, right = mine.reshape(()), right.reshape(())
    shapes = f"the answer has shape {tuple(mine.shape)}, expected {tuple(right.shape)}"
    assert mine.shape == right.shape, f"{shapes}: {hint}"
    assert torch.isfinite(mine).all() or not torch.isfinite(right).all(), f"the answer holds NaN or infinity: {hint}"
    difference = (mine - right).abs()
    worst = difference.max().item() if difference.numel() else 0.0
    assert torch.allclose(mine, right, rtol=within, atol=within, equal_nan=True), f"{hint} (up to {worst:.4g} apart)"


def numbers(answer: Any) -> Tensor:
    """An answer as a tensor of float64, detached.

    Raises:
        AssertionError: It holds no numbers.
    """
    assert answer is not None, "the function returned nothing: end it with return and the result"
    if isinstance(answer, Tensor):
        return answer.detach().double().cpu()
    try:
        if isinstance(answer, (list, tuple)) and any(isinstance(part, (Tensor, list, tuple)) for part in answer):
            return torch.stack([numbers(part) for part in answer])
        return torch.as_tensor(answer, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise AssertionError(f"the function returned {type(answer).__name__}, expected numbers or a tensor") from error


@contextmanager
def hinted(hint: str) -> Iterator[None]:
    """Whatever the reader's function raises inside becomes a failed check, which says what to do.

    Raises:
        AssertionError: Anything was raised: the hint and the error; a failed assertion passes as it is.
    """
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{hint} ({type(error).__name__}: {error})") from error


def verified(*what: str) -> None:
    """Print what a check has verified, one line each."""
    for line in what:
        print(f"verified: {line}")
