"""Photographs: known by name or one's own.

:mod:`~wsss_lib.data.photos.catalogue` says what is known of each data set, :mod:`~wsss_lib.data.photos.fetch`
brings it, :mod:`~wsss_lib.data.photos.convert` turns files into tensors, :mod:`~wsss_lib.data.photos.table` gives
records. What :func:`wsss_lib.data.load` does goes one way: ``load`` finds the files, ``table`` reads a row of them, and
``annotations`` says what the row means.
"""
