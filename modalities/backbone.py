"""Networks of the transformers library as encoder bodies: safe loading and their blocks in depth order."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_pretrained(name: str, *, revision: str | None, families: Collection[str]) -> "PreTrainedModel":
    """Weights of a hub repository or local folder: safetensors only, no code from the repository, in float32.

    Raises ValueError where the architecture is not one of `families`, weights are missing, misshapen or not finite, or
    nothing can be read.
    """
    from transformers import AutoConfig, AutoModel  # imported late: it takes seconds

    try:
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
        if config.model_type not in families:
            raise ValueError(f"{name} is a {config.model_type}; supported are {', '.join(sorted(families))}")
        model, report = AutoModel.from_pretrained(
            name,
            config=config,
            revision=revision,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, SafetensorError) as error:  # RuntimeError: weights of another shape
        raise ValueError(
            f"cannot load {name!r}: it must be a folder or hub name with config.json and a model.safetensors that fits "
            f"({str(error).splitlines()[0][:200]})"
        ) from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ValueError(f"{name} lacks weights of its own architecture: {', '.join(missing[:5])}")
    if spoilt := [key for key, tensor in model.state_dict().items() if not bool(tensor.isfinite().all())]:
        raise ValueError(f"{name} has weights that are NaN or infinite: {', '.join(spoilt[:5])}")
    _drop_unused(model)
    return model


def _drop_unused(model: nn.Module) -> None:
    """Parts that take no part in a forward pass here would never get a gradient."""
    if getattr(model, "pooler", None) is not None:
        model.register_module("pooler", None)
    mask_token = getattr(getattr(model, "embeddings", None), "mask_token", None)
    if isinstance(mask_token, nn.Parameter):
        mask_token.requires_grad_(False)


def depth_blocks(model: nn.Module) -> Sequence[nn.Module]:
    """Embeddings, then one block per layer or stage; what follows the last one belongs to it."""
    embeddings, *tail = [child for child in model.children() if any(True for _ in child.parameters())]
    body = _layers(tail[0])
    return [embeddings, *body[:-1], nn.ModuleList([body[-1], *tail[1:]])]


def _layers(module: nn.Module) -> Sequence[nn.Module]:
    """The layers of a body that is a list of them or wraps one."""
    if isinstance(module, nn.ModuleList):
        return list(module)
    lists = [child for child in module.children() if isinstance(child, nn.ModuleList)]
    if len(lists) != 1 or len(list(module.children())) != 1:
        raise ValueError(f"{type(module).__name__} is not a plain stack of layers")
    return list(lists[0])
