"""The whole way on a person's own photographs, the work behind ``wsss pipeline``.

    labels → classifier → maps → threshold → masks → network
    run_pipeline("zoo", "zoo-masks", Settings(method="cam", refine="crf", network=True))

Each stage is an entry of :data:`STAGES`. One more is one entry more: it reads what the stages before it have left
(:func:`~wsss_lib.pipeline.maps.written_maps`, :func:`~wsss_lib.pipeline.labels.listed`), and writes its masks by
:func:`~wsss_lib.pipeline.masks.write_masks`.
"""

from wsss_lib.pipeline.run import STAGES, Settings, run_pipeline
from wsss_lib.pipeline.stages import Stage, Work, run_stages

__all__ = ["STAGES", "Settings", "Stage", "Work", "run_pipeline", "run_stages"]
