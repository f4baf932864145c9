"""Critters: the world with dials. Procedurally drawn animals in habitats, with exact masks and no download."""

from wsss_lib.data.worlds.critters.dataset import COUNTS, DRAWN, Critters, load_critters
from wsss_lib.data.worlds.critters.scene import Scenes, render
from wsss_lib.data.worlds.critters.species import COATS, COMPANIONS, FACES, NURSERY, PATTERNS, SPECIES
from wsss_lib.data.worlds.critters.world import DRAWING_VERSION, World

__all__ = [
    "COATS",
    "COMPANIONS",
    "COUNTS",
    "DRAWING_VERSION",
    "DRAWN",
    "FACES",
    "NURSERY",
    "PATTERNS",
    "SPECIES",
    "Critters",
    "Scenes",
    "World",
    "load_critters",
    "render",
]
