"""From Labels to Masks: how a network that was told what is in an image learns where it is."""

__version__ = "0.1.0"
