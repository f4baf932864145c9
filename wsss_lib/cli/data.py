"""``wsss data list|show|prepare|clear``: which data sets there are, what is on this machine, how to get the rest."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from wsss_lib.cli.common import OK, command, given_path


def add(commands: Any) -> None:
    """Register the command."""
    parser = command(
        commands,
        "data",
        "data sets: list them, look at one, fetch one",
        """\
Critters are drawn on this machine. Photographs are fetched from the first source that answers, checked by their
SHA-256, and kept as Parquet in $WSSS_DATA (by default in the user's cache folder). Critters, and what frozen networks
computed of images, are kept in $WSSS_CACHE; `clear` removes the latter, which any run computes again.

examples:
  wsss data list
  wsss data show voc2012
  wsss data prepare voc2012 --split val
  wsss run cam -p data=voc2012            then a chapter on it
  wsss data clear
exit codes: 0 done; 1 no source could serve the data, or no such data set.
""",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    every = actions.add_parser("list", help="every data set known by name, and which splits are here")
    every.set_defaults(action=_list)
    one = actions.add_parser("show", help="classes, splits, sources, licence and folder of one data set")
    one.add_argument("name", help="for example voc2012, or critters")
    one.set_defaults(action=_show)
    fetch = actions.add_parser("prepare", help="fetch a data set, or draw the critters, and keep it")
    fetch.add_argument("name", help="for example voc2012, or critters")
    fetch.add_argument("--split", action="append", metavar="SPLIT", help="only this split (may be repeated)")
    fetch.set_defaults(action=_prepare)
    clear = actions.add_parser("clear", help="remove what frozen networks computed of images")
    clear.set_defaults(action=_clear)
    for action in (every, one, fetch):
        action.add_argument(
            "--root", type=given_path, help="folder of all data (default: $WSSS_DATA, else the user's cache)"
        )


def _list(options: argparse.Namespace) -> int:
    from wsss_lib.data import catalogue
    from wsss_lib.data.worlds.drawn import WORLDS, drawn_world

    rows = [(name, drawn_world(name).title, "drawn when first used") for name in WORLDS]
    for known in catalogue(options.root):
        here = ", ".join(known.present) or "nothing here"
        rows.append((known.data_set.name, known.data_set.title, f"{here} (of {', '.join(known.data_set.splits)})"))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, title, state in rows:
        print(f"{name:{widths[0]}}  {title:{widths[1]}}  {state}")
    print("`wsss data show NAME` tells more; `wsss data prepare NAME` fetches it.")
    return OK


def _show(options: argparse.Namespace) -> int:
    from wsss_lib.data import describe
    from wsss_lib.data.worlds.drawn import WORLDS, drawn_world

    name = options.name
    if name not in WORLDS:
        print(describe(name, options.root))
        return OK
    world = drawn_world(name)
    print(f"{name}: {world.title}, drawn from a seed, the same bytes on every machine")
    print("  splits: " + ", ".join(f"{split} ({count:,} images)" for split, count in world.counts.items()))
    print(f"  dials and their defaults, to be set by load({name!r}, dial=value):")
    for dial in fields(world.dials):
        print(f"    {dial.name:14} {getattr(world.dials(), dial.name)}")
    return OK


def _prepare(options: argparse.Namespace) -> int:
    from wsss_lib.data import load, prepare
    from wsss_lib.data.worlds.drawn import WORLDS, drawn_world

    if (name := options.name) in WORLDS:
        counts = drawn_world(name).counts
        if options.root is not None:
            raise ValueError(
                f"{name} are kept where load({name!r}) looks: leave --root out, or set WSSS_CACHE to another folder"
            )
        if unknown := [split for split in options.split or () if split not in counts]:
            raise ValueError(f"{name} has no split {unknown[0]!r} to prepare: choose among {', '.join(counts)}")
        for split in options.split or counts:
            print(f"{name}/{split}: {len(load(name, split=split)):,} images")
        return OK
    for split, files in prepare(options.name, options.split, options.root).items():
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        print(f"{options.name}/{split}: {len(files)} file{'' if len(files) == 1 else 's'}, {megabytes:,.1f} MB")
    return OK


def _clear(options: argparse.Namespace) -> int:
    import shutil

    from wsss_lib.files import cache_folder
    from wsss_lib.train.kept_features import FOLDER

    cache = cache_folder()
    folder = None if cache is None else cache / FOLDER
    files = [path for path in folder.rglob("*") if path.is_file()] if folder is not None else []
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    if folder is not None and folder.is_dir():
        shutil.rmtree(folder)
    print(f"{megabytes:,.1f} MB of features removed")
    return OK
