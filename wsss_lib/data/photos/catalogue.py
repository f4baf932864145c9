"""Which real data sets there are, and where each can be had: at least two places, and what must arrive.

Hosts die: VOC's own has been unreachable at times for years. So each data set lists several sources, tried in
order; each file carries the checksum that it must have. Where the checksums come from:

- SHA-256 of Hub files: what the Hub's own pages of the pinned commit say (its Git LFS pointer *is* the SHA-256). For
  ``jxie/pascal-voc-2012`` no pin was at hand: the branch ``main`` is listed at the time, with the SHA-256 that the Hub
  states, and both are noted in the lock beside the data (trust on first use).
- MD5 of archives: as published with the data and checked by torchvision, fast.ai and others for years. MD5 guards
  against accidents, not against someone who means to deceive; nobody publishes a SHA-256, so the one that was found is
  noted in the lock, and a later download must match it.
"""

from __future__ import annotations

from wsss_lib.data.photos.entries import DataSet, HubFiles, RemoteFile, Source

VOC = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""PASCAL VOC's 20 classes; class k has mask value k + 1."""

COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear",
    "hair drier", "toothbrush",
)  # fmt: skip
"""MS COCO's 80 object classes, in the order of their category ids."""


_VOC_COMMIT = ("nateraw/pascal-voc-2012", "1537ff1954ebd3d693e4c5d33e9c17156108fa94")
_CUB_COMMIT = ("bentrevett/caltech-ucsd-birds-200-2011", "c1492c7cfd03de0c6b57b19f1d89cefd446e41fb")
_VOC_TAR = "VOCtrainval_11-May-2012.tar"
_VOC_MD5, _VOC_SIZE = "6cd6e144f989b92b3379bac3b3de84fd", 1_999_639_040
_VOC_S3 = RemoteFile(f"https://d2l-data.s3-accelerate.amazonaws.com/{_VOC_TAR}", _VOC_TAR, md5=_VOC_MD5, size=_VOC_SIZE)
_VOC_OXFORD = RemoteFile(
    f"https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/{_VOC_TAR}", _VOC_TAR, md5=_VOC_MD5, size=_VOC_SIZE
)
_SBD = RemoteFile(
    "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
    "benchmark.tgz", md5="82b4d87ceb2ed10f6038a1cba92111cb",
)  # fmt: skip

_VOC2012 = DataSet(
    name="voc2012",
    title="PASCAL VOC 2012, semantic segmentation",
    home="https://www.robots.ox.ac.uk/~vgg/projects/pascal/VOC/voc2012/",
    licence="Photos from Flickr under Flickr's terms of use, each with its own owner; research use.",
    splits={"train": 1464, "val": 1449, "aug": 10_582},
    gigabytes={"train": 0.17, "val": 0.17, "aug": 1.2},
    number_of_classes=20,
    classes=VOC,
    has=("labels", "masks"),
    sources=(
        Source("Hugging Face Hub, nateraw/pascal-voc-2012", "voc_table", {
            "train": (HubFiles(*_VOC_COMMIT, "data/train-*.parquet", {
                "data/train-00000-of-00001.parquet":
                    "7b3f275d2d634f6e2a8d1b82bee7f3b15491ade0d8fd60ae643b09478de2dbf2",
            }),),
            "val": (HubFiles(*_VOC_COMMIT, "data/val-*.parquet", {
                "data/val-00000-of-00001.parquet":
                    "6f3831b96a8c5705e7f5146c1e9c3e066f75020ab421b70ae7580a6929aa3722",
            }),),
        }),
        Source("Hugging Face Hub, jxie/pascal-voc-2012", "voc_table", {
            "aug": (HubFiles("jxie/pascal-voc-2012", "main", "data/train-*.parquet"),),
        }),
        Source("the bucket of Dive into Deep Learning", "voc_tar", {"train": (_VOC_S3,), "val": (_VOC_S3,)}),
        Source("Oxford", "voc_tar", {"train": (_VOC_OXFORD,), "val": (_VOC_OXFORD,)}),
        Source("the bucket of Dive into Deep Learning, and Berkeley", "voc_aug", {"aug": (_VOC_S3, _SBD)}),
        Source("Oxford, and Berkeley", "voc_aug", {"aug": (_VOC_OXFORD, _SBD)}),
    ),
    note="'aug' is the augmented training list, 1,464 VOC and 9,118 SBD masks (Hariharan et al. 2011); its labels are "
    "those of the masks. Ids of the Hub's rows are running numbers, ids of the archives' rows VOC's own.",
)  # fmt: skip

