"""A trunk computed once: training behind it is training through it; faults of the disk stop nobody."""

from __future__ import annotations

import copy
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator, Tensor
from train_kit import Toys, weights

from wsss_lib import backbones
from wsss_lib.cli import main
from wsss_lib.data.records import Records, Sample, collate
from wsss_lib.data.transforms import Compose, RandomFlip, Resize
from wsss_lib.methods import BAS, CAM, SEAM, SSC
from wsss_lib.methods.seam import SEAMConfig
from wsss_lib.methods.ssc import SSCConfig
from wsss_lib.refine import WithSuperpixels
from wsss_lib.train import TrainConfig, features, fit, kept_features
from wsss_lib.train.features import BOTH_SIDES, FeatureRecords, View, draw_view
from wsss_lib.train.kept_features import digest_of_trunk
from wsss_lib.train.order import Reader

SIDE = 24
TRAINING = TrainConfig(epochs=2, batch_size=5, lr=0.1, seed=4)


class Photos(Toys):
    """Toys of many sizes, like photographs, whose labels are known before an image is read."""

    def __init__(self, count: int = 11, fingerprint: str = "f00d") -> None:
        super().__init__(count, fingerprint)
        draws = Generator().manual_seed(5)
        self.pixels = [torch.rand(3, 20 + i, 41 - i, generator=draws) for i in range(count)]

    @property
    def labels(self) -> Tensor:
        return self.multi_hot


@pytest.fixture(autouse=True)
def few_images_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_IMAGES", 4)


def network(stage: str = "stage3", name: str = "tiny_cnn") -> backbones.StagedBackbone:
    torch.manual_seed(1)
    net = backbones.backbone(name)
    assert isinstance(net, backbones.StagedBackbone)
    with torch.no_grad():
        net(torch.rand(8, 3, 32, 32))  # statistics of some data
    net.freeze(stage)
    return net


def kept(records: Records, folder: Path | None, **options: object) -> FeatureRecords:
    return FeatureRecords(records, network(), size=(SIDE, SIDE), folder=folder, **options)  # type: ignore[arg-type]


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.npy"))


def seam(net: backbones.StagedBackbone, classes: int) -> SEAM:
    """Its module reads what lies behind the trunk, and two sizes of the image."""
    return SEAM(net, classes, SEAMConfig(stages=("stage3",)))


def ssc(net: backbones.StagedBackbone, classes: int) -> SSC:
    """It redraws the image itself, and knows its superpixels."""
    config = SSCConfig(warm_up=0.3, expanded=("stage3", "stage4"), alignment=1.0, decoder_lr=0.05)
    return SSC(net, classes, config)  # gentle: with long steps the decoder runs away from its own roundings


def two_views(net: backbones.StagedBackbone, classes: int) -> SEAM:
    """Without its module it looks at no colour, and at no stage before the trunk's last."""
    return SEAM(net, classes, SEAMConfig(stages=("stage2", "stage3"), cross=0.0, background=0.0))


def drs(net: backbones.StagedBackbone, classes: int) -> SSC:
    """With neither constraint it looks at no pixel."""
    return SSC(net, classes, SSCConfig(reconstruction=0.0, alignment=0.0))


@pytest.mark.parametrize(
    ("make", "idle"),
    [(CAM, ""), (BAS, ""), (seam, ""), (two_views, "|embed|join"), (ssc, ""), (drs, "|decoder")],
    ids=["cam", "bas", "seam", "two views", "ssc", "drs"],
)
def test_training_behind_the_trunk_is_training_through_it(tmp_path: Path, make: Callable, idle: str) -> None:
    through, photos = make(network(), 3), WithSuperpixels(Photos(), segments=9)
    behind = copy.deepcopy(through)
    begun = weights(through)
    fit(through, photos, TRAINING, transform=Compose([Resize((SIDE, SIDE)), RandomFlip()]))
    history = fit(behind, kept(photos, tmp_path, **behind.companions), TRAINING, transform=draw_view)
    for name, value in through.state_dict().items():
        torch.testing.assert_close(behind.state_dict()[name], value, rtol=1e-5, atol=1e-6)
        held = re.match(r"backbone\.blocks\.stage[123]|features" + idle, name)
        assert torch.equal(value, begun[name]) == bool(held), name
    assert len(history.loss) == 6
    images = torch.rand(2, 3, 32, 40)
    with torch.no_grad():  # the method is whole: it takes photographs of any size
        torch.testing.assert_close(behind.localize(images), through.localize(images), rtol=1e-4, atol=1e-5)


