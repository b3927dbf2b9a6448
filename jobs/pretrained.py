"""The encoders a finished pretraining left behind: of this run, of another run folder, or of an MLflow run."""

import functools
import re
from pathlib import Path

from torch import Tensor

from jobs._mlflow import MlflowStore, tracking_uri
from jobs._provenance import FOLDER_TAG
from jobs._run_folder import RECIPE_NAME, RunFolder, read_json
from jobs.configs import Recipe
from pipeline.config import build_config
from pipeline.credentials import redact
from pipeline.errors import CheckpointError, OutputError, SecurityError
from pipeline.train.checkpoint_store import CheckpointStore

_PREFIX = "encoders."
_CODE = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pt2", ".pth"})
_CODE_NAMES = {".metadata": "a distributed checkpoint", "MLmodel": "an MLflow model"}
RUN_ID = re.compile(r"[0-9a-f]{32}")


def pretraining_of(recipe: Recipe, folder: RunFolder) -> RunFolder:
    """Where the pretraining is that probes and fine-tuning start from: `recipe.pretrained`, else `folder` itself.

    Raises CheckpointError where there is none here, TrackingError where the tracking store does not know the run,
    SecurityError where it is a pickle.
    """
    if recipe.pretrained is None:
        return folder
    named = named_run(recipe.pretrained, recipe.tracking.uri)
    _refuse_code(named)
    found = RunFolder(named)
    if not named.is_dir() or found.result("pretrain") is None:
        raise CheckpointError(
            f"{named} holds no finished pretraining",
            code="CKPT_MISSING",
            field="pretrained",
            got=recipe.pretrained,
            fix="name a run folder that this machine sees, or the MLflow run id of one",
        )
    return found


def named_run(target: str, uri: str | None = None) -> Path:
    """The folder that a path names, or an MLflow run id in the tracking store at `uri`; a path may lead nowhere.

    Raises TrackingError where the store does not know the run, CheckpointError where it does not say its folder.
    """
    path = Path(target)
    if not path.is_dir() and RUN_ID.fullmatch(target):
        return Path(_folder_of(target, tracking_uri(uri)))
    return path


def _refuse_code(named: Path) -> None:
    """Raises SecurityError for weights that could only be read by running what they hold; they are not opened."""
    files = sorted(named.iterdir()) if named.is_dir() else [named]
    for file in files:
        if file.suffix.lower() in _CODE or file.name in _CODE_NAMES:
            raise SecurityError(
                f"{file} is {_CODE_NAMES.get(file.name, 'a file of pickles')}: reading it can run code",
                code="SEC_UNSAFE_CHECKPOINT",
                field="pretrained",
                expected="a run folder of kindred; for weights of others streams.*.encoder with kind=pretrained",
                fix="where you trust its maker, convert it to safetensors (transformers: save_pretrained)",
            )


def recorded_recipe(folder: Path) -> Recipe:
    """The recipe that the pretraining in a run folder was started with. Raises OutputError where it is missing."""
    path = folder / "pretrain" / RECIPE_NAME
    document = read_json(path)
    if document is None:
        raise OutputError(f"{path} is missing", code="OUT_DAMAGED", fix="restore the run folder")
    return build_config(Recipe, {**document, "out": str(folder)})


@functools.cache  # a stage asks several times, and a run does not move while it is read
def _folder_of(run_id: str, uri: str) -> str:
    """Run folder that an MLflow run, or its parent, says it belongs to. Raises TrackingError, CheckpointError."""
    store = MlflowStore(uri)
    tags = store.read_tags(run_id)
    if FOLDER_TAG not in tags and (parent := tags.get("mlflow.parentRunId")):
        tags = store.read_tags(parent)
    if FOLDER_TAG not in tags:
        raise CheckpointError(
            f"the MLflow run {run_id} does not say where its run folder is",
            code="CKPT_MISSING",
            field="pretrained",
            got=redact(uri),
            fix="name the run folder instead",
        )
    return tags[FOLDER_TAG]


def pretrained_encoders(recipe: Recipe, folder: RunFolder) -> dict[str, Tensor]:
    """Tensors of the encoders by name below `encoders`; the weight average where the pretraining kept one.

    A stream that starts from the encoder of another one (`recipe.pretrained_streams`) has them under its own name too.
    Buffers come from the model, because only parameters are averaged. Raises CheckpointError where there is none, or
    where the one that the finished pretraining ended with is damaged: an older one is another model.
    """
    folder = pretraining_of(recipe, folder)
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
    if "average" in checkpoint.files:
        tensors |= checkpoint.part("average")
    found = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items() if name.startswith(_PREFIX)}
    return found | _renamed(found, recipe.pretrained_streams)


def _renamed(tensors: dict[str, Tensor], origins: dict[str, str]) -> dict[str, Tensor]:
    """The tensors of each stream's origin under the name of the stream."""
    return {
        f"{stream}.{name.removeprefix(f'{origin}.')}": tensor
        for stream, origin in origins.items()
        for name, tensor in tensors.items()
        if name.startswith(f"{origin}.")
    }
