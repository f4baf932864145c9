"""Photographs: known by name or one's own, as tables in Parquet."""
