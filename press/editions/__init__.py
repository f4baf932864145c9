"""Exercises, and the editions of a chapter that a course needs."""
