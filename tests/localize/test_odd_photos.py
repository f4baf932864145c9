"""Photographs of strangers: odd files and odd names, made here, each with the right value or its one sentence."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from wsss_lib.backbones import ImageNetClassifier
from wsss_lib.localize import PhotosFailed, localize_images, open_photo
from wsss_lib.localize.names import plan_stems, printable

GREY, RED = (128, 128, 128), (255, 40, 40)


def photo(size: tuple[int, int] = (48, 32)) -> Image.Image:
    """Grey, the left third red."""
    image = Image.new("RGB", size, GREY)
    image.paste(RED, (0, 0, size[0] // 3, size[1]))
    return image


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or photo()).save(buffer, format=kind, **options)
    return buffer.getvalue()


def exif(orientation: int, *, resolution: tuple[int, int] = (72, 1), cut: int | None = None) -> bytes:
    """EXIF with an orientation and a signed XResolution, written by hand: Pillow refuses to write nonsense."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + struct.pack("<HHII", 0x011A, 10, 1, 38)
    block = b"II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0) + struct.pack("<ii", *resolution)
    return b"Exif\0\0" + block[:cut]


def huge() -> bytes:
    """A PNG whose header claims 100,000 pixels a side."""
    content = bytearray(encoded("PNG"))
    content[16:24] = struct.pack(">II", 100_000, 100_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


READ: dict[str, tuple[bytes, tuple[int, int]]] = {
    "no_tags.jpg": (encoded("JPEG"), (48, 32)),
    "turned.jpg": (encoded("JPEG", exif=exif(6)), (32, 48)),
    "malformed_resolution.jpg": (encoded("JPEG", exif=exif(6, resolution=(-1, 0))), (32, 48)),
    "orientation_that_does_not_exist.jpg": (encoded("JPEG", exif=exif(77)), (48, 32)),
    "tags_cut_off.jpg": (encoded("JPEG", exif=exif(6, cut=15)), (48, 32)),
    "tags_that_are_none.jpg": (encoded("JPEG", exif=b"Exif\0\0nonsense"), (48, 32)),
    "turned.webp": (encoded("WEBP", exif=exif(8)), (32, 48)),
    "ink.jpg": (encoded("JPEG", photo().convert("CMYK")), (48, 32)),
    "animated.gif": (encoded("GIF", save_all=True, append_images=[Image.new("RGB", (48, 32))]), (48, 32)),
    "pages.tiff": (encoded("TIFF", save_all=True, append_images=[Image.new("L", (5, 5))]), (48, 32)),
    "a_pixel.bmp": (encoded("BMP", photo((1, 1))), (1, 1)),
    "really_a_png.jpg": (encoded("PNG"), (48, 32)),
}
if features.check("avif"):
    READ["new.avif"] = (encoded("AVIF"), (48, 32))
if features.check("jpg_2000"):
    READ["new.jp2"] = (encoded("JPEG2000"), (48, 32))

REFUSED: dict[str, tuple[bytes, str]] = {
    "empty.jpg": (b"", r"empty\.jpg: the image is empty: save or download it again"),
    "page.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", r"page\.jpg: the image is a web page: download"),
    "notes.png": (b"these are notes", r"notes\.png: the image is no image that can be read: convert it to JPEG or PNG"),
    "cut.jpg": (encoded("JPEG", photo((400, 300)), quality=95)[:2000], r"cut\.jpg: the image is damaged .*: save"),
    "cut.png": (encoded("PNG", photo((400, 300)))[:200], r"cut\.png: the image is damaged .*: save or download"),
    "huge.png": (huge(), r"huge\.png: the image claims to have too many pixels.*: make it smaller"),
    "phone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", r"phone\.heic: the image is a HEIC photo: convert it to"),
    "raw.jxl": (b"\xff\x0a\xfa\x1f\x41", r"raw\.jxl: the image is a JPEG XL image: convert it to JPEG or PNG first"),
    "depth.tiff": (encoded("TIFF", Image.fromarray(np.float32([[-3.0, 0.5]]))), r"depth\.tiff: .* from -3 to 0\.5"),
}

NAMES = (
    "brackets [1].png",
    "a::b.png",
    'it\'s "quoted".png',
    "percent %s %d.png",
    "~tilde.png",
    "-dash.png",
    "写真 猫.png",
    "u\u0308mlaut.png",
    "\N{CAT FACE}.png",
    "line\nbreak.png",
    "trailing dots...png",
    "x" * 240 + ".png",
    "写" * 80 + ".png",
)