def test_each_image_is_read_once_and_a_second_method_reads_none(tmp_path: Path) -> None:
    photos = Photos()
    first = kept(photos, tmp_path)
    assert sorted(photos.read) == list(range(11))  # both views of one reading
    again = kept(photos, tmp_path)
    assert len(photos.read) == 11
    assert first.fingerprint == again.fingerprint
    for i in range(11):
        assert torch.equal(first[i]["views"], again[i]["views"])
    assert torch.equal(first.labels, photos.multi_hot)


def test_views_are_those_of_the_image(tmp_path: Path) -> None:
    photos, net = Photos(), network()
    views = (*BOTH_SIDES, View(window=(0.25, 0.0, 0.75, 0.5)))
    cached = kept(photos, tmp_path, views=views)
    image = photos.pixels[6]  # (3, 26, 35)
    plain = Resize((SIDE, SIDE))(Sample(image=image))["image"]
    corner = Resize((SIDE, SIDE))(Sample(image=image[:, :13, 8:26]))["image"]
    with torch.no_grad():
        expected = net.eval()(torch.stack([plain, plain.flip(-1), corner]), ["stage3"])["stage3"]
    torch.testing.assert_close(cached[6]["views"], expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(IndexError, match="record 11 of 11"):
        cached[11]


def test_draws_are_those_of_a_random_flip() -> None:
    flip, sides = RandomFlip(), {"views": torch.tensor([0.0, 1.0])[:, None, None, None]}
    image = torch.tensor([[[0.0, 1.0]]]).expand(3, 1, 2)
    drawn = []
    for seed in range(40):
        flipped = flip(Sample(image=image), Generator().manual_seed(seed))["image"][0, 0, 0]
        drawn.append(draw_view(sides, Generator().manual_seed(seed))["image"].item())  # type: ignore[arg-type]
        assert drawn[-1] == flipped
    assert 0 < sum(drawn) < 40


def test_one_view_needs_no_draw_and_half_precision_rounds(tmp_path: Path) -> None:
    one = kept(Photos(), tmp_path, views=[View()], dtype=torch.float16)
    batch = one.batch([3, 1])
    assert batch["images"].dtype == torch.float32
    exact = kept(Photos(), None)[3]["views"][0]
    assert not torch.equal(batch["images"][0], exact)
    torch.testing.assert_close(batch["images"][0], exact, rtol=1e-3, atol=1e-3)
    assert files(tmp_path)[0].stat().st_size < 4 * exact.numel() * 2 + 500


@pytest.mark.parametrize(
    "change",
    [
        lambda net, options: options.update(records=Photos(fingerprint="beef")),
        lambda net, options: options.update(records=Photos(10)),
        lambda net, options: options.update(size=(SIDE, SIDE + 4)),
        lambda net, options: options.update(dtype=torch.float16),
        lambda net, options: options.update(views=[View(mirrored=True, window=(0, 0, 1, 0.5))]),
        lambda net, options: net.blocks.stage2[0].conv.weight.data[0, 0, 0, 0].add_(1e-3),
        lambda net, options: net.blocks.stage1[0].bn.running_mean[0].add_(1e-3),
        lambda net, options: net.freeze("stage2"),
        lambda net, options: net.mean.add_(0.1),
        lambda net, options: setattr(net.blocks.stage1[0].conv, "stride", (1, 1)),
    ],
)
def test_whatever_decides_the_features_decides_the_file(tmp_path: Path, change: Callable) -> None:
    kept(Photos(), tmp_path)
    net, options = network(), {"records": Photos(), "size": (SIDE, SIDE), "folder": tmp_path}
    change(net, options)
    FeatureRecords(backbone=net, **options)
    assert len(options["records"].read) == len(options["records"])  # type: ignore[arg-type]


def test_what_lies_behind_the_trunk_decides_nothing() -> None:
    net = network()
    before = digest_of_trunk(net)
    net.blocks.stage4[0].conv.weight.data.zero_()
    net.train()
    assert digest_of_trunk(net) == before


def test_geometry_decides_as_weights_do() -> None:
    digests = set()
    for options in ({}, {"output_stride": 4}, {"output_stride": 4, "dilate": True}, {"output_stride": 8}):
        torch.manual_seed(2)
        net = backbones.backbone("vgg16", **options)  # type: ignore[arg-type]
        net.freeze("conv4")  # type: ignore[operator]
        digests.add(digest_of_trunk(net))  # type: ignore[arg-type]
    assert len(digests) == 3  # the stride of 8 is reached in conv4, as in the network as it is


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign"])
def test_a_damaged_file_is_computed_again(tmp_path: Path, damage: str) -> None:
    good, photos = kept(Photos(), tmp_path), Photos()
    expected = [good[i]["views"] for i in range(11)]
    path = files(tmp_path)[1]
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes({"cut": content[:-40], "flipped": content, "empty": b"", "foreign": b"<html>"}[damage])
    with pytest.warns(UserWarning, match=r"cannot be used \(its content .*computed again"):
        again = kept(photos, tmp_path)
    assert len(photos.read) in (3, 4)  # the images of one file
    for i, views in enumerate(expected):
        assert torch.equal(again[i]["views"], views)
    kept(photos, tmp_path)
    assert len(photos.read) in (3, 4)  # mended on the disk too


def test_a_folder_that_cannot_be_written_leaves_features_in_memory(tmp_path: Path) -> None:
    (tmp_path / kept_features.FOLDER).write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match=r"features stay in memory.*WSSS_CACHE"):
        cached = kept(Photos(), tmp_path)
    expected = kept(Photos(), None)
    assert all(torch.equal(cached[i]["views"], expected[i]["views"]) for i in range(11))


