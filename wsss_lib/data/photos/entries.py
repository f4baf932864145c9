"""What an entry of the catalogue says of a data set: its splits, its licence, where it is served and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RemoteFile:
    """Where a file is and what it must be.

    Attributes:
        url: Its address.
        name: Its name on disk.
        sha256: Of the whole file; None where nobody published one.
        md5: Of the whole file, for archives whose publishers only give that. It guards against accidents, not against
            someone who means to deceive.
        size: Bytes, where known.
    """

    url: str
    name: str
    sha256: str | None = None
    md5: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class HubFiles:
    """Files of a data set on the Hugging Face Hub; they are listed when they are wanted.

    Attributes:
        repository: Owner and name.
        revision: A commit, or a branch where no commit was at hand.
        pattern: What their paths look like.
        sha256: By path, where they are known; the Hub states those of the others.
    """

    repository: str
    revision: str
    pattern: str
    sha256: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """One place to have a data set from.

    Attributes:
        name: Who serves it, for people.
        layout: How it is laid out, a name in :data:`wsss_lib.data.photos.layouts.LAYOUTS`.
        splits: What to fetch for each split, in the order that the layout expects.
    """

    name: str
    layout: str
    splits: Mapping[str, tuple[RemoteFile | HubFiles, ...]]


@dataclass(frozen=True)
class DataSet:
    """A data set that :func:`wsss_lib.data.load` knows by name.

    Attributes:
        name: For ``load``.
        title: For people.
        home: The publishers' page.
        licence: In a sentence.
        splits: Number of images of each split; a source that gives another number is refused.
        gigabytes: To download for each split, roughly, from the first source.
        number_of_classes: K.
        classes: Their names, where they are known ahead; a table of other classes is refused.
        has: Which of labels, masks, boxes, sentences.
        sources: In the order in which they are tried.
        note: What else to know.
    """

    name: str
    title: str
    home: str
    licence: str
    splits: Mapping[str, int]
    gigabytes: Mapping[str, float]
    number_of_classes: int
    classes: tuple[str, ...]
    has: tuple[str, ...]
    sources: tuple[Source, ...]
    note: str = ""
