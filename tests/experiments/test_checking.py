"""Answers of readers: the right value passes in whatever holds it, and each kind of mistake gets its words."""

import numpy as np
import pytest
import torch

from wsss_lib.experiments.checking import agrees, hinted, verified


@pytest.mark.parametrize(
    "answer",
    [0.5, np.float32(0.5), torch.tensor(0.5), torch.tensor([0.5]), torch.tensor([[0.5]], dtype=torch.float64), [0.5],
     torch.tensor(0.5, requires_grad=True), 0.50001],
)  # fmt: skip
def test_a_right_number_passes_in_whatever_holds_it(answer):
    agrees(answer, 0.5, "look at the mean")


@pytest.mark.parametrize(
    "answer", [[[1, 2], [3, 4]], np.array([[1.0, 2], [3, 4]]), [torch.tensor([1, 2]), torch.tensor([3, 4])],
     [[torch.tensor(1), torch.tensor(2)], (3, torch.tensor(4.0))], (np.array([1, 2]), [3, 4])],
)  # fmt: skip
def test_a_right_matrix_passes_in_whatever_holds_it(answer):
    agrees(answer, torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "look at the rows")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "returned nothing"),
        ("half", "returned str"),
        ({}, "returned dict"),
        ([[0.5, 0.5], [0.5]], "returned list"),
        (0.6, r"look at the mean \(up to 0\.1 apart\)"),
        (float("nan"), "NaN or infinity: look at the mean"),
        (torch.tensor([0.5, 0.5]), r"shape \(2,\), expected \(\): look at the mean"),
    ],
)
def test_a_wrong_answer_gets_the_words_for_its_mistake(answer, words):
    with pytest.raises(AssertionError, match=words):
        agrees(answer, 0.5, "look at the mean")


@pytest.mark.parametrize("error", [KeyError("cup"), RuntimeError("size mismatch"), ZeroDivisionError("by zero")])
def test_an_answer_that_raises_fails_with_the_hint(error):
    with (
        pytest.raises(AssertionError, match=rf"look at the rows \({type(error).__name__}: .*") as failed,
        hinted("look at the rows"),
    ):
        raise error
    assert failed.value.__cause__ is error


def test_a_failed_assertion_keeps_its_own_words():
    with pytest.raises(AssertionError, match=r"^the rows differ$"), hinted("look at the columns"):
        raise AssertionError("the rows differ")
    with hinted("look at the columns"):
        pass


def test_what_was_verified_is_printed(capsys):
    verified("the matrix of the text", "other shapes")
    assert capsys.readouterr().out == "verified: the matrix of the text\nverified: other shapes\n"
