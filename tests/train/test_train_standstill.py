"""What is said of a run that learns nothing, and that nothing is said of, or changed in, any other."""

import math
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from train_kit import Toys, identical, jitter, weights

from wsss_lib.data.records import Batch
from wsss_lib.methods.contract import Method, Prediction
from wsss_lib.train import History, TrainConfig, fit
from wsss_lib.train.standstill import are_flat, tied_term

CONFIG = TrainConfig(epochs=3, batch_size=4, lr=0.1)


class Small(Method):
    """A convolution, and a head without a bias; `height` lifts what the ReLU lets through."""

    def __init__(self, height: float = 0.0, softmax: bool = False) -> None:
        super().__init__(num_classes=3)
        torch.manual_seed(3)
        self.conv, self.head, self.softmax = nn.Conv2d(3, 5, 3), nn.Linear(5, 3, bias=False), softmax
        nn.init.constant_(self.conv.bias, height)
        self.looks = 0

    def predict(self, images: Tensor) -> Prediction:
        self.looks += not self.training
        features = self.conv(images).relu()  # (N, 5, h, w)
        maps = torch.einsum("nchw,kc->nkhw", features, self.head.weight)
        return Prediction(maps, maps.mean((2, 3)))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        logits = self(batch["images"])
        if self.softmax:
            return {"classification": F.cross_entropy(logits, batch["labels"].argmax(1))}
        return {"classification": F.binary_cross_entropy_with_logits(logits, batch["labels"])}


@pytest.mark.parametrize(("softmax", "said"), [(False, "ln 2 = 0.693"), (True, "ln 3 = 1.099")])
def test_a_dead_network_is_named_once(softmax: bool, said: str) -> None:
    method = Small(height=-50, softmax=softmax)  # no unit is ever active
    with pytest.warns(UserWarning, match=said) as warned:
        fit(method, Toys(10), CONFIG)
    assert len(warned) == 1
    assert "'classification'" in str(warned[0].message)
    assert "maps are flat" in str(warned[0].message)
    assert method.looks == 1, "the maps are looked at once, and not at every epoch"


def test_a_network_that_learns_is_not_looked_at() -> None:
    method = Small()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(method, Toys(10), CONFIG)
    assert method.looks == 0


def test_scores_that_tie_over_maps_that_are_not_flat_are_no_standstill() -> None:
    method = Small()
    method.requires_grad_(False)
    method.useless = nn.Parameter(torch.zeros(()))
    method.losses = lambda batch: {"constant": math.log(2) + 0 * method.useless}  # type: ignore[method-assign]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(method, Toys(10), CONFIG)
    assert method.looks == CONFIG.epochs - 1


def test_one_epoch_is_no_standstill() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(Small(height=-50), Toys(10), TrainConfig(epochs=1, batch_size=4, lr=0.1))


def test_looking_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    class Drawing(Small):
        """Draws from the global generator, in training and where it is looked at."""

        def losses(self, batch: Batch) -> dict[str, Tensor]:
            return super().losses(batch) | {"draw": 0 * self.head.weight.sum() + torch.rand(())}

        def predict(self, images: Tensor) -> Prediction:
            return super().predict(images + 0 * torch.rand(()))

    watched, alone = Drawing(height=-50), Drawing(height=-50)
    with pytest.warns(UserWarning, match="maps are flat"):
        history = fit(watched, Toys(10), CONFIG, transform=jitter)
    monkeypatch.setattr("wsss_lib.train.standstill.tied_term", lambda *_: None)
    assert fit(alone, Toys(10), CONFIG, transform=jitter).terms == history.terms
    assert identical(weights(alone), weights(watched))
    assert (watched.looks, alone.looks) == (1, 0)
    assert watched.training


def history_of(values: list[float], per_epoch: int = 2) -> History:
    history = History(per_epoch)
    for value in values:
        history.add(value + 1, {"size": 1.0, "classification": value}, lr=0.1)
    return history


def test_which_losses_stand() -> None:
    ln2 = math.log(2)
    assert tied_term(history_of([0.1, 0.2, *[ln2] * 4]), None) == ("classification", 2)
    assert tied_term(history_of([ln2] * 3), None) is None, "not yet two epochs"
    assert tied_term(history_of([ln2, ln2, 0.68, ln2]), None) is None, "it moved in between"
    assert tied_term(history_of([ln2, ln2, ln2, ln2, 0.6]), None) is None, "it has left"
    assert tied_term(history_of([0.69140625, 0.6953125] * 2), 5) == ("classification", 2), "as bfloat16 rounds"
    assert tied_term(history_of([math.log(5)] * 4), 5) == ("classification", 5)
    assert tied_term(history_of([math.log(5)] * 4), None) is None


def test_which_maps_are_flat() -> None:
    ramp = torch.arange(4.0).view(1, 1, 2, 2)
    maps = torch.cat([torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), -3.0), ramp, 1000 + ramp, 100 + ramp], dim=1)
    assert are_flat(maps).tolist() == [[True, True, False, True, False]]
    assert are_flat(1e-6 * ramp).tolist() == [[False]], "small is not flat"
