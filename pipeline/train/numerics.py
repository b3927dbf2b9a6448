"""What decides the bits of a run beside its configuration, and whether a resumed run still has the same of it."""

import logging
from collections.abc import Mapping

import torch
from pydantic import JsonValue

from pipeline.tracking import Run
from pipeline.train.checkpoint import Checkpoint

_log = logging.getLogger(__name__)


def numerics(device: torch.device) -> dict[str, JsonValue]:
    """Of this process. Neither the number of workers nor the code's version is among them: both leave the bits alone,
    or the state hashes of the tests change."""
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {"torch": torch.__version__, "processor": processor, "threads": torch.get_num_threads()}


def say_if_inexact(checkpoint: Checkpoint, now: Mapping[str, JsonValue], run: Run) -> None:
    """Withdraw the promise of equal bits, in the log and as a tag of the run, where the checkpoint has other numerics.

    One of an earlier release has none.
    """
    written = checkpoint.state.get("numerics")
    before = written if isinstance(written, dict) else {}
    changed = [f"{name}: {before.get(name)} -> {value}" for name, value in now.items() if before.get(name) != value]
    if not changed:
        return
    text = f"resumed at step {checkpoint.step} with {', '.join(changed)}"
    _log.warning("%s: what follows is not bit for bit what an undisturbed run gives", text)
    run.tags({"kindred.inexact": text})