def test_a_full_disk_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = kept_features.write_atomically, []

    def full(path: Path, data: bytes) -> Path:
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(path)
        return write(path, data)

    monkeypatch.setattr(kept_features, "write_atomically", full)
    with pytest.warns(UserWarning, match="No space left"):
        cached = kept(Photos(), tmp_path)
    expected = kept(Photos(), None)
    assert all(torch.equal(cached[i]["views"], expected[i]["views"]) for i in range(11))


PROGRAM = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_features as t
from pathlib import Path
t.features._IMAGES = 4
write = t.kept_features.write_atomically
left = [int(sys.argv[3])]
def counted(path, data):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return write(path, data)
t.kept_features.write_atomically = counted
photos = t.Photos()
t.kept(photos, Path(sys.argv[2]))
print(len(photos.read))
"""


def _process(folder: Path, writes: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), str(folder), str(writes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_killed_half_way_goes_on_where_it_was(tmp_path: Path) -> None:
    assert _process(tmp_path, writes=3).wait(120) == -signal.SIGKILL
    assert len(files(tmp_path)) == 3
    photos = Photos()
    cached = kept(photos, tmp_path)
    assert 4 <= len(photos.read) < 11  # one of three files of images is there in both views
    assert len(files(tmp_path)) == 6
    expected = kept(Photos(), None)
    assert all(torch.equal(cached[i]["views"], expected[i]["views"]) for i in range(11))


def test_two_processes_at_once_leave_one_set_of_files(tmp_path: Path) -> None:
    both = [_process(tmp_path, writes=99) for _ in range(2)]
    read = [int(process.communicate(timeout=240)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert 11 <= sum(read) <= 22
    assert len(files(tmp_path)) == 6
    photos = Photos()
    kept(photos, tmp_path)
    assert not photos.read


def test_workers_open_the_files_themselves(tmp_path: Path) -> None:
    cached = kept(Photos(), tmp_path)
    sent = pickle.dumps(cached)
    assert len(sent) < 20_000  # not the features
    assert np.prod(cached[0]["views"].shape) * 4 * 11 > 20_000
    again = pickle.loads(sent)
    assert torch.equal(again[9]["views"], cached[9]["views"])
    in_memory = pickle.loads(pickle.dumps(kept(Photos(), None)))
    assert torch.equal(in_memory[9]["views"], cached[9]["views"])


def test_a_run_behind_a_trunk_resumes_and_says_which_pixels_it_saw(tmp_path: Path) -> None:
    cached = kept(Photos(), tmp_path / "cache")
    whole, parts = CAM(network(), 3), CAM(network(), 3)
    parts.load_state_dict(whole.state_dict())
    fit(whole, cached, TRAINING, transform=draw_view, out_dir=tmp_path / "whole")
    history = fit(parts, cached, TRAINING, transform=draw_view, out_dir=tmp_path / "whole")
    assert history.resumed_at == [6]
    assert all(torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(parts).values(), strict=True))
    assert Reader(cached, draw_view, 0).image_size() == (SIDE, SIDE)
    assert Reader(cached.subset([1, 2]), draw_view, 0).image_size() == (SIDE, SIDE)


def test_one_command_removes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WSSS_CACHE", str(tmp_path))
    (tmp_path / "critters.npz").write_bytes(b"drawn")
    kept(Photos(), tmp_path)
    assert main(["data", "clear"]) == 0
    assert "0.1 MB of features removed" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["critters.npz"]
    assert main(["data", "clear"]) == 0
    monkeypatch.setenv("WSSS_CACHE", "")
    assert main(["data", "clear"]) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FeatureRecords(Photos(), backbones.tiny_cnn(), size=(8, 8)), "no frozen trunk"),
        (lambda: FeatureRecords(Photos(), network()), "differ in size: give one"),
        (lambda: kept(Photos(), None, views=[]), "0 views in torch.float32, expected at least one"),
        (lambda: kept(Photos(), None, dtype=torch.bfloat16), "in float32 or float16"),
        (lambda: View(window=(0.5, 0, 0.5, 1)), "left < right"),
        (lambda: network("stage4"), "cannot be frozen up to 'stage4': choose one of stage1, stage2, stage3"),
        (lambda: network()(torch.rand(1, 40, 6, 6), ["stage2"]), "given features of stage3, which do not tell"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(make: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_frozen_trunk_stays_asleep_and_the_rest_learns() -> None:
    net = network("stage2", "tiny_cnn")
    net.train()
    images = torch.rand(4, 3, 24, 24)
    before = net(images, ["stage2"])["stage2"]
    net(images)["stage4"].square().mean().backward()
    assert torch.equal(net(images, ["stage2"])["stage2"], before)
    trunk = [p for name in ("stage1", "stage2") for p in net.blocks[name].parameters()]
    assert all(p.grad is None and not p.requires_grad for p in trunk)
    assert all(p.grad is not None for name in ("stage3", "stage4") for p in net.blocks[name].parameters())
    assert net.blocks.stage3[0].bn.training
    torch.testing.assert_close(net.eval()(before)["stage4"], net(images)["stage4"])
    assert torch.equal(net(before, ["stage2"])["stage2"], before)
    assert collate([Sample(image=before[0])])["images"].shape == (1, 24, 6, 6)


def test_superpixels_beside_the_images_change_no_features(tmp_path: Path) -> None:
    photos = Photos()
    bare, cut = kept(photos, tmp_path), kept(WithSuperpixels(photos, segments=9), tmp_path, pixels=True)
    assert sorted(photos.read) == list(range(11))  # once: the second computed nothing
    assert bare.fingerprint != cut.fingerprint
    assert bare[3].keys() == {"labels", "views"}
    seen, whole = (
        cut[3],
        Sample(image=photos.pixels[3], superpixels=WithSuperpixels(photos, segments=9)[3]["superpixels"]),
    )
    plain = Resize((SIDE, SIDE))(whole)
    assert torch.equal(seen["views"], bare[3]["views"])
    assert torch.equal(seen["pixel_views"], torch.stack([plain["image"], plain["image"].flip(-1)]))
    assert torch.equal(seen["patch_views"], torch.stack([plain["superpixels"], plain["superpixels"].flip(-1)]))
    assert kept(photos, tmp_path, pixels=True)[3].keys() == {"labels", "views", "pixel_views"}
    part = WithSuperpixels(photos, segments=9).subset([4, 2])
    assert part.images_fingerprint == photos.subset([4, 2]).fingerprint != part.fingerprint
    alone = kept(part, None, pixels=True, views=[View()])[1]
    assert torch.equal(alone["patches"], cut[2]["patch_views"][0])
