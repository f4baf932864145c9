"""The stages in their order, their settings, and one run through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout

from wsss_lib import __version__
from wsss_lib.backbones import check_name
from wsss_lib.devices import pick_device
from wsss_lib.files import named_path
from wsss_lib.localize.names import printable
from wsss_lib.methods import registry
from wsss_lib.pipeline.classifier import CLASSIFIER, learnable
from wsss_lib.pipeline.labels import LABELS
from wsss_lib.pipeline.maps import MAPS
from wsss_lib.pipeline.masks import MASKS
from wsss_lib.pipeline.report import write_report
from wsss_lib.pipeline.segmenter import NETWORK
from wsss_lib.pipeline.stages import Stage, Work, claim, run_stages
from wsss_lib.pipeline.threshold import THRESHOLD

STAGES: tuple[Stage, ...] = (LABELS, CLASSIFIER, MAPS, THRESHOLD, MASKS, NETWORK)
"""What is done, in order."""
LOCK = "pipeline.lock"
"""The file in the folder of results that a run holds."""

Refinement = Literal["none", "crf"]


@dataclass(frozen=True)
class Settings:
    """What a user may choose.

    Attributes:
        method: A method of the registry that says where classes are. One that learns nothing explains a CAM.
        backbone: Its network; None for EfficientNet-Lite0, or the smallest ViT for a method on tokens.
        weights: A safetensors file, or a folder that holds ``<backbone>.safetensors``; None for the published ones.
        names: Of the classes, in the order of their numbers and of the masks' values.
        separator: What stands between several classes of a cell; ``"none"``: each cell is one class; None: what the
            cells tell.
        drawn_on: As :class:`wsss_lib.data.photos.annotations.Forms` has it.
        threshold: t in [0, 1); None: what masks choose, or the usual one.
        refine: ``"none"``, or ``"crf"``: masks are sharpened along the photographs' edges by a dense CRF.
        network: Whether a segmentation network learns from the masks, and makes others.
        multi_scale: Whether maps are summed over four scales and mirrored.
        steps: Updates of the weights; None: as many as suit the number of photographs.
        seed: Decides fresh weights, the order of the photographs and their flips.
        device: ``"cpu"``, ``"cuda"``, …; None takes a GPU where there is one.

    Raises:
        ValueError: A setting that does not exist, or is out of range.
        RuntimeError: The device is not there.
    """

    method: str = "cam"
    backbone: str | None = None
    weights: str | Path | None = None
    names: tuple[str, ...] | None = None
    separator: str | None = None
    drawn_on: str | None = None
    threshold: float | None = None
    refine: Refinement = "none"
    network: bool = False
    multi_scale: bool = False
    steps: int | None = None
    seed: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        title = registry.entry(self.method).title
        if self.method not in learnable():
            raise ValueError(f"{title} makes no maps from image labels alone: choose one of {', '.join(learnable())}")
        if self.backbone is not None:
            check_name(self.backbone)
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise ValueError(f"the threshold is {self.threshold}, expected a share of the maximum from 0 to below 1")
        if self.names is not None and (len(set(self.names)) != len(self.names) or not all(self.names)):
            raise ValueError(f"the names are {', '.join(self.names)}: name each class once")
        if self.refine not in get_args(Refinement):
            raise ValueError(f"there is no refinement {self.refine!r}: choose one of {', '.join(get_args(Refinement))}")
        if self.separator == "":
            raise ValueError("the separator is empty: name what stands between classes, or none")
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise ValueError(f"the seed is {self.seed!r:.80}, expected a whole number from 0 to 2**63 - 1: try 0")
        if self.device is not None:
            pick_device(self.device)


def run_pipeline(
    data: str | Path, out: str | Path, settings: Settings | None = None, *, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Take photographs with image labels all the way to masks; what an earlier run has done is not done again.

    Args:
        data: A folder of photographs with a CSV of labels or a folder for each class; or the CSV.
        out: Folder of the results, new, or of an earlier run.
        settings: By default those of the class.
        say: Takes a line for each stage.

    Returns:
        What each stage has returned, by its name; ``"report"`` is the page's path.

    Raises:
        FileNotFoundError: There are no such data, or no weights.
        ValueError: Data or settings that cannot be used; the sentence says what to do.
        RuntimeError: Another run works in the folder.
    """
    settings = settings or Settings()
    work = Work(named_path(data, "data"), named_path(out, "out"), settings, say=say)
    if work.data.exists() and work.out.exists() and work.data.resolve() == work.out.resolve():
        raise ValueError(f"the results would lie among the photographs of {out}: name another folder with --out")
    claim(work.out)
    with _alone(work.out):
        results = run_stages(STAGES, work)
        backbone = results["classifier"]["backbone"]
        title = registry.entry(settings.method).title
        lines = [
            f"{title} over {backbone}, from the labels of {results['labels']['source']}; wsss-lib {__version__}, seed "
            f"{settings.seed}."
        ]
        report = write_report(work, lines, STAGES)
    say(f"Report: {printable(report)}")
    return {**results, "report": report}


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep another run out of the folder; the lock goes with the process, however it ends."""
    lock = FileLock(out / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RuntimeError(f"another run works in {out}: wait for it, or name another folder with --out") from error
    except (NotImplementedError, OSError):  # file systems without locks: a Drive, some networks
        yield
        return
    with lock:
        yield
