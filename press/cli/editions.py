"""``wsss edition``: the chapters as a course needs them."""

from __future__ import annotations

import argparse
from typing import Any

from wsss_lib.cli.common import OK, command, given_path

KINDS = {
    "student": "solutions removed, stubs left, checks to run",
    "instructor": "everything, nothing folded, wrong answers to try the checks on",
    "solutions": "tasks, solutions and checks alone, to read",
    "nbgrader": "a course folder for nbgrader, with hidden tests and one point an exercise",
    "figures": "a zip of all figures, with their alternative texts",
    "slides": "an outline of slides in Markdown: headings, first sentences, figures",
}


def add(commands: Any) -> None:
    """Register the command."""
    parser = command(
        commands,
        "edition",
        "cut the chapters for a course: for students, instructors, nbgrader, or the lectern",
        """\
All editions come from the chapters as they are stored; the page "Teach with this book" tells how to use them.

examples:
  wsss edition --student handout                every chapter, without its solutions
  wsss edition --instructor lectern cam bas     two chapters, everything visible
  wsss edition --slides talk bas                talk/03_bas.md and its figures
  wsss edition --nbgrader course 1 2            then, inside course: nbgrader generate_assignment 01_cam
exit codes: 0 written; 1 a chapter's exercises are not well made; 2 refused, for example because a file is there.
""",
    )
    kinds = parser.add_mutually_exclusive_group(required=True)
    for kind, summary in KINDS.items():
        kinds.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind, help=summary)
    parser.add_argument("out", type=given_path, metavar="OUT", help="folder to write to")
    parser.add_argument("chapters", nargs="*", help="names or numbers, such as 01_cam, cam or 1 (default: all)")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.set_defaults(action=_edition)


def _edition(options: argparse.Namespace) -> int:
    from press import project
    from press.editions import editions

    made = editions.write(project.find_root(), options.kind, options.out, options.chapters, force=options.force)
    for path in made:
        print(path)
    return OK
