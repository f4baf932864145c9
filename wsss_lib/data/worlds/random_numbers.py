"""Random numbers that are a pure function of (key, name): the same bytes on every machine and in every version.

A generator with a state would tie each number to all that were drawn before it: a new dial would change every image,
and images could not be drawn in batches of any size. A hash of (image key, what the number is for) has neither fault.
Only integer arithmetic and correctly rounded float operations are used here and in the drawing (no sin, exp or pow:
their last bit depends on the processor).
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Keys = NDArray[np.uint64]


def mix(keys: Keys) -> Keys:
    """SplitMix64's finaliser (Steele et al. 2014): a bijection of 64 bits; each input bit moves every output bit."""
    z = keys.copy()
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def image_keys(seed: int, split: str, indices: NDArray[np.int64]) -> Keys:
    """One 64-bit key per image.

    Args:
        seed: The world's seed, from 0 to 2⁶³ − 1.
        split: Name of the split; other names give unrelated images.
        indices: (N,) positions in the split.

    Returns:
        (N,) uint64.
    """
    base = np.full(1, (seed & 0xFFFFFFFF) << 32 | zlib.crc32(split.encode()), dtype=np.uint64)
    # The rest of a long seed, which has no room beside the split's name; 0 is mixed to 0.
    rest = mix(np.full(1, seed >> 32, dtype=np.uint64))
    golden = np.uint64(0x9E3779B97F4A7C15)
    return mix(mix(base ^ rest) + (indices.astype(np.uint64) + np.uint64(1)) * golden)


class Draws:
    """Named uniform draws for a batch of keys."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def bits(self, name: str, *shape: int) -> Keys:
        """(N, *shape) uint64 hashes for the purpose ``name``."""
        count = int(np.prod(shape)) if shape else 1
        lanes = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0xD1B54A32D192ED03)
        salt = np.full(1, zlib.crc32(name.encode()), np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return mix(mix(self.keys ^ salt)[:, None] + lanes[None]).reshape(len(self.keys), *shape)

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Floats:
        """(N, *shape) float32 in [low, high), 24 random bits each."""
        unit = (self.bits(name, *shape) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
        return np.float32(low) + unit * np.float32(high - low)

    def integers(self, name: str, *shape: int, count: int) -> NDArray[np.int64]:
        """(N, *shape) integers in 0..count-1."""
        return (self.bits(name, *shape) % np.uint64(count)).astype(np.int64)

    def child(self, name: str) -> Draws:
        """Draws of a part (say, the second critter), unrelated to the whole's."""
        return Draws(self.bits(name))

    def take(self, rows: NDArray[np.int64]) -> Draws:
        """The draws of some of the images."""
        return Draws(self.keys[rows])


def grain(keys: Keys, height: int, width: int) -> Floats:
    """Sensor noise: (N, H, W) float32 in [-1, 1), triangular, by a 32-bit hash of key and pixel."""
    pixel = np.arange(height * width, dtype=np.uint32) * np.uint32(0x9E3779B1)
    z = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)[:, None] ^ pixel[None]
    z ^= z >> np.uint32(16)
    z *= np.uint32(0x7FEB352D)
    z ^= z >> np.uint32(15)
    z *= np.uint32(0x846CA68B)
    z ^= z >> np.uint32(16)
    # The sum of two 16-bit halves is triangular: closer to a camera's noise than a uniform one.
    total = (z & np.uint32(0xFFFF)) + (z >> np.uint32(16))
    return (total.astype(np.float32) * np.float32(2.0**-16) - np.float32(1)).reshape(len(keys), height, width)
