"""Guards against what papermill, nbval and Jupyter Book let through: a module each, tested by what it must refuse."""