_CUB200 = DataSet(
    name="cub200",
    title="Caltech-UCSD Birds-200-2011",
    home="https://www.vision.caltech.edu/datasets/cub_200_2011/",
    licence="Non-commercial research and education; the photos belong to their owners.",
    splits={"train": 5994, "test": 5794},
    gigabytes={"train": 0.58, "test": 0.56},
    number_of_classes=200,
    classes=(),
    has=("labels", "boxes"),
    sources=(
        Source("Hugging Face Hub, bentrevett/caltech-ucsd-birds-200-2011", "cub_table", {
            "train": (HubFiles(*_CUB_COMMIT, "data/train-*.parquet", {
                "data/train-00000-of-00002.parquet":
                    "fb4590d7fbd018c1cd0df7674dd4055ca91312df72790a2fddcab74e15fcefa4",
                "data/train-00001-of-00002.parquet":
                    "7d56af56f59182c2544cbba974c92a9c69e7e72f984b035d2d9ea7af23cd763c",
            }),),
            "test": (HubFiles(*_CUB_COMMIT, "data/test-*.parquet", {
                "data/test-00000-of-00002.parquet":
                    "fb0c8ac3d2357353689f07444f0d29e27a36f76faaaad1a13451494816a5c608",
                "data/test-00001-of-00002.parquet":
                    "180fe23f22750c6f9e96f4ce986be8b1268cbb3c6dba6222ac902704ae24a286",
            }),),
        }),
        Source("CaltechDATA", "cub_tar", {split: (
            RemoteFile("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",
                       "CUB_200_2011.tgz", md5="97eceeb196236b17998738112f37df78"),
        ) for split in ("train", "test")}),
    ),
    note="One box an image, the data set's own. No masks: its segmentations are a separate archive.",
)  # fmt: skip

_PETS = DataSet(
    name="pets",
    title="Oxford-IIIT Pet",
    home="https://www.robots.ox.ac.uk/~vgg/data/pets/",
    licence="CC BY-SA 4.0; the photos belong to their owners.",
    splits={"train": 3680, "test": 3669},
    gigabytes={"train": 0.81, "test": 0.81},
    number_of_classes=37,
    classes=(),
    has=("labels", "masks"),
    sources=(
        Source("Oxford", "pets_tar", {split: (
            RemoteFile("https://thor.robots.ox.ac.uk/~vgg/data/pets/images.tar.gz", "images.tar.gz",
                       md5="5c4f3ee8e5d25df40f4fd59a7f44e54c"),
            RemoteFile("https://thor.robots.ox.ac.uk/~vgg/data/pets/annotations.tar.gz", "annotations.tar.gz",
                       md5="95a8c909bbe2e81eed6a22bccdf3f68f"),
        ) for split in ("train", "test")}),
        Source("the bucket of fast.ai", "pets_tar", {split: (
            RemoteFile("https://s3.amazonaws.com/fast-ai-imageclas/oxford-iiit-pet.tgz", "oxford-iiit-pet.tgz",
                       md5="e4db5c768afd933bb91f5f594d7417a4", size=811_706_944),
        ) for split in ("train", "test")}),
    ),
    note="'train' is the paper's trainval. Masks from the trimaps: breed, background, and 255 for the unclassified "
    "rim. The tables of the Hub that could be confirmed hold no trimaps, hence two hosts of the archives.",
)  # fmt: skip


_COCO_HOSTS = ("http://images.cocodataset.org", "https://s3.amazonaws.com/images.cocodataset.org")
_COCO_TRAIN_MD5 = "0da8c0bd3d6becc4dcb32757491aca88"


def _coco_files(host: str, split: str, images_md5: str) -> tuple[RemoteFile, ...]:
    return (
        RemoteFile(f"{host}/zips/{split}2014.zip", f"{split}2014.zip", md5=images_md5),
        RemoteFile(f"{host}/annotations/annotations_trainval2014.zip", "annotations_trainval2014.zip",
                   md5="0a379cfc70b0e71301e0f377548639bd", size=252_872_794),
    )  # fmt: skip


def _coco(name: str, host: str) -> Source:
    return Source(name, "coco_zip", {
        "train": _coco_files(host, "train", _COCO_TRAIN_MD5),
        "val": _coco_files(host, "val", "a3d79f5ed8d289b7a7554ce06a5782b3"),
    })  # fmt: skip


_COCO2014 = DataSet(
    name="coco2014",
    title="MS COCO 2014, objects",
    home="https://cocodataset.org",
    licence="Annotations CC BY 4.0; photos from Flickr under Flickr's terms of use, each with its own licence.",
    splits={"train": 82_783, "val": 40_504},
    gigabytes={"train": 13.8, "val": 6.9},
    number_of_classes=80,
    classes=COCO,
    has=("labels", "masks", "boxes"),
    sources=(
        _coco("cocodataset.org", _COCO_HOSTS[0]),
        _coco("cocodataset.org by its bucket's other address", _COCO_HOSTS[1]),
    ),
    note="One box an object. Where objects overlap, the smaller is on top; crowds are 255. Images without any object "
    "are kept. Both addresses lead to one bucket: the second helps where the first is blocked, not where the bucket is "
    "gone.",
)

