from press.publish.aims import AIMS, FORWARD, rows
from wsss_lib.experiments import results


def contest(**times: float):
    return {"speed": {name: {"times_ours": t, "least": t / 2, "most": 2 * t} for name, t in times.items()}}


def of_grad_cam(**times: float):
    return rows({"bench_cams": {"data": {"network": {"Grad-CAM": contest(**times)}}}})


def test_an_aim_is_held_to_what_was_measured():
    (above,) = of_grad_cam(**{"ours": 1.0, "pytorch-grad-cam": 4.0})
    assert list(above.values()) == ["Grad-CAM", "pytorch-grad-cam", "4 ×", "4 ×", "2 – 8", "yes"]
    (below,) = of_grad_cam(**{"ours": 1.0, "pytorch-grad-cam": 3.99})
    assert (below["measured"], below["reached"]) == ("3.99 ×", "no")


def test_what_needs_the_forward_pass_says_how_much_is_possible():
    (row,) = of_grad_cam(**{"ours": 1.0, "pytorch-grad-cam": 3.0, FORWARD: 0.8})
    assert row["reached"] == "no: at most 3.75 ×"
    (row,) = of_grad_cam(**{"ours": 1.0, "pytorch-grad-cam": 2.84, FORWARD: 1.08})
    assert row["reached"] == "no: at most 2.84 ×"  # never less than what was measured


def test_a_reason_that_no_figure_gives_is_the_aims():
    (row,) = rows({"bench_refine": {"data": {"walk": {"40 × 40": contest(**{"ours": 1.0, "scikit-image": 0.9})}}}})
    assert row["contest"] == "random walk, 40 × 40"
    assert row["reached"].startswith("no: another algorithm")


def test_every_aim_has_its_contest_among_what_was_recorded():
    known = {name: results.read(name) for name in {aim.result for aim in AIMS}}
    assert len(rows(known)) == len(AIMS)
