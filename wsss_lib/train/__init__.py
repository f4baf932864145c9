"""One training loop for every method: seeds, mixed precision, checkpoints, resume, progress, many processes.

A method is any ``torch.nn.Module`` with ``losses(batch) -> dict[str, Tensor]``; nothing else is asked of it. One whose
training has a history (a warm-up, phases, a teacher) brings the hooks of :class:`wsss_lib.methods.contract.Method`::

    history = fit(CAM(backbone("tiny_cnn"), num_classes=6), records, TrainConfig(epochs=8), out_dir="runs/cam")

Read :mod:`wsss_lib.train.loop` for the loop itself, :mod:`wsss_lib.train.config` for the settings and the learning
rate, :mod:`wsss_lib.train.order` for what makes a resumed run see the very same images,
:mod:`wsss_lib.train.phases` for the hooks, and :mod:`wsss_lib.train.checkpoint` for what is on disk.
"""

from wsss_lib.train.checkpoint import restore
from wsss_lib.train.config import TrainConfig
from wsss_lib.train.history import History
from wsss_lib.train.loop import fit
from wsss_lib.train.order import epoch_seed

__all__ = ["History", "TrainConfig", "epoch_seed", "fit", "restore"]
