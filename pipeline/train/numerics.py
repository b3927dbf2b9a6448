"""What the bits of a run depend on beside its configuration: processor, device, threads, library."""

import logging

import torch
from pydantic import JsonValue

from pipeline.train.checkpoint import Checkpoint

_log = logging.getLogger(__name__)


def numerics(device: torch.device) -> dict[str, JsonValue]:
    """Of this process."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {"device": device.type, "kernels": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def numerics_so_far(checkpoint: Checkpoint | None, now: dict[str, JsonValue]) -> list[JsonValue]:
    """Every kind of numerics that a run has had, with the present one; more than one is no longer bitwise.

    A checkpoint that names none was written by something unknown. Warns where the present numerics are new to a run.
    """
    if checkpoint is None:
        return [now]
    earlier = checkpoint.state.get("numerics")
    found: list[JsonValue] = list(earlier) if isinstance(earlier, list) else [{"kernels": "unknown"}]
    if now in found:
        return found
    last = found[-1] if isinstance(found[-1], dict) else {}
    changed = [f"{name}: {last.get(name)} -> {now[name]}" for name in now if last.get(name) != now[name]]
    _log.warning(
        "the bits of this run are no longer those of an undisturbed one: %s was computed with other numerics (%s)",
        checkpoint.path.name,
        "; ".join(changed),
    )
    return [*found, now]
