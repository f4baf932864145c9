"""From the sources to tables: the first that is whole and right, and a clear word if there is none."""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
from data_kit import Site, picture
from test_layouts import PET_IMAGES, PET_NOTES, VOC_FILES, mask, tar

from wsss_lib.data import DataUnavailable, load, prepare
from wsss_lib.data.photos.catalogue import DATA_SETS, VOC, DataSet, HubFiles, RemoteFile, Source
from wsss_lib.data.photos.download import DownloadError, Patience
from wsss_lib.data.photos.folders import catalogue, describe, home
from wsss_lib.data.photos.hub import fetch_file, list_files
from wsss_lib.data.photos.masks import encode

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def table(tmp_path: Path) -> bytes:
    """A table as the Hub has VOC's: two images, two masks."""
    cells = {
        "image": [{"bytes": picture(4, 6, i), "path": None} for i in range(2)],
        "mask": [{"bytes": encode(mask(v)), "path": None} for v in (1, 12)],
    }
    path = tmp_path / "raw.parquet"
    datasets.Dataset.from_dict(cells).to_parquet(path)
    return path.read_bytes()


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    """VOC's archive, two images in train and one in val."""
    return tar(tmp_path / "voc.tar", VOC_FILES).read_bytes()


@pytest.fixture
def toy(site: Site, table: bytes, archive: bytes, monkeypatch: pytest.MonkeyPatch) -> DataSet:
    """A data set with a table first and an archive second, served on the loopback."""
    site.files |= {"/hub/train.parquet": table, "/mirror/voc.tar": archive}
    hub = RemoteFile(f"{site.url}/hub/train.parquet", "hub.parquet", sha256=hashlib.sha256(table).hexdigest())
    mirror = RemoteFile(f"{site.url}/mirror/voc.tar", "voc.tar", md5=hashlib.md5(archive).hexdigest())
    toy = replace(
        DATA_SETS["voc2012"], name="toy", splits={"train": 2, "val": 1}, gigabytes={"train": 0.1, "val": 0.1},
        sources=(
            Source("the Hub", "voc_table", {"train": (hub,)}),
            Source("the mirror", "voc_tar", {"train": (mirror,), "val": (mirror,)}),
        ),
    )  # fmt: skip
    monkeypatch.setitem(DATA_SETS, "toy", toy)
    return toy


def get(splits: list[str] | None = None, root: Path | None = None) -> dict[str, list[Path]]:
    return prepare("toy", splits, root, patience=Patience(attempts=2, pause=0.0, connect=1, silence=1))


def lock_of(folder: Path) -> dict[str, dict[str, dict[str, object]]]:
    return dict(json.loads((folder / "lock.json").read_text()))


