"""The training loop."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from wsss_lib.data.records import Batch, Records
from wsss_lib.methods.description import describe
from wsss_lib.modes import evaluating
from wsss_lib.train import checkpoint, optimiser, random_state
from wsss_lib.train.config import Plan, TrainConfig
from wsss_lib.train.history import History
from wsss_lib.train.ledger import Ledger
from wsss_lib.train.machine import Machine
from wsss_lib.train.order import Reader, Transform, stream
from wsss_lib.train.phases import Course
from wsss_lib.train.progress import Progress, Style, as_metrics
from wsss_lib.train.resume import Run, identify, locked
from wsss_lib.train.standstill import IMAGES, Standstill
from wsss_lib.train.state import original

Validate = Callable[[nn.Module], Mapping[str, float]]


def fit(
    method: nn.Module,
    records: Records,
    config: TrainConfig,
    *,
    out_dir: str | Path | None = None,
    resume: bool = True,
    transform: Transform | None = None,
    validate: Validate | None = None,
    validate_every: int = 1,
    progress: Style = "auto",
) -> History:
    """Train a method: minimise the sum of its losses, averaged over the images.

    The same call gives the same weights, bit for bit on one CPU thread count, whether it runs through, or is killed
    any number of times and called again: images come in an order that (seed, epoch) decides, a transform draws from a
    generator that (seed, epoch, index) decides, and everything else is in the checkpoints. For that, whatever changes
    in the method while it trains must be a parameter or a persistent buffer.

    Several processes (``torchrun`` or ``accelerate launch`` a script that calls this) share each batch. Of an update of
    n images, a forward pass over n_p of them counts n_p / n, which is exact for losses that are means over images, also
    where shares or the epoch's last batch are uneven. Batch norm takes its statistics from a process's own share, and
    the main process's running ones are kept; ``nn.SyncBatchNorm.convert_sync_batchnorm(method)`` joins them on GPUs.

    Outside the method, nothing is left changed: the global random generators (torch, NumPy, ``random``) are seeded by
    ``config.seed`` within and get back the state they had. The method stays on the training device, each module in the
    train or eval mode that it had, each parameter with a gradient or without. Within, ``method.train()`` is called: a
    method that keeps a part in eval mode, such as frozen batch norm, overrides ``train``.

    Training with a history: a method with ``phases()`` learns in so many parts of the run, each with the parameter
    groups, the direction and the factor on the learning rate that it names. ``before_step(progress)`` is called before
    the losses of each update and ``after_step(progress)`` after the optimiser's step; where the latter returns True,
    or a tensor that says so, the phase ends, and the rest of the run begins so much earlier. See
    :class:`wsss_lib.methods.contract.Method`.

    A warning says so where a run learns nothing: a loss has stood at ln 2 for two epochs and every map is flat.

    Args:
        method: A module with ``losses(batch) -> dict[str, Tensor]``, scalars with the same names at each step; and
            optionally ``parameter_groups(lr)``, see :func:`wsss_lib.train.optimiser.parameter_groups`, the hooks, and
            ``needs``, the fields of a batch that the losses read.
        records: What to train on; without a transform by whole batches.
        config: The settings.
        out_dir: Where the checkpoints go, the same for all processes; None writes none.
        resume: Whether to go on from the newest intact checkpoint in ``out_dir``; False removes those there.
        transform: ``transform(sample)``, or ``transform(sample, generator)`` for a random one.
        validate: Called in eval mode without gradients after an epoch; returns numbers for the history. With several
            processes all call it, so that it may share its work; the main one's numbers are kept.
        validate_every: Epochs between validations; the last epoch always has one.
        progress: ``"bar"``: a bar on stderr with loss and rate; ``"lines"``: one line an epoch on stdout, losses with
            three decimals and no times, so that a stored notebook does not change; ``"none"``; ``"auto"``: lines in a
            notebook, a bar in a terminal, nothing elsewhere.

    Returns:
        The history, from the first step, also of a resumed run.

    Raises:
        TypeError: The method has no ``losses``, or they are not named scalars.
        ValueError: The settings fit neither the records, nor the method, nor the machine, nor the checkpoints.
        FloatingPointError: A loss is not finite; the weights are those before the update, or on a GPU, whose losses are
            read every so many updates, those of up to so many later ones. Or a parameter is not, when a checkpoint is
            due; it is not written, and the one before stays.
        RuntimeError: Gradients are switched off, or another run trains in ``out_dir``.
    """
    if not callable(getattr(method, "losses", None)):
        raise TypeError(
            f"{type(method).__name__} has no losses(batch): pass a method that returns its losses by name; a "
            "training-free one needs no fit"
        )
    if validate_every < 1:
        raise ValueError(f"validate_every is {validate_every}: pass a number of epochs of at least 1")
    if not torch.is_grad_enabled():
        raise RuntimeError(
            "gradients are switched off here (torch.no_grad, inference_mode or set_grad_enabled(False)), so that "
            "nothing can be learnt: call fit where they are on"
        )
    plan = Plan.of(config, len(records))
    machine = Machine(config)
    if config.batch_size < machine.count:
        raise ValueError(
            f"batch_size {config.batch_size} counts all {machine.count} processes together: set it to at least "
            f"{machine.count}"
        )
    lock = nullcontext() if out_dir is None else locked(checkpoint.root_of(out_dir).parent, machine)
    with (
        machine.used(),
        lock,
        random_state.preserved(machine.device),
        evaluating(method),
        _flags_restored(method),
        machine.holding(method),
    ):
        method.train()
        stepper = optimiser.build(method, config)
        course = Course(method, stepper, plan.steps)
        identity = identify(method, records, config, transform)
        reader = Reader(records, transform, config.seed)
        description = {} if out_dir is None else describe(original(method), records.classes, reader.image_size())
        run = Run(method, stepper, machine, config, identity, description, checkpoint.root_of(out_dir or "."))
        history = _begin(run, plan, course, saving=out_dir is not None, resume=resume)
        model = machine.shared(_Losses(method))

        batches = stream(reader, config, plan, len(history), machine.index, machine.count)
        every = config.checkpoint_every or plan.steps_per_epoch
        bar = Progress(progress if machine.is_main else "none", plan, history)
        watch = Standstill(method, lambda: machine.read(reader[0, list(range(min(IMAGES, len(records))))]))
        ledger = Ledger(history, machine, plan)
        began = time.perf_counter() - history.seconds
        try:
            while (step := ledger.updates) < course.steps:
                course.begin(step)
                optimiser.set_rate(stepper, course.factor(step, config))
                passes = itertools.islice(batches, math.ceil(plan.images(step) / config.batch_size))
                names, terms = _accumulate(model, machine, passes, plan.images(step), course.sign(step), ledger.names)
                ledger.note(names, terms, stepper.param_groups[0]["lr"])
                if config.clip_norm is not None:
                    machine.clip(stepper, method.parameters(), config.clip_norm)
                machine.step(stepper)
                stepper.zero_grad()
                course.end(step, machine, history)

                done, epoch = step + 1, step // plan.steps_per_epoch + 1
                ends_run = done == course.steps
                ends_epoch = done % plan.steps_per_epoch == 0 or ends_run
                saves = out_dir is not None and (done % every == 0 or ends_run)
                if ends_epoch or saves:
                    ledger.read()
                bar.step(history.loss[-1] if history.loss else math.nan, plan.images(step))
                if validate is not None and ends_epoch and (epoch % validate_every == 0 or ends_run):
                    history.metrics.append(as_metrics(_validated(run, validate), epoch, done))
                history.seconds = time.perf_counter() - began
                if saves:
                    run.save(done, history)
                if ends_epoch:
                    bar.epoch(epoch)
                    if machine.is_main:
                        watch.look(history, partial(_validated, run))
        finally:
            bar.close()
            stepper.zero_grad(set_to_none=True)
    return history


class _Losses(nn.Module):
    """A method whose ``forward`` is its losses: what exchanges gradients with other processes."""

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        if lacking := [field for field in getattr(self.method, "needs", ()) if field not in batch]:
            raise ValueError(
                f"the losses of {type(self.method).__name__} need {', '.join(lacking)}, and a batch has "
                f"{', '.join(batch)}: train on records with these fields, and with a transform that keeps them"
            )
        return _checked(self.method.losses(batch), self.method)  # type: ignore[operator]


def _begin(run: Run, plan: Plan, course: Course, *, saving: bool, resume: bool) -> History:
    """Go back to a checkpoint, or seed and write the first one: killed before the second, a run still starts alike."""
    history: History | None = None
    if saving:
        if resume:
            history = run.load()
        else:
            run.forget()
    if history is None:
        history = History(plan.steps_per_epoch)
        course.resume(history)
        run.seed()
        if saving:
            run.save(0, history)
    course.resume(history)
    return history


def _accumulate(
    model: nn.Module,
    machine: Machine,
    passes: Iterator[tuple[Batch, int, int]],
    images: int,
    sign: int,
    names: list[str],
) -> tuple[list[str], Tensor]:
    """Forward and backward over an update's batches, so that ``.grad`` is the gradient of the mean over its images.

    Of ``images`` in the update, this process has n here: its loss, a mean over them, weighs n / images. The exchange of
    gradients averages over the processes where a sum is meant, hence the factor ``machine.count``.

    Args:
        sign: 1 to go down the gradient, -1 to go up.
        names: The terms' names, as earlier updates had them; empty in the first.

    Returns:
        The terms' names, and (terms,): what this process adds to the mean of each over the update's images.
    """
    totals = torch.zeros((), device=machine.device)
    done = 0
    for batch, counted, together in passes:
        done += together
        # Gradients are exchanged once an update, in its last backward pass.
        with nullcontext() if done == images else machine.without_exchange(model):
            with machine.autocast():
                terms = model(machine.read(batch))
            weight = counted / images
            machine.backward(sum(term.float() for term in terms.values()) * (weight * machine.count * sign))
        names = names or list(terms)
        if set(names) != set(terms):
            raise TypeError(
                f"losses() returned {', '.join(terms)} after {', '.join(names)} before: return the same names each "
                "time, with 0 for a term that is off"
            )
        values = torch.stack([terms[name].detach().float() for name in names])  # (terms,)
        totals = totals + values * weight
    return names, totals


def _checked(terms: dict[str, Tensor], method: nn.Module) -> dict[str, Tensor]:
    if not isinstance(terms, dict) or not terms:
        raise TypeError(
            f"losses() of {type(method).__name__} returned {type(terms).__name__}, expected a dictionary with at "
            "least one scalar: return {'classification': loss}"
        )
    for name, value in terms.items():
        if not isinstance(value, Tensor) or value.ndim:
            what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(
                f"the loss term {name!r} is {what}, expected a scalar tensor: take its mean over the images"
            )
    if not any(value.requires_grad for value in terms.values()):
        raise TypeError(
            f"no loss term of {type(method).__name__} depends on a trainable parameter: compute them without detach() "
            "and without no_grad()"
        )
    return terms


def _validated(run: Run, validate: Validate) -> Mapping[str, float]:
    """Validate without a trace: neither modes, nor random draws, nor gradients of it reach the training."""
    run.method.eval()
    with torch.no_grad(), random_state.preserved(run.machine.device):
        metrics = validate(run.method)
    run.method.train()
    run.optimiser.zero_grad(set_to_none=True)
    return metrics


@contextmanager
def _flags_restored(method: nn.Module) -> Iterator[None]:
    """After the block, each parameter requires a gradient if it did before: phases switch it."""
    flags = [(parameter, parameter.requires_grad) for parameter in method.parameters()]
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
