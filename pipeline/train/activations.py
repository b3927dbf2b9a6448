"""What a forward pass keeps for its backward pass, measured on a few samples."""

import torch
from torch import Tensor

from pipeline.train.task import Task
from pipeline.types import Batch


def activation_bytes(task: Task, batch: Batch) -> float:
    """Bytes per sample that the graph of `task.outputs` holds beside the weights; the state of random numbers stays."""
    weights = {p.untyped_storage().data_ptr() for p in task.module.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _graph = task.outputs(batch, epoch=0)  # held until all is counted: no address is used twice
    return sum(kept.values()) / len(batch.idx)