@pytest.mark.parametrize("name", READ)
def test_an_odd_file_is_read_upright(name: str, tmp_path: Path) -> None:
    content, size = READ[name]
    (tmp_path / name).write_bytes(content)
    read = open_photo(tmp_path / name)
    assert read.mode == "RGB"
    assert read.size == size
    if size != (1, 1):
        red = np.asarray(read).astype(int)[..., 0] - np.asarray(read).astype(int)[..., 1] > 100
        assert 0.25 < red.mean() < 0.4, "the red third is there, whatever the tags say"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_ends_upright(orientation: int, tmp_path: Path) -> None:
    # How the eight cameras stored the same view: each of these undoes one turn.
    stored = {
        1: photo(),
        2: photo().transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: photo().transpose(Image.Transpose.ROTATE_180),
        4: photo().transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: photo().transpose(Image.Transpose.TRANSPOSE),
        6: photo().transpose(Image.Transpose.ROTATE_90),
        7: photo().transpose(Image.Transpose.TRANSVERSE),
        8: photo().transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    (tmp_path / "a.png").write_bytes(encoded("PNG", stored, exif=exif(orientation)[6:]))
    np.testing.assert_array_equal(np.asarray(open_photo(tmp_path / "a.png")), np.asarray(photo()))


def test_bad_photos_never_stop_the_good_ones(tmp_path: Path, probe: ImageNetClassifier) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, (content, _) in (READ | REFUSED).items():
        (folder / name).write_bytes(content)
    with pytest.raises(PhotosFailed) as caught:
        localize_images([folder], classifier=probe, out=tmp_path / "out", short_side=96)
    assert sorted(failure.file.name for failure in caught.value.failures) == sorted(REFUSED)
    for failure in caught.value.failures:
        assert str(failure.file) in failure.sentence
        assert "\n" not in failure.sentence
        assert re.search(REFUSED[failure.file.name][1], failure.sentence)
    assert sorted(report["image"] for report in caught.value.reports) == sorted(READ)
    assert len(list((tmp_path / "out").glob("*.json"))) == len(READ)
    assert not list((tmp_path / "out").glob(".*")), "nothing half-written stays"


def test_an_odd_name_is_no_obstacle(tmp_path: Path, probe: ImageNetClassifier) -> None:
    folder = tmp_path / "photos [2] of 'me'"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(encoded("PNG"))
    reports = localize_images([folder], classifier=probe, out=tmp_path / "out::[1]", short_side=96)
    assert len(reports) == len(NAMES)
    for report in reports:
        assert report["image"].isprintable()
        for kind in ("overlay", "map"):
            assert (tmp_path / "out::[1]" / report["objects"][0][kind]).is_file()
    assert len(list((tmp_path / "out::[1]").iterdir())) == 3 * len(NAMES)
    assert len(localize_images([folder / name for name in NAMES], classifier=probe, short_side=96)) == len(NAMES)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_a_name_that_is_no_text(tmp_path: Path, probe: ImageNetClassifier) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    path.write_bytes(encoded("PNG"))
    (report,) = localize_images([tmp_path], classifier=probe, out=tmp_path / "out", short_side=96)
    assert report["image"] == r"caf\udce9.png"
    (written,) = (tmp_path / "out").glob("*.json")
    assert json.loads(written.read_text(encoding="utf-8")) == report


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _dangling(path: Path) -> None:
    path.symlink_to("gone.jpg")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.skipif(os.name == "nt", reason="needs links and pipes")
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_fifo, r"odd\.jpg is a pipe and no file: save the photo as a file first"),
        (_dangling, r"odd\.jpg is a link to gone\.jpg, which is not there: mend or remove the link"),
        (_loop, r"odd\.jpg .*link"),
    ],
)
def test_what_is_no_file_is_refused_by_name(
    make: Callable[[Path], None], sentence: str, tmp_path: Path, probe: ImageNetClassifier
) -> None:
    make(tmp_path / "odd.jpg")
    (tmp_path / "good.png").write_bytes(encoded("PNG"))
    for given in ([tmp_path], [tmp_path / "odd.jpg", tmp_path / "good.png"]):
        with pytest.raises(PhotosFailed, match=sentence) as caught:
            localize_images(given, classifier=probe, short_side=96)
        assert [report["image"] for report in caught.value.reports] == ["good.png"]
        assert len(caught.value.failures) == 1


def test_a_folder_is_passed_through_aloud(tmp_path: Path, probe: ImageNetClassifier) -> None:
    (tmp_path / "good.png").write_bytes(encoded("PNG"))
    (tmp_path / "._good.png").write_bytes(b"\0\x05\x16\x07Mac OS X")
    (tmp_path / "album.jpg").mkdir()
    (tmp_path / "notes.txt").write_text("no photo, and nobody expects it to be one")
    with pytest.warns(UserWarning, match="was skipped") as warned:
        reports = localize_images([tmp_path], classifier=probe, short_side=96)
    assert [report["image"] for report in reports] == ["good.png"]
    messages = sorted(str(w.message).removeprefix(f"{tmp_path}{os.sep}") for w in warned)
    assert messages == [
        "._good.png was skipped: a hidden file; name it itself to have it localised.",
        "album.jpg was skipped: a folder; name it itself to look inside.",
    ]


