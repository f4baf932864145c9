"""``wsss run|build|check|edition``: the commands that only a clone has."""
