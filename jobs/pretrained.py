"""The encoders a finished pretraining left behind."""

from torch import Tensor

from jobs._run_folder import RunFolder
from jobs.configs import Recipe
from pipeline.errors import CheckpointError
from pipeline.train.checkpoint import CheckpointStore

_PREFIX = "encoders."


def pretrained_encoders(recipe: Recipe, folder: RunFolder) -> dict[str, Tensor]:
    """Tensors of the encoders by name below `encoders`; the weight average where the recipe keeps one.

    Buffers come from the model, because only parameters are averaged. Raises CheckpointError where there is none, or
    where the one that the finished pretraining ended with is damaged: an older one is another model.
    """
    checkpoint = CheckpointStore(folder.path / "pretrain" / "checkpoints").newest()
    if checkpoint is None:
        raise CheckpointError(
            f"no checkpoint in {folder.path}/pretrain", code="CKPT_MISSING", fix="run `kindred pretrain` first"
        )
    finished = folder.result("pretrain")
    if finished is not None and finished["steps"] != checkpoint.step:
        raise CheckpointError(
            f"the last checkpoint in {folder.path}/pretrain is missing or damaged",
            code="CKPT_DAMAGED",
            expected=finished["steps"],
            got=checkpoint.step,
            fix="restore it, or delete pretrain/result.json and type the pretrain command again",
        )
    tensors = checkpoint.part("model")
    if recipe.pretrain.ema_decay is not None:
        tensors |= checkpoint.part("average")
    return {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items() if name.startswith(_PREFIX)}
