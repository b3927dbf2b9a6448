"""Encoders as ONNX graphs: a batch of any size as the codec of the stream decodes it -> its pooled features.

ONNX and not torch.export: a `.pt2` archive is loaded by unpickling, ONNX is protobuf. Each graph is run once by
ONNX Runtime, on samples of the data set, before it is handed over.
"""

import json
import logging
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor, nn

from jobs.assemble import Dataset
from modalities.spec import Signal
from pipeline.data.extras import need
from pipeline.digest import sha256
from pipeline.errors import ConfigError, EnvironmentFault

TOLERANCE = 1e-4
"""Largest difference from the encoder, relative to features beyond 1."""
_SAMPLES = 8
_DESCRIPTION = "onnx.json"
_TALKATIVE = ("torch.onnx", "onnxscript", "onnx_ir")


class _Session(Protocol):
    """ONNX Runtime's InferenceSession."""

    def run(self, names: list[str], inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.float32]]: ...


class _Pooled(nn.Module):
    """What a graph computes. Every sample of its batch has the stream."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        present = values.new_ones(values.shape[:1], dtype=torch.bool)
        return self.encoder(Signal(values, mask, present)).pooled.float()


def onnx_runtime() -> ModuleType:
    """ONNX Runtime. Raises EnvironmentFault where it, or what writes graphs, is not installed."""
    need("onnxscript", extra="onnx")
    return need("onnxruntime", extra="onnx")


def write_graphs(encoders: nn.ModuleDict, dataset: Dataset, target: Path) -> None:
    """`<stream>.onnx` of every encoder and what they read, into a new folder, whole or not at all.

    Raises ConfigError for an encoder that cannot be written, EnvironmentFault for a graph that gives other features.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".onnx-") as temporary:
        made = Path(temporary) / target.name
        made.mkdir()
        described: dict[str, JsonValue] = {}
        for name, encoder in encoders.items():
            path = made / f"{name}.onnx"
            described[name] = {
                "schema": dataset.schemas[name].model_dump(mode="json"),
                **write_graph(encoder, _samples(dataset, name), path),
            }
        text = json.dumps({"torch": torch.__version__, "streams": described}, indent=1, ensure_ascii=False)
        (made / _DESCRIPTION).write_text(text + "\n", encoding="utf-8")
        made.rename(target)


def write_graph(encoder: nn.Module, signal: Signal, path: Path) -> dict[str, JsonValue]:
    """Write one graph and describe it; signal: at least two samples that have the stream, as the codec decodes them."""
    model, inputs = _Pooled(encoder).eval(), _inputs(signal)
    _export(model, inputs, path)
    session = onnx_runtime().InferenceSession(path, providers=["CPUExecutionProvider"])
    differences = [_difference(session, model, inputs, count) for count in (len(signal), 1)]
    if max(differences) > TOLERANCE:
        raise EnvironmentFault(
            f"the ONNX graph {path.name} gives other features than the encoder",
            code="ONNX_DIFFERS",
            field=path.stem,
            expected=f"at most {TOLERANCE:g} apart",
            got=max(differences),
            fix="install the versions of requirements.lock",
        )
    shapes: dict[str, JsonValue] = {
        name: {"type": str(x.dtype), "shape": ["batch", *x.shape[1:]]} for name, x in _arrays(inputs).items()
    }
    width = int(encoder.width)  # pyright: ignore[reportArgumentType] - spec.Encoder
    return {"file": path.name, "sha256": sha256(path.read_bytes()), "inputs": shapes, "features": width}


def _inputs(signal: Signal) -> dict[str, Tensor]:
    """Tensors by input name; images have no mask."""
    if signal.values.dtype == torch.uint8:
        return {"values": signal.values.contiguous()}
    mask = torch.ones_like(signal.values, dtype=torch.bool) if signal.mask is None else signal.mask
    return {"values": signal.values, "mask": mask}


def _export(model: nn.Module, inputs: dict[str, Tensor], path: Path) -> None:
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of versions and internals, none of which a user can act on
        try:
            torch.onnx.export(
                model,
                tuple(inputs.values()),
                path,
                input_names=list(inputs),
                output_names=["features"],
                dynamic_shapes=tuple({0: "batch"} for _ in inputs),
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ConfigError(
                f"the encoder of {path.stem} cannot be written as an ONNX graph: {str(error).splitlines()[0]}",
                code="CONFIG_VALUE",
                field="onnx",
                fix="export without onnx=true, or use another encoder",
            ) from error


def _difference(session: _Session, model: nn.Module, inputs: dict[str, Tensor], count: int) -> float:
    """Largest over the first `count` samples."""
    some = {name: tensor[:count] for name, tensor in inputs.items()}
    with torch.inference_mode():
        expected = model(*some.values()).numpy()
    (found,) = session.run(["features"], _arrays(some))
    return float((np.abs(found - expected) / np.maximum(1, np.abs(expected))).max())


def _arrays(inputs: dict[str, Tensor]) -> dict[str, NDArray[np.generic]]:
    return {name: tensor.numpy() for name, tensor in inputs.items()}


def _samples(dataset: Dataset, stream: str) -> Signal:
    """The first training samples that have a stream."""
    train = dataset.index.rows("train")
    idx = train[dataset.index.present(stream)[train]][:_SAMPLES]
    with dataset.reader:
        return dataset.reader.batch(idx, streams=[stream]).signals[stream]
