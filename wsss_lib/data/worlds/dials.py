"""What the dials of every world are checked by."""

from __future__ import annotations

from numbers import Integral


def whole_number(name: str, value: object) -> int:
    """A dial's value as a whole number of Python's, if it is one."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, expected a whole number: write it without quotes or decimals")
    return int(value)