_REFCOCO_IMAGES = ("jxu124/refcoco-benchmark", "2f2f892835bbf44b4db81f1c4ad6d46a3e9e4359")
_REFCOCO_TABLES = ("jxu124/refcoco", "2cae558e32444381235cc395e9ace9c099a63187")


def _refcoco_images(split: str, suffix: str, sha256: str) -> tuple[HubFiles, ...]:
    path = f"data/refcoco_unc_{split}-00000-of-00001-{suffix}.parquet"
    return (HubFiles(*_REFCOCO_IMAGES, path, {path: sha256}),)


def _refcoco_tables(name: str, host: str) -> Source:
    files = {
        "train": ("train", "94431d5f4bd5b93f", "66ff9a728b7ee45b8a2d72061d244685a75ba4c90956e0640b0165e71cd5afaa"),
        "val": ("validation", "bfeafdc84ca37aa2", "df03b1b16873f92727f3df010afb3c7260e8396a86592d3c4fee053daca08c05"),
        "testA": ("test", "82af0c1b600890ac", "d7d13f7b67b783d345b016f49e81d0499cab1039870e3e65c870f4457745df99"),
        "testB": ("testB", "60990e4598892dc1", "d208cd210463ca7c50f12fdeeed315b8c726c079c22d164edd3bcc7041a35968"),
    }
    photos = _coco_files(host, "train", _COCO_TRAIN_MD5)[0]
    paths = {
        split: (f"data/{stem}-00000-of-00001-{suffix}.parquet", sha256)
        for split, (stem, suffix, sha256) in files.items()
    }
    return Source(f"Hugging Face Hub, jxu124/refcoco, and {name}", "refcoco_table", {
        split: (HubFiles(*_REFCOCO_TABLES, path, {path: sha256}), photos) for split, (path, sha256) in paths.items()
    })  # fmt: skip


_REFCOCO = DataSet(
    name="refcoco",
    title="RefCOCO, sentences about objects of MS COCO",
    home="https://github.com/lichengunc/refer",
    licence="No licence of the sentences could be verified; annotations and photos as those of MS COCO 2014.",
    splits={"train": 16_994, "val": 1500, "testA": 750, "testB": 750},
    gigabytes={"train": 13.5, "val": 0.26, "testA": 0.13, "testB": 0.13},
    number_of_classes=80,
    classes=COCO,
    has=("labels", "boxes", "sentences"),
    sources=(
        Source("Hugging Face Hub, jxu124/refcoco-benchmark", "refcoco_images", {
            "val": _refcoco_images("val", "350dcb478fc06c10",
                                   "9f2f0057259be527249e0d260511ace5869b9055c23b65eb951d01e6e6920424"),
            "testA": _refcoco_images("testA", "fb1cac930bec2ffc",
                                     "09525d3e69ee120144542b8f37c8d9756c9e1f283479bca894962c22c7680446"),
            "testB": _refcoco_images("testB", "c2632bb854441e46",
                                     "a4b54404b5bcce31eff08e8e58bbab4a053725630e6ad96be6dd6eb3a0df657e"),
        }),
        _refcoco_tables("cocodataset.org", _COCO_HOSTS[0]),
        _refcoco_tables("cocodataset.org by its bucket's other address", _COCO_HOSTS[1]),
    ),
    note="The split of UNC; testA shows people, testB all else. Boxes are those of objects that are spoken of, not of "
    "all objects. Columns, checksums and counts are what the Hub and TensorFlow Datasets state; the files themselves "
    "were not at hand. The sentences of train have one host, COCO's photographs two addresses. The publishers' own "
    "archive holds pickles, which this library does not open.",
)  # fmt: skip

_IMAGENET = DataSet(
    name="imagenet",
    title="ImageNet ILSVRC 2012",
    home="https://www.image-net.org",
    licence="Non-commercial research and education; each person agrees to the terms themselves.",
    splits={"train": 1_281_167, "validation": 50_000},
    gigabytes={"train": 140.0, "validation": 6.7},
    number_of_classes=1000,
    classes=(),
    has=("labels",),
    sources=(),
    note="Nothing is fetched: agree to the terms on the Hub (ILSVRC/imagenet-1k), download its Parquet files "
    "yourself, and pass their folder as root=.",
)

DATA_SETS: dict[str, DataSet] = {d.name: d for d in (_VOC2012, _CUB200, _PETS, _COCO2014, _REFCOCO, _IMAGENET)}
"""By name; :func:`wsss_lib.data.load` also knows ``"critters"``, which is drawn."""


def known(name: str, split: str | None = None) -> DataSet:
    """The data set of that name.

    Raises:
        ValueError: There is none, or it has no such split.
    """
    if name not in DATA_SETS:
        raise ValueError(f"{name!r} is no known data set: choose one of {', '.join(DATA_SETS)}")
    if split is not None and split not in DATA_SETS[name].splits:
        raise ValueError(f"{name} has no split {split!r}: choose one of {', '.join(DATA_SETS[name].splits)}")
    return DATA_SETS[name]
