"""Profiles: how much a run of a chapter does, and how long it may take. They are defined here and nowhere else.

Kept free of imports that take time, because the first cell of every chapter and the command read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Name = Literal["smoke", "book", "colab", "paper"]


@dataclass(frozen=True)
class Profile:
    """How much a run does.

    Attributes:
        name: What the parameter ``profile`` of a chapter says.
        train: Critters to train on.
        rest: Critters to choose thresholds on, and as many to report.
        photographs: Of each split at most so many; None for all.
        epochs: Passes through the training images, instead of the recipe's; None leaves the recipe.
        keeps: Whether training leaves checkpoints, from which a run that was cut off goes on.
        offline: Whether the stored outputs come from it, so that it runs with neither network nor more than one thread.
        machine: What the budget is for, in words.
        budget: Seconds that a chapter may take there; None without a limit.
        limit: Seconds after which a cell is given up; None for never.
    """

    name: Name
    train: int
    rest: int
    photographs: int | None
    epochs: int | None
    keeps: bool
    offline: bool
    machine: str
    budget: int | None
    limit: int | None

    @property
    def budget_words(self) -> str:
        """The budget for a sentence, for example ``"2 min"``."""
        if self.budget is None:
            return "no limit"
        return f"{self.budget} s" if self.budget < 60 else f"{self.budget / 60:g} min"


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("smoke", 160, 60, 12, 1, False, True, "two CPU cores", 20, 120),
        Profile("book", 2000, 400, None, None, False, True, "two CPU cores", 120, 600),
        Profile("colab", 2000, 400, None, None, True, False, "one T4", 900, 3600),
        Profile("paper", 2000, 400, None, None, True, False, "one GPU or many", None, None),
    )
}
"""By name, from the shortest run to the longest."""


def profile(name: str) -> Profile:
    """The profile of this name.

    Raises:
        ValueError: There is none.
    """
    if name not in PROFILES:
        raise ValueError(f"profile is {name!r}, expected one of {', '.join(PROFILES)}: choose one of them")
    return PROFILES[name]
