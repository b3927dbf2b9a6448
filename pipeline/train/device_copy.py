"""Batches onto the device while it computes: pinned memory, a stream of its own, an event the consumer waits for."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipeline.types import Batch


@dataclass(frozen=True)
class Sent:
    """Batches on their way to a device. copied: None where nothing has to be waited for."""

    batches: list[Batch]
    copied: torch.cuda.Event | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(batch.nbytes for batch in self.batches)


class DeviceCopy:
    """Copies to one device. `send` belongs to reading threads, `receive` to the training thread."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def send(self, batches: Sequence[Batch]) -> Sent:
        """Start the copy. On the CPU the batches stay what they are."""
        if self._stream is None:
            return Sent([batch.to(self.device) for batch in batches])
        with torch.cuda.stream(self._stream):
            copies = [batch.pin_memory().to(self.device) for batch in batches]
            copied = torch.cuda.Event()
            copied.record(self._stream)
            return Sent(copies, copied)

    def receive(self, sent: Sent) -> list[Batch]:
        """The batches, ready for the current stream; the host does not wait."""
        if sent.copied is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(sent.copied)
            for tensor in (tensor for batch in sent.batches for tensor in batch.tensors()):
                tensor.record_stream(stream)  # the copying stream may not reuse this memory before that one is done
        return sent.batches
