"""Worlds that are drawn: exact truth, every difficulty a dial."""