@pytest.mark.usefixtures("toy")
def test_the_first_source_is_enough(site: Site, own_home: Path) -> None:
    made = get(["train"])
    folder = own_home / "toy"
    assert made == {"train": [folder / "train.parquet"]}
    assert [path for path, _ in site.log] == ["/hub/train.parquet"]
    assert sorted(p.name for p in folder.iterdir()) == [".busy", "lock.json", "train.parquet"], (
        "downloads are cleared away"
    )
    noted = lock_of(folder)["tables"]["train"]
    assert (noted["rows"], noted["source"]) == (2, "the Hub")
    assert noted["sha256"] == hashlib.sha256(made["train"][0].read_bytes()).hexdigest()
    records = load("toy", split="train")
    assert (len(records), records.classes) == (2, VOC)
    assert np.array_equal(records[1]["mask"].numpy(), mask(12))
    get(["train"])
    assert len(site.log) == 1, "what is there is left alone"


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    "fault", ["404", "500", "corrupt", "cut for good", "not a table", "other columns", "fewer images"]
)
def test_whatever_is_wrong_with_the_first_the_mirror_steps_in(
    fault: str, site: Site, own_home: Path, table: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def serve(body: bytes) -> None:
        """A file that is wrong although its checksum is right: only what is in it can tell."""
        site.files["/hub/train.parquet"] = body
        (hub,) = DATA_SETS["toy"].sources[0].splits["train"]
        assert isinstance(hub, RemoteFile)
        right = replace(hub, sha256=hashlib.sha256(body).hexdigest())
        sources = (replace(DATA_SETS["toy"].sources[0], splits={"train": (right,)}), DATA_SETS["toy"].sources[1])
        monkeypatch.setitem(DATA_SETS, "toy", replace(DATA_SETS["toy"], sources=sources))

    if fault == "404":
        del site.files["/hub/train.parquet"]
    elif fault == "500":
        site.fail = [500] * 2
    elif fault == "corrupt":
        site.files["/hub/train.parquet"] = table[:50] + b"?" + table[51:]
    elif fault == "cut for good":
        site.cut = [0, 0]
    elif fault == "not a table":
        serve(b"<html>please log in</html>")
    elif fault == "other columns":
        datasets.Dataset.from_dict({"image": [b"x"]}).to_parquet(tmp_path / "o.parquet")
        serve((tmp_path / "o.parquet").read_bytes())
    elif fault == "fewer images":
        datasets.load_dataset("parquet", data_files=str(tmp_path / "raw.parquet"), split="train").select(
            [0]
        ).to_parquet(tmp_path / "one.parquet")
        serve((tmp_path / "one.parquet").read_bytes())
    with caplog.at_level(logging.WARNING, "wsss_lib.data.photos.fetch"):
        get(["train"])
    assert lock_of(own_home / "toy")["tables"]["train"]["source"] == "the mirror"
    assert load("toy", split="train")[0]["id"] == "2007_000032"
    assert "toy/train is from the mirror, after the Hub (" in caplog.text
    assert not list((own_home / "toy").glob(".*.partial*"))


@pytest.mark.usefixtures("toy")
def test_an_archive_gives_all_its_splits_at_once(site: Site, own_home: Path) -> None:
    """Two gigabytes are not fetched twice because someone asks for train today and val tomorrow."""
    get(["val"])
    assert sorted(lock_of(own_home / "toy")["tables"]) == ["train", "val"]
    assert len(get()["train"]) == 1
    assert [path for path, _ in site.log] == ["/mirror/voc.tar"]


@pytest.mark.usefixtures("toy")
def test_a_broken_line_goes_on_where_it_broke(site: Site, archive: bytes) -> None:
    half, big = 100_000, archive + bytes(300_000)  # a tar may be followed by zeros
    site.files["/mirror/voc.tar"] = big
    (mirror,) = DATA_SETS["toy"].sources[1].splits["val"]
    assert isinstance(mirror, RemoteFile)
    right = replace(mirror, md5=hashlib.md5(big).hexdigest())
    only = replace(DATA_SETS["toy"], sources=(Source("the mirror", "voc_tar", {"val": (right,)}),))
    DATA_SETS["toy"] = only
    site.cut = [half]
    get(["val"])
    first, second = site.requests("/mirror/voc.tar")
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").rstrip("-")) <= half


@pytest.mark.usefixtures("toy")
def test_nothing_works(site: Site, own_home: Path) -> None:
    site.files.clear()
    with pytest.raises(DataUnavailable) as caught:
        get(["train"])
    message = str(caught.value)
    assert message.startswith("toy/train could not be had; tried the Hub (")
    for part in (
        f"{site.url}/hub/train.parquet could not be fetched: 404",
        f"the mirror ({site.url}/mirror/voc.tar",
        "pass root=FOLDER, a folder that holds train.parquet",
        "set WSSS_DATA to a folder that holds toy/train.parquet",
    ):
        assert part in message  # fmt: skip
    assert not (own_home / "toy" / "train.parquet").exists()
    with pytest.raises(DataUnavailable, match="could not be had"):
        load("toy", split="train")


def test_nobody_to_ask_at_all(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a plane, with the real list of sources."""
    dead = "http://127.0.0.1:9"
    voc = DATA_SETS["voc2012"]
    monkeypatch.setenv("HF_ENDPOINT", dead)
    sources = tuple(
        replace(
            s,
            splits={
                "val": tuple(replace(f, url=f"{dead}/x") if isinstance(f, RemoteFile) else f for f in s.splits["val"])
            },
        )
        for s in voc.sources
        if "val" in s.splits
    )
    monkeypatch.setitem(DATA_SETS, "voc2012", replace(voc, sources=sources))
    with pytest.raises(DataUnavailable) as caught:
        prepare("voc2012", ["val"], patience=Patience(pause=0.0))
    assert str(caught.value).count("no connection to the host") == 2
    assert "datasets/nateraw/pascal-voc-2012 could not be listed (ConnectError" in str(caught.value)
    assert "Oxford" in str(caught.value)


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"])
def test_offline_by_choice_asks_nobody(variable: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(DataUnavailable, match=f"the Hub \\(not asked, because {variable} is set\\)"):
        get(["train"])
    assert site.log == []
    monkeypatch.setenv(variable, "0")
    get(["train"])


@pytest.mark.usefixtures("toy")
def test_without_download_nothing_is_fetched(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match="holds no Parquet files"):
        load("toy", split="train", download=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataUnavailable, match=r"tried .*empty.* \(it holds no Parquet files\)"):
        load("toy", split="train", root=tmp_path / "empty")
    assert site.log == []


@pytest.mark.usefixtures("toy")
def test_load_fetches_what_is_missing(own_home: Path) -> None:
    assert len(load("toy", split="train")) == 2
    assert (own_home / "toy" / "train.parquet").exists()


@pytest.mark.usefixtures("toy")
def test_a_root_of_ones_own(tmp_path: Path, own_home: Path) -> None:
    get(["train"], tmp_path / "disk")
    assert (tmp_path / "disk" / "toy" / "train.parquet").exists()
    assert not own_home.exists()
    assert len(load("toy", split="train", root=tmp_path / "disk")) == 2


@pytest.mark.usefixtures("toy")
def test_trust_on_first_use(site: Site, own_home: Path, tmp_path: Path) -> None:
    """Where only an MD5 is published, the SHA-256 of the first download is noted, and binds later ones."""
    get(["val"])
    folder = own_home / "toy"
    url = f"{site.url}/mirror/voc.tar"
    noted = lock_of(folder)["downloads"][url]
    assert noted == hashlib.sha256(site.files["/mirror/voc.tar"]).hexdigest()
    (folder / "val.parquet").unlink()
    lock = lock_of(folder)
    lock["downloads"][url] = "0" * 64  # type: ignore[assignment]
    (folder / "lock.json").write_text(json.dumps(lock))
    with pytest.raises(
        DataUnavailable, match=r"instead of 0{64}; that SHA-256 is from an earlier download, in .*lock\.json"
    ):
        get(["val"])


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    "lock", [b"", b"{", b"[]", b'{"tables": 3, "downloads": null}', b"\xff", b'{"another": "program"}']
)
def test_a_lock_of_others_is_ignored(lock: bytes, own_home: Path) -> None:
    (own_home / "toy").mkdir(parents=True)
    (own_home / "toy" / "lock.json").write_bytes(lock)
    get(["train"])
    assert lock_of(own_home / "toy")["tables"]["train"]["rows"] == 2


@pytest.mark.usefixtures("toy")
def test_what_is_there_needs_no_place_to_write(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = get(["train"])

    def read_only(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", read_only)
    monkeypatch.setattr(Path, "touch", read_only)
    assert get(["train"]) == made
    assert len(load("toy", split="train")) == 2
    with pytest.raises(DataUnavailable, match=r"cannot be kept in .*toy \(Permission denied\): set WSSS_DATA"):
        get(["val"])


@pytest.mark.usefixtures("toy")
def test_a_full_disk(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wsss_lib.data.photos.schema.pq.ParquetWriter", full)
    with pytest.raises(DataUnavailable, match=r"the disk is full, so that toy/train .* set WSSS_DATA"):
        get(["train"])
    assert not [path for path in (own_home / "toy").rglob("*") if "partial" in path.name]


def test_no_home_directory(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("WSSS_DATA")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert home().name == "wsss_lib"
    assert "set WSSS_DATA" in caplog.text
    assert len(catalogue()) == 6


@pytest.mark.usefixtures("toy")
def test_unknown_names_and_splits() -> None:
    with pytest.raises(ValueError, match="'vok' is no known data set: choose one of voc2012"):
        prepare("vok")
    with pytest.raises(ValueError, match="toy has no split 'test': choose one of train, val"):
        get(["test"])


@pytest.mark.usefixtures("toy")
def test_two_at_once_fetch_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """The lock is one of the file system, so what holds for two threads holds for two processes."""
    site.stall = [0.4]
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: get(["train"]), range(2))
    assert one == two
    assert one["train"][0].exists()
    assert len(site.log) == 1
    assert "another process is fetching into" in caplog.text


@pytest.mark.parametrize("in_one", [False, True])
def test_pets_from_either_host(in_one: bool, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The readers on the real table of sources, its addresses and checksums replaced."""
    pets = DATA_SETS["pets"]
    source = pets.sources[1 if in_one else 0]
    bodies = [{**PET_IMAGES, **PET_NOTES}] if in_one else [PET_IMAGES, PET_NOTES]
    files = []
    for body, file in zip(bodies, source.splits["train"], strict=True):
        assert isinstance(file, RemoteFile)
        packed = tar(tmp_path / file.name, body, "w:gz").read_bytes()
        site.files[f"/{file.name}"] = packed
        md5 = hashlib.md5(packed).hexdigest()
        files.append(replace(file, url=f"{site.url}/{file.name}", md5=md5, size=None))
    here = replace(source, splits={split: tuple(files) for split in source.splits})
    monkeypatch.setitem(DATA_SETS, "pets", replace(pets, splits={"train": 2, "test": 1}, sources=(here,)))
    records = load("pets", split="train")
    assert records.classes == ("Abyssinian", "american bulldog")
    assert records[1]["mask"].tolist() == [[2, 0, 255]]
    assert records[1]["boxes"].tolist() == [[0, 0, 1, 1]]
    asked = len(site.log)
    assert len(load("pets", split="test")) == 1
    assert len(site.log) == asked


# files of the Hub, listed when they are wanted


COMMIT = "c0ffee0123" * 4


@pytest.fixture
def hub(site: Site, table: bytes, monkeypatch: pytest.MonkeyPatch) -> HubFiles:
    """A repository whose train split is in two parts."""
    monkeypatch.setenv("HF_ENDPOINT", f"{site.url}/")
    sha256 = hashlib.sha256(table).hexdigest()
    names = (
        "data/train-00001-of-00002-b.parquet",
        "data/train-00000-of-00002-a.parquet",
        "data/val-00000-of-00001-c.parquet",
    )
    listing = {
        "id": "who/voc",
        "sha": COMMIT,
        "siblings": [
            {"rfilename": "README.md", "size": 3},
            *(
                {"rfilename": n, "size": len(table), "lfs": {"sha256": sha256, "size": len(table), "pointerSize": 9}}
                for n in names
            ),
        ],
    }
    for revision in ("main", COMMIT):
        site.files[f"/api/datasets/who/voc/revision/{revision}?blobs=true"] = json.dumps(listing).encode()
    for name in names:
        site.files[f"/datasets/who/voc/resolve/{COMMIT}/{name}"] = table
    return HubFiles("who/voc", "main", "data/train-*.parquet")


def test_files_of_the_hub(hub: HubFiles, site: Site, table: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed with the commit and the SHA-256 that the Hub states, and taken from exactly that commit."""
    files = list_files(hub)
    names = ("train-00000-of-00002-a.parquet", "train-00001-of-00002-b.parquet")
    assert [f.url for f in files] == [f"{site.url}/datasets/who/voc/resolve/{COMMIT}/data/{n}" for n in names]
    assert {f.sha256 for f in files} == {hashlib.sha256(table).hexdigest()}
    aug = replace(
        DATA_SETS["voc2012"], name="toy", splits={"aug": 4}, sources=(Source("the Hub", "voc_table", {"aug": (hub,)}),)
    )
    monkeypatch.setitem(DATA_SETS, "toy", aug)
    assert len(load("toy", split="aug")) == 4
    with pytest.raises(DownloadError, match=r"who/voc has no files data/x-\*"):
        list_files(replace(hub, pattern="data/x-*"))
    with pytest.raises(DownloadError, match="who/voc has no file data/train-2"):
        list_files(replace(hub, sha256={"data/train-2": "0"}))


def test_a_sha256_of_the_catalogue_stands_before_the_hubs(hub: HubFiles, tmp_path: Path) -> None:
    (path,) = [file.path for file in list_files(hub) if "00000" in file.path]
    (file,) = [file for file in list_files(replace(hub, sha256={path: "0" * 64})) if file.path == path]
    with pytest.raises(DownloadError, match=r"not the expected file: sha256 [0-9a-f]{64} instead of 0{64}"):
        fetch_file(file, tmp_path / "downloads")
    assert not list((tmp_path / "downloads").rglob("*.parquet"))


def test_a_damaged_file_of_the_hub_is_fetched_again(hub: HubFiles, tmp_path: Path, table: bytes) -> None:
    file = list_files(hub)[0]
    path = fetch_file(file, tmp_path)
    path.write_bytes(table[:-1] + b"?")
    assert fetch_file(file, tmp_path).read_bytes() == table


def test_a_file_that_the_hub_lists_and_does_not_have(hub: HubFiles, site: Site, tmp_path: Path) -> None:
    file = list_files(hub)[0]
    del site.files[f"/datasets/who/voc/resolve/{COMMIT}/{file.path}"]
    with pytest.raises(DownloadError, match=r"00000-of-00002-a\.parquet could not be fetched \("):
        fetch_file(file, tmp_path)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"sha": "x", "siblings": [{"rfilename": "a.parquet"}]}', None])
def test_a_hub_that_lists_nonsense(answer: bytes | None, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    if answer is not None:
        site.files["/api/datasets/who/voc/revision/main?blobs=true"] = answer
    with pytest.raises(DownloadError, match="could not be listed"):
        list_files(HubFiles("who/voc", "main", "*.parquet"))


# what is known of each


def test_describe(toy: DataSet, own_home: Path) -> None:
    assert [d.data_set.name for d in catalogue()] == [
        "voc2012",
        "cub200",
        "pets",
        "coco2014",
        "refcoco",
        "imagenet",
        "toy",
    ]
    assert describe("toy").present == {}
    get(["train"])
    result = describe("toy")
    assert (list(result.present), result.folder) == (["train"], own_home / "toy")
    text = str(result)
    assert text.startswith(f"toy: {toy.title}\n")
    for part in ("2 images, on disk", "1 images, 0.1 GB to fetch", "the mirror: train, val", toy.licence, "20 classes"):
        assert part in text
    (own_home / "toy" / "val-00000-of-00002.parquet").write_bytes(b"")
    assert list(describe("toy").present) == ["train"], "a split in parts, some missing, is not present"


@pytest.mark.parametrize(
    ("name", "classes", "splits"),
    [
        ("voc2012", 20, {"train": "1,464 images, 0.2", "val": "1,449 images, 0.2", "aug": "10,582 images, 1.2"}),
        ("cub200", 200, {"train": "5,994 images, 0.6", "test": "5,794 images, 0.6"}),
        ("pets", 37, {"train": "3,680 images, 0.8", "test": "3,669 images, 0.8"}),
        ("coco2014", 80, {"train": "82,783 images, 13.8", "val": "40,504 images, 6.9"}),
        ("refcoco", 80, {
            "train": "16,994 images, 13.5", "val": "1,500 images, 0.3", "testA": "750 images, 0.1",
            "testB": "750 images, 0.1",
        }),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("own_home")
def test_what_someone_is_told_who_must_decide_whether_to_fetch(name: str, classes: int, splits: dict[str, str]) -> None:
    """Images as the publishers count them, and gigabytes; a source that gives another number of images is refused."""
    lines = str(describe(name)).splitlines()
    assert lines[1].startswith(f"  {classes} classes; ")
    said = [" ".join(line.split()) for line in lines if line.endswith(" GB to fetch")]
    assert said == [f"{split} {cost} GB to fetch" for split, cost in splits.items()]


def test_imagenet_says_what_must_be_there_and_not_what_to_fetch() -> None:
    known = describe("imagenet")
    assert known.data_set.gigabytes == {"train": 140.0, "validation": 6.7}, "for whom looks for room on a disk"
    lines = [" ".join(line.split()) for line in str(known).splitlines()]
    assert lines[1] == "1000 classes; labels"
    assert "train 1,281,167 images, absent" in lines
    assert "validation 50,000 images, absent" in lines


def test_an_archive_has_the_bytes_that_its_host_says() -> None:
    """One of another length is refused, so a length must be right: of VOC by its mirrors, of Pets by fast.ai's list."""
    sizes = {
        file.name: file.size
        for data_set in DATA_SETS.values()
        for source in data_set.sources
        for files in source.splits.values()
        for file in files
        if isinstance(file, RemoteFile) and file.size
    }
    assert sizes == {
        "VOCtrainval_11-May-2012.tar": 1_999_639_040,
        "oxford-iiit-pet.tgz": 811_706_944,
        "annotations_trainval2014.zip": 252_872_794,
    }
    assert sizes["VOCtrainval_11-May-2012.tar"] % 512 == 0, "a tar is made of blocks of 512 bytes"


def test_imagenet_is_not_fetched(tmp_path: Path, own_home: Path) -> None:
    with pytest.raises(DataUnavailable, match="agree to the terms on the Hub"):
        load("imagenet", split="validation")
    assert not own_home.exists(), "not even a folder"
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["tench", "goldfish"])})
    rows = {"image": [{"bytes": picture(4, 6), "path": None}], "label": [1]}
    folder = tmp_path / "copy" / "data"
    folder.mkdir(parents=True)
    datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / "validation-00000-of-00001.parquet")
    records = load("imagenet", split="validation", root=tmp_path / "copy")
    assert (records.classes, records[0]["labels"].tolist()) == (("tench", "goldfish"), [0, 1])
