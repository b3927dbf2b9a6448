"""Early stopping: the epoch with the least validation loss, and its weights."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from pipeline.errors import CheckpointError
from pipeline.expected_tensors import check_expected
from pipeline.train.task import Outputs

BEST, LOSSES = "best", "validation"
"""Parts of a checkpoint: the weights of the best epoch, and the validation loss of every epoch so far."""


class BestEpoch:
    """What a task remembers of its epochs (a KeptState): an interrupted training stops where another would.

    validate: the validation loss of the present weights, after the step of that number.
    patience: epochs without a smaller loss after which nothing better is expected.
    """

    def __init__(self, module: nn.Module, validate: Callable[[int], float], *, patience: int) -> None:
        self.module, self.validate, self.patience = module, validate, patience
        self.losses: list[float] = []
        self.weights = self._copy()

    @property
    def number(self) -> int:
        """Epochs that the best weights were trained for."""
        return 1 + self.losses.index(min(self.losses)) if self.losses else 0

    @property
    def exhausted(self) -> bool:
        """Whether training should end."""
        return len(self.losses) - self.number >= self.patience

    def load_best(self) -> None:
        """Give the module the weights of the best epoch."""
        self.module.load_state_dict(self.weights)

    def to(self, device: torch.device) -> None:
        """The best weights lie where those of the module do."""
        self.weights = {name: tensor.to(device) for name, tensor in self.weights.items()}

    def after_step(self, outputs: Outputs, *, step: int, epoch_ended: bool) -> None:
        """Validate at the end of an epoch."""
        if not epoch_ended:
            return
        self.losses.append(self.validate(step))
        if self.number == len(self.losses):
            self.weights = self._copy()

    def parts(self) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        """Files of a checkpoint."""
        yield BEST, self.weights
        yield LOSSES, {"loss": torch.tensor(self.losses, dtype=torch.float64)}

    def restore(self, part: Callable[[str], Mapping[str, Tensor]]) -> None:
        """Inverse of `parts`. Raises CheckpointError."""
        weights, losses = part(BEST), part(LOSSES).get("loss")
        check_expected(weights, self.weights, what=BEST)
        if losses is None or losses.ndim != 1:
            raise CheckpointError("the checkpoint holds no validation losses", code="CKPT_INCOMPATIBLE", field=LOSSES)
        self.weights = {name: tensor.to(self.weights[name].device).clone() for name, tensor in weights.items()}
        self.losses = losses.tolist()

    def _copy(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}
