"""Profiles, recipes, the workbench of a chapter, recorded results, and the studies that measured them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsss_lib.experiments.workbench import Workbench

__all__ = ["Workbench"]


def __getattr__(name: str) -> Any:
    # On demand: profiles and results are read where torch need not be loaded.
    if name == "Workbench":
        from wsss_lib.experiments.workbench import Workbench

        return Workbench
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
