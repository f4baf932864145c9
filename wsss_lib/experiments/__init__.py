"""Profiles, recipes, the workbench of a chapter, recorded results, and the studies that measured them."""
