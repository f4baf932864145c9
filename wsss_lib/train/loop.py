"""The training loop."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from wsss_lib.data.records import Batch, Records, to_device
from wsss_lib.train import checkpoint, optimiser, random_state
from wsss_lib.train.accelerating import accelerated
from wsss_lib.train.config import Plan, TrainConfig
from wsss_lib.train.history import History
from wsss_lib.train.order import Reader, Transform, stream
from wsss_lib.train.progress import Progress, Style, as_metrics
from wsss_lib.train.resume import Run, identify

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
    ``config.seed`` within and get back the state they had, Accelerate's as well. The method stays on the training
    device, each module in the train or eval mode that it had. Within, ``method.train()`` is called: a method that keeps
    a part in eval mode, such as frozen batch norm, overrides ``train``.

    Args:
        method: A module with ``losses(batch) -> dict[str, Tensor]``, scalars with the same names at each step; and
            optionally ``parameter_groups(lr)``, see :func:`wsss_lib.train.optimiser.parameter_groups`.
        records: What to train on. Its ``batch(indices)``, if it has one, replaces stacking single samples.
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
        FloatingPointError: A loss is not finite; the weights are those before the update. Or a parameter is not, when a
            checkpoint is due; it is not written, and the one before stays.
    """
    if not callable(getattr(method, "losses", None)):
        raise TypeError(
            f"{type(method).__name__} has no losses(batch): pass a method that returns its losses by name; a "
            "training-free one needs no fit"
        )
    if validate_every < 1:
        raise ValueError(f"validate_every is {validate_every}: pass a number of epochs of at least 1")
    plan = Plan.of(config, len(records))
    with accelerated(config) as accelerator, random_state.preserved(accelerator.device), _modes_restored(method):
        if config.batch_size < accelerator.num_processes:
            raise ValueError(
                f"batch_size {config.batch_size} counts all {accelerator.num_processes} processes together: set it to "
                f"at least {accelerator.num_processes}"
            )
        method.to(accelerator.device).train()
        plain = optimiser.build(method, config)
        model, stepper = accelerator.prepare(_Losses(method), plain)
        identity = identify(method, records, config, transform)
        run = Run(method, plain, accelerator, config, identity, checkpoint.root_of(out_dir or "."))
        history = _begin(run, plan, saving=out_dir is not None, resume=resume)

        reader = Reader(records, transform, config.seed)
        batches = stream(reader, config, plan, len(history), accelerator.process_index, accelerator.num_processes)
        every = config.checkpoint_every or plan.steps_per_epoch
        bar = Progress(progress if accelerator.is_main_process else "none", plan, history)
        began = time.perf_counter() - history.seconds
        try:
            for step in range(len(history), plan.steps):
                optimiser.set_rate(plain, config.factor(step, plan.steps))
                passes = itertools.islice(batches, math.ceil(plan.images(step) / config.batch_size))
                terms = _accumulate(model, accelerator, passes, plan.images(step), list(history.terms))
                _check_finite(terms, step, plan)
                if config.clip_norm is not None:
                    accelerator.clip_grad_norm_(method.parameters(), config.clip_norm)
                stepper.step()
                stepper.zero_grad()
                history.add(sum(terms.values()), terms, plain.param_groups[0]["lr"])
                bar.step(history.loss[-1], plan.images(step))

                done, epoch = step + 1, step // plan.steps_per_epoch + 1
                ends_run, ends_epoch = done == plan.steps, done % plan.steps_per_epoch == 0 or done == plan.steps
                if validate is not None and ends_epoch and (epoch % validate_every == 0 or ends_run):
                    history.metrics.append(as_metrics(_validated(run, validate), epoch, done))
                history.seconds = time.perf_counter() - began
                if out_dir is not None and (done % every == 0 or ends_run):
                    run.save(done, history)
                if ends_epoch:
                    bar.epoch(epoch)
        finally:
            bar.close()
            plain.zero_grad(set_to_none=True)
    return history


class _Losses(nn.Module):
    """A method whose ``forward`` is its losses: what Accelerate wraps for many processes and mixed precision."""

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return _checked(self.method.losses(batch), self.method)  # type: ignore[operator]


def _begin(run: Run, plan: Plan, *, saving: bool, resume: bool) -> History:
    """Go back to a checkpoint, or seed and write the first one: killed before the second, a run still starts alike."""
    history: History | None = None
    if saving:
        if resume:
            history = run.load()
        else:
            run.forget()
    if history is None:
        history = History(plan.steps_per_epoch)
        run.seed()
        if saving:
            run.save(0, history)
    return history


def _accumulate(
    model: nn.Module,
    accelerator: Accelerator,
    passes: Iterator[tuple[Batch, int, int]],
    images: int,
    names: list[str],
) -> dict[str, float]:
    """Forward and backward over an update's batches, so that ``.grad`` is the gradient of the mean over its images.

    Of ``images`` in the update, this process has n here: its loss, a mean over them, weighs n / images. The exchange of
    gradients averages over the processes where a sum is meant, hence the factor ``num_processes``.

    Args:
        names: The terms' names, as earlier updates had them; empty in the first.

    Returns:
        Each term's mean over the update's images, in all processes the same.
    """
    totals = torch.zeros((), device=accelerator.device)
    seen = 0
    for batch, counted, together in passes:
        seen += together
        # Gradients are exchanged once an update, in its last backward pass.
        with nullcontext() if seen == images else accelerator.no_sync(model):
            terms = model(to_device(batch, accelerator.device))
            weight = counted / images
            accelerator.backward(sum(terms.values()) * (weight * accelerator.num_processes))
        names = names or list(terms)
        if set(names) != set(terms):
            raise TypeError(
                f"losses() returned {', '.join(terms)} after {', '.join(names)} before: return the same names each "
                "time, with 0 for a term that is off"
            )
        values = torch.stack([terms[name].detach().float() for name in names])  # (terms,)
        totals = totals + values * weight
    return dict(zip(names, accelerator.reduce(totals, "sum").tolist(), strict=True))


def _check_finite(terms: dict[str, float], step: int, plan: Plan) -> None:
    for name, value in terms.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss term {name!r} is {value} in update {step + 1} of {plan.steps} (epoch "
                f"{step // plan.steps_per_epoch + 1}), expected a finite number: lower lr, set clip_norm, or look "
                "for a logarithm of or division by zero in it; the parameters are those before this update"
            )


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
    with torch.no_grad(), random_state.preserved(run.accelerator.device):
        metrics = validate(run.method)
    run.method.train()
    run.optimiser.zero_grad(set_to_none=True)
    return metrics


@contextmanager
def _modes_restored(method: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in method.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
