"""The folder of an exported model: `model.json`, `model.safetensors` and the files that codecs fitted."""

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from jobs.served.code_version import refuse_other_code
from modalities.catalogue import AnySchema, AnyStream
from modalities.request import parse_raw
from modalities.spec import Config, Modality, Statistics
from pipeline.errors import CheckpointError
from pipeline.evaluate.fitted_fusion import Fusion
from pipeline.evaluate.fused_network import FusedNetwork
from pipeline.evaluate.weights import load_weights
from pipeline.heads.catalogue import AnyHead
from pipeline.heads.linear import Linear
from pipeline.serve.request import ServedStream
from pipeline.serve.served_model import Head, ServedModel

MODEL_JSON, WEIGHTS = "model.json", "model.safetensors"
ARTIFACT = "bundle"
"""What MLflow calls the folder among a model's artifacts."""
BACKBONE = "backbone"
"""Folder with the architecture of public weights, beside the fitted files of a stream."""


class BundledStream(Config):
    """One stream: what it is, what encodes it, and how the training split was distributed."""

    schema_: AnySchema = Field(alias="schema")
    """Schema of the data set it was trained on."""
    stream: AnyStream
    """Augmentation and encoder."""
    statistics: Statistics
    """What the encoder normalises with."""


class BundledHead(Config):
    """A fine-tuned classifier."""

    label: str
    """Label column it predicts."""
    classes: tuple[str, ...]
    """Class names in class order."""
    streams: tuple[str, ...]
    """Streams it reads."""
    percent: float
    """Share of the labelled training split it was trained with."""
    temperature: float | None = Field(default=None, gt=0)
    """What its logits are divided by, fitted on validation groups; None: its probabilities are not calibrated."""
    trained_with: AnyHead = Linear()
    """Head it was trained with, whose classifier it has."""


class Bundle(Config):
    """Everything about an exported model but its tensors."""

    format_version: Literal[1] = 1
    """Version of this format."""
    name: str
    """Recipe it comes from."""
    streams: dict[str, BundledStream] = Field(min_length=1)
    """Streams by name, in the order in which they are fused."""
    head: BundledHead | None
    """The classifier; None for embeddings alone."""
    max_samples: int = Field(ge=1)
    """Most samples of a request."""
    code_sha256: str
    """Hash of the code that made it (code_version.py)."""
    manifest_sha256: str
    """The data set it was trained on."""
    state_hash: str
    """The pretraining it comes from."""
    weights_sha256: str
    """Hash of `model.safetensors`."""

    @property
    def asked(self) -> dict[str, BundledStream]:
        """By what a sample of a request calls it: the first of the streams that read it."""
        found: dict[str, BundledStream] = {}
        for name, known in self.streams.items():
            found.setdefault(known.stream.of or name, known)
        return found


def stream_files(folder: Path, stream: str) -> Path:
    """Where the fitted files of a stream lie in the folder of a model."""
    return folder / "streams" / stream


def load_model(folder: Path) -> ServedModel:
    """The model in a folder. Raises CheckpointError where it is damaged or needs another version of the code."""
    bundle = _read(folder)
    refuse_other_code(bundle.code_sha256)
    tensors = _tensors(folder / WEIGHTS, bundle.weights_sha256)
    streams, encoders = {}, {}
    for name in bundle.streams:
        modality = _modality(folder, bundle, name)
        encoders[name] = modality.encoder
        known = bundle.streams[name]
        streams[name] = ServedStream(known.stream.of or name, partial(parse_raw, known.schema_), modality.codec)
    frozen = nn.ModuleDict(encoders)
    load_weights(frozen, _below("encoders.", tensors))
    fusion = Fusion.from_tensors(tuple(bundle.streams), _below("fusion.", tensors))
    return ServedModel(streams, frozen, fusion, _head(folder, bundle, tensors), max_samples=bundle.max_samples)


def _head(folder: Path, bundle: Bundle, tensors: Mapping[str, Tensor]) -> Head | None:
    if bundle.head is None:
        return None
    own = {name: _modality(folder, bundle, name).encoder for name in bundle.head.streams}
    classifier = FusedNetwork(own, len(bundle.head.classes), head=bundle.head.trained_with)
    load_weights(classifier, _below("classifier.", tensors))
    return Head(classifier, bundle.head.classes, bundle.head.temperature)


def _modality(folder: Path, bundle: Bundle, name: str) -> Modality:
    known, files = bundle.streams[name], stream_files(folder, name)
    stream = with_backbone(known.stream, str(files / BACKBONE))
    return stream.modality(known.schema_, known.statistics, files)  # pyright: ignore[reportArgumentType] - kinds were equal when it was trained


def with_backbone(stream: AnyStream, name: str) -> AnyStream:
    """The stream with the place of its public weights replaced, where it has any."""
    if stream.encoder.kind != "pretrained":
        return stream
    encoder = stream.encoder.model_copy(update={"name": name, "revision": None})
    return stream.model_copy(update={"encoder": encoder})


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _read(folder: Path) -> Bundle:
    path = folder / MODEL_JSON
    try:
        return Bundle.model_validate_json(path.read_bytes())
    except OSError as error:
        raise _damaged(path, f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _damaged(path, f"is of another version or damaged: {where}: {first['msg']}") from error


def _tensors(path: Path, expected: str) -> dict[str, Tensor]:
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise _damaged(path, "does not match its hash")
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, "cannot be read") from error


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} {what}", code="CKPT_DAMAGED", field=path.name, fix="export the model again")
