"""What chapter 7's studies compare: the same classifier under each control, one threshold kept over the dial."""

from __future__ import annotations

import copy

import pytest
import torch

from wsss_lib.experiments.studies import __main__ as studies
from wsss_lib.experiments.studies import esol
from wsss_lib.experiments.variants import HeadOnly, WatchedESOL, sampling
from wsss_lib.experiments.workbench import Workbench
from wsss_lib.methods import ESOL


@pytest.fixture(scope="module")
def lab() -> Workbench:
    return Workbench("smoke")


@pytest.fixture(scope="module")
def trained(lab: Workbench) -> ESOL:
    return esol.trained(lab)


def changed(before: ESOL, after: ESOL) -> set[str]:
    """The parts whose parameters differ."""
    pairs = zip(before.named_parameters(), after.parameters(), strict=True)
    return {name.split(".")[0] for (name, a), b in pairs if not torch.equal(a, b)}


def test_every_study_is_listed() -> None:
    assert set(esol.STUDIES) <= set(studies.STUDIES)


def test_a_fork_has_the_classifier_and_samplers_that_look_nowhere_else(lab: Workbench, trained: ESOL) -> None:
    fork = esol.forked(lab, trained, clip=1.0, read="shrinkage")
    assert changed(trained, fork) == {"adapted", "expansion", "shrinkage"}
    images = lab.examples(2)["images"]
    with torch.no_grad():
        torch.testing.assert_close(fork.eval().raw_maps(images), trained.eval().maps(images, "baseline"))


def test_the_last_phases_again_leave_the_classifier(lab: Workbench, trained: ESOL) -> None:
    method = esol.again(lab, trained, shares=(0.0, 0.5, 0.5))
    assert changed(trained, method) <= {"adapted", "expansion", "shrinkage"}
    assert esol.updates(lab, 0.25) == 2, "five updates of smoke, at least two"


def test_head_only_trains_the_copy_of_the_head(lab: Workbench, trained: ESOL) -> None:
    before = esol.forked(lab, trained, HeadOnly, shares=(0.0, 0.0, 1.0))
    after = copy.deepcopy(before)
    lab.fit(after, epochs=None, steps=2)
    assert changed(before, after) == {"adapted"}


def test_the_same_network_is_read_in_three_ways(lab: Workbench, trained: ESOL) -> None:
    images = lab.examples(2)["images"]
    trained.eval()
    for read in esol.READS:
        other = sampling(trained, read)
        assert changed(trained, other) == set()
        torch.testing.assert_close(other.raw_maps(images), trained.maps(images, read))


def test_an_ascent_is_watched_and_does_not_stop(lab: Workbench, trained: ESOL) -> None:
    method = esol.forked(lab, trained, WatchedESOL, shares=(0.0, 1.0, 0.0), reach=esol.FAR, read="expansion")
    rows = esol.ascent(lab, method)
    assert [row["update"] for row in rows] == [0, 5], "a smoke run has five updates"
    assert rows[0]["reach"] == 0 < rows[1]["reach"]
    assert 0 <= rows[1]["object_recall"] <= 1


def test_a_stretch_keeps_the_order_and_one_shift_is_the_mean(lab: Workbench, trained: ESOL) -> None:
    images, labels = (lab.examples(2)[key] for key in ("images", "labels"))
    methods = esol.readings(lab, trained)
    with torch.no_grad():
        plain = methods["CAM₁"].localize(images, labels)
        for name, power in esol.ROOTS.items():
            torch.testing.assert_close(methods[name].localize(images, labels), plain**power)
        x = trained.eval().features(lab.choose_on.batch(range(len(lab.choose_on)))["images"])
        field = trained.shrinkage(trained.expanded(x, trained.expansion(x)))
        moved = methods["ESOL, one shift"].shrinkage(torch.rand_like(trained.plain(x)))
    torch.testing.assert_close(moved, field.mean((0, 2, 3), keepdim=True).expand_as(moved), rtol=1e-3, atol=1e-6)
    assert changed(trained, methods["ESOL, one shift"]) == {"shrinkage"}


class LeftBright(torch.nn.Module):
    """Localises by columns: 1 at the left border, 0 at the right one."""

    def localize(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        falling = torch.linspace(1, 0, images.shape[-1]).expand(len(images), 1, *images.shape[-2:])
        return falling * labels[:, :, None, None]


def test_sides_of_the_objects(lab: Workbench) -> None:
    heights = esol.at_sides(lab, LeftBright())  # type: ignore[arg-type]
    assert heights["left"] > heights["object"] > heights["right"]
    assert abs(heights["above"] - heights["below"]) < 0.1, "the map is the same in every row"


def test_curves_and_rows(lab: Workbench, trained: ESOL) -> None:
    val, test = esol.counted(lab, trained)
    row, curves = esol.row_from(val, test), esol.over_thresholds(test)
    at = curves["thresholds"].index(esol.FIXED)
    assert row["fixed_recall"] == pytest.approx(curves["recall"][at])
    assert row["fixed_share"] == pytest.approx(
        float(test.foreground.histogram[31:].sum() / test.foreground.histogram.sum())
    )
    assert row["miou"] <= row["best_miou"]
    assert row["mean_miou"] == pytest.approx(float(test.miou().values.mean()))
    assert {len(values) for values in curves.values()} == {len(curves["thresholds"])}
    falling = torch.tensor(curves["recall"]).diff()
    assert (falling <= 0).all()
    assert esol.turned(lab, 0.1).fingerprint != esol.turned(lab, 0.9).fingerprint
