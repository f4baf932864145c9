"""Printed numbers with a tolerance: the pure part, then nbval on a chapter with true and false outputs."""

import nbformat
import pytest
from notebook_kit import executed, put

from press import cells
from press.check.compare import agree
from press.run import validate


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("IoU 0.46", "IoU 0.46"),
        ("IoU 0.46", "IoU 0.48"),
        ("IoU 46.3 %", "IoU 47.9 %"),
        ("46% of the images", "48% of the images"),
        ("a right box in 49% of the images", "a right box in 52% of the images"),
        ("loss  -0.001", "loss   0.002"),
        ("tensor([1.0000e+00, 2.])", "tensor([1.0000e+00, 2.])"),
        ("a 9.99", "a  10.01"),
    ],
)
def test_close_decimals_agree(text, stored):
    assert agree(text, stored)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("IoU 0.46", "IoU 0.52"),
        ("IoU 46.3 %", "IoU 49.9 %"),
        ("46% of the images", "50% of the images"),
        ("46%", "0.46"),
        ("12 images", "13 images"),
        ("IoU 0.46", "iou 0.46"),
        ("0.46", "0.46 0.46"),
        ("torch 2.15.0", "torch 2.15.1"),
        ("1.0e+00", "1.0e+03"),
    ],
)
def test_what_differs_does_not(text, stored):
    assert not agree(text, stored)


def chapter(root, code, stored, **options):
    path = put(root, "01_cam", code, begin=False)
    output = nbformat.v4.new_output(**{"output_type": "stream", "text": stored} | options)
    cells.write(executed(cells.read(path), {"code-0": [output]}), path)
    return validate.main(root, jobs=1)


def test_nbval_takes_close_decimals_and_runs_in_a_folder_of_its_own(clone):
    code = "import os\nprint(f'{0.4612} {object()}', os.listdir())"
    assert chapter(clone, code, "0.47 <object object at 0x…> ['01_cam.ipynb']\n") == 0
    assert (clone / "_build" / "nbval" / "01_cam" / "01_cam.ipynb").exists()


def test_nbval_refuses_another_number(clone, capfd):
    assert chapter(clone, "print(0.46)", "0.56\n") == 1
    assert "0.56" in capfd.readouterr().out