def test_paths_that_name_no_photo(tmp_path: Path, probe: ImageNetClassifier) -> None:
    (tmp_path / "empty").mkdir()
    good = tmp_path / "good.png"
    good.write_bytes(encoded("PNG"))
    for path, sentence in (
        (tmp_path / "absent.jpg", r"There is no photo .*absent\.jpg: give the path"),
        (tmp_path / "empty", r"The folder .*empty holds no images"),
        (tmp_path / ("y" * 300 + ".jpg"), r"yyy\.jpg cannot be looked at \(File name too long\)"),
        (good / "inside.jpg", r"There is no photo .*inside\.jpg"),
    ):
        with pytest.raises(PhotosFailed, match=sentence) as caught:
            localize_images([path, good], classifier=probe, short_side=96)
        assert [report["image"] for report in caught.value.reports] == ["good.png"]
        with pytest.raises(PhotosFailed, match=sentence):
            localize_images([path], classifier=probe, out=tmp_path / "out")
        assert not (tmp_path / "out").exists()
    with pytest.raises(FileNotFoundError, match="There are no photos"):
        localize_images([], classifier=probe)
    with pytest.raises(ValueError, match=r"good\.png, which is a file: name a folder"):
        localize_images([good], classifier=probe, out=good)
    with pytest.raises(ValueError, match=r"inside cannot be made \(Not a directory\): name another"):
        localize_images([good], classifier=probe, out=good / "inside")


def test_results_beside_the_photos_are_not_localised_again(tmp_path: Path, probe: ImageNetClassifier) -> None:
    (tmp_path / "cat.png").write_bytes(encoded("PNG"))
    localize_images([tmp_path], classifier=probe, out=tmp_path, short_side=96)
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert len(first) == 4
    shutil.copy(tmp_path / "cat-cam-red_thing-overlay.png", tmp_path / "renamed.png")
    with pytest.warns(UserWarning, match=r"3 of .* skipped: pictures that earlier runs have made"):
        (report,) = localize_images([tmp_path], classifier=probe, out=tmp_path, short_side=96)
    assert report["image"] == "cat.png"
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.name != "renamed.png"} == first
    (report,) = localize_images([tmp_path / "renamed.png"], classifier=probe, short_side=96)  # named, it is wanted
    assert report["image"] == "renamed.png"


def test_photos_of_one_name_keep_their_results_apart(tmp_path: Path, probe: ImageNetClassifier) -> None:
    for folder, size in (("d1", (48, 32)), ("d2", (64, 32))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "photo.png").write_bytes(encoded("PNG", photo(size)))
    both = [tmp_path / "d1" / "photo.png", tmp_path / "d2" / "photo.png"]
    options = {"classifier": probe, "out": tmp_path / "out", "short_side": 96}
    localize_images(both[:1], **options)
    localize_images(both[1:], **options)  # a run of its own, hours later
    widths = {f.name: json.loads(f.read_text())["width"] for f in (tmp_path / "out").glob("*.json")}
    assert widths == {"photo-cam.json": 48, "photo-2-cam.json": 64}
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    localize_images(both, **options)
    localize_images(both[1:], **options)
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    (tmp_path / "out" / "photo-cam.json").write_text("[]")  # not a report of this photo, as far as anybody can tell
    assert plan_stems(both[:1], "cam", tmp_path / "out") == ["photo-3-cam"]


def test_a_file_that_is_named_twice_is_done_once(tmp_path: Path, probe: ImageNetClassifier) -> None:
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    reports = localize_images([tmp_path / "a.png", tmp_path, tmp_path / "a.png"], classifier=probe, short_side=96)
    assert len(reports) == 1


def test_long_names_stay_apart_and_fit(tmp_path: Path) -> None:
    files = [tmp_path / ("写" * 80 + tail + ".png") for tail in ("1", "2")]
    stems = plan_stems(files, "gradcam++", None)
    assert len(set(stems)) == 2
    assert max(len(stem.encode()) for stem in stems) < 130
    assert printable("a\tb\x1b[0m猫") == r"a\tb\x1b[0m猫"


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on the size of files")
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, probe: ImageNetClassifier) -> None:
    import resource
    import signal

    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encoded("PNG"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))  # a map fits, an overlay does not
    try:
        with pytest.raises(PhotosFailed, match=r"results of .*a\.png were not written.*too large.*ulimit -f") as caught:
            localize_images([tmp_path], classifier=probe, out=tmp_path / "out", short_side=96)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.reports == []
    assert (
        list((tmp_path / "out").iterdir()) == []
    )  # not even the map, which did fit: all of a photo's results, or none


def test_a_full_disk_costs_no_result_of_an_earlier_run(
    tmp_path: Path, probe: ImageNetClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    options = {"classifier": probe, "out": tmp_path / "out", "short_side": 96}
    localize_images([tmp_path / "a.png"], **options)
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(PhotosFailed, match="the disk is full"):
        localize_images([tmp_path / "a.png"], **options)
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before


def test_weights_that_are_not_numbers_are_named(tmp_path: Path, probe: ImageNetClassifier) -> None:
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    probe.weight.data[0, 0] = float("nan")
    with pytest.raises(PhotosFailed, match=r"a\.png could not be localised: the network answers with values that are"):
        localize_images([tmp_path / "a.png"], classifier=probe, out=tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
