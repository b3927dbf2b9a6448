"""kindred export: trained encoders, with a fine-tuned head where there is one, as a model that MLflow serves."""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, JsonValue, field_validator
from safetensors.torch import save_file
from torch import Tensor, nn

from jobs._console import Console
from jobs._mlflow import tracking_uri
from jobs._model_registry import ModelRegistry
from jobs._run_folder import RunFolder
from jobs._tracking import Tracking
from jobs.assemble import Dataset, open_dataset, source_of
from jobs.configs import Recipe
from jobs.finished_run import finished_run
from jobs.frozen import encoded_features, encoders_of
from jobs.model_card import model_card
from jobs.model_folder import save_model
from jobs.onnx_encoders import onnx_runtime, write_graphs
from jobs.pretrained import pretrained_encoders, pretraining_of
from jobs.served.bundle import ARTIFACT, BACKBONE, MODEL_JSON, WEIGHTS, Bundle, BundledHead, stream_files, with_backbone
from jobs.served.code_version import code_sha256
from jobs.transfer import transfer
from jobs.tuned import tuned_classifier
from modalities.spec import Config
from pipeline.config import build_config
from pipeline.digest import sha256
from pipeline.evaluate.fusion import fit_fusion
from pipeline.evaluate.probe_config import Percent

Result = dict[str, JsonValue]


class ExportConfig(Config):
    """What may follow the run on the command line."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)
    """Name in the MLflow model registry; None means the recipe's name."""
    alias: str = Field(default="newest", pattern=r"^[A-Za-z0-9_-]+$", max_length=80)
    """Alias that the new version gets; `latest` and `v1`, `v2`, ... are MLflow's own."""
    percent: Percent | None = None
    """Label fraction whose fine-tuned head travels with the encoders; None means the largest that there is, if any."""
    max_samples: int = Field(default=256, ge=1, le=100_000)
    """Most samples of one request."""
    onnx: bool = False
    """Also write the pretrained encoders as ONNX graphs, beside the model; needs the extra `onnx`."""
    uri: str | None = None
    """Tracking URI; None means the recipe's, MLFLOW_TRACKING_URI or a SQLite file in the working folder."""

    @field_validator("alias")
    @classmethod
    def _free(cls, alias: str) -> str:
        if re.fullmatch(r"latest|v\d+", alias):
            raise ValueError(f"{alias} is an alias that MLflow keeps for itself")
        return alias


def export(target: str, overrides: Sequence[str] = ()) -> Result:
    """Write the model into the run folder, register it and give it its alias. The same content is exported once.

    target: recipe, run folder or MLflow run id. Raises ConfigError, CheckpointError, DataError, TrackingError.
    """
    config = build_config(ExportConfig, {}, overrides)
    if config.onnx:
        onnx_runtime()
    recipe, folder = finished_run(target)
    name, uri = config.name or recipe.name, tracking_uri(config.uri or recipe.tracking.uri)
    with folder.locked(), tempfile.TemporaryDirectory(dir=folder.stage("export"), prefix=".bundle-") as temporary:
        made = Path(temporary) / ARTIFACT
        dataset = transfer(recipe, folder, open_dataset(source_of(recipe), recipe.aliases)).dataset
        bundle = _write_bundle(made, recipe, folder, dataset, config)
        digest = _digest(made)
        card = model_card(recipe, folder, dataset.manifest, bundle, uri=f"models:/{name}@{config.alias}")
        path = folder.path / "export" / digest[:12]
        if not path.exists():
            save_model(made, path, bundle, card=card, digest=digest)
        graphs = path.with_name(f"{path.name}-onnx") if config.onnx else None
        if graphs is not None and not graphs.exists():
            write_graphs(encoders_of(recipe, dataset, pretrained_encoders(recipe, folder)), dataset, graphs)
        run_id = Tracking(folder.path).run_ids().get("run")
        registry, source = ModelRegistry(uri), str(run_id) if run_id else None
        version = registry.register(path, name=name, alias=config.alias, digest=digest, run_id=source)
    Console().line(f"model: {path}    registered: {name} version {version}, models:/{name}@{config.alias}")
    return {
        "status": "finished",
        "path": str(path),
        "name": name,
        "version": version,
        "alias": config.alias,
        "uri": f"models:/{name}@{config.alias}",
        "digest": digest,
        "onnx": None if graphs is None else str(graphs),
        "classes": None if bundle.head is None else [*bundle.head.classes],
    }


def _write_bundle(target: Path, recipe: Recipe, folder: RunFolder, dataset: Dataset, config: ExportConfig) -> Bundle:
    """Tensors, fitted files and `model.json`, into a new folder."""
    target.mkdir()
    encoders = encoders_of(recipe, dataset, pretrained_encoders(recipe, folder))
    tuned = tuned_classifier(folder, config.percent)
    table = encoded_features(encoders, dataset, path=folder.stage("probe") / "features.parquet")
    fusion = fit_fusion(table, list(recipe.streams), train=dataset.index.rows("train"))
    tensors = _named("encoders", encoders.state_dict()) | _named("fusion", fusion.tensors())
    if tuned is not None:
        tensors |= _named("classifier", tuned[1])
    save_file(tensors, target / WEIGHTS)
    _write_files(target, recipe, dataset, encoders)
    bundle = _describe(
        recipe, folder, dataset, None if tuned is None else tuned[0], config, _digest_of(target / WEIGHTS)
    )
    (target / MODEL_JSON).write_text(bundle.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8")
    return bundle


def _named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def _write_files(target: Path, recipe: Recipe, dataset: Dataset, encoders: nn.ModuleDict) -> None:
    """What codecs fitted, and the architecture of public weights, which must not be fetched where the model serves."""
    for name, stream in recipe.streams.items():
        files = stream_files(target, name)
        for relative in sorted(dataset.fitted_files(name)):
            place = files / relative
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(dataset.fitted[name] / relative, place)
        if stream.encoder.kind == "pretrained":
            encoders[name].backbone.save_pretrained(files / BACKBONE)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue] - transformers


def _describe(
    recipe: Recipe, folder: RunFolder, dataset: Dataset, head: BundledHead | None, config: ExportConfig, weights: str
) -> Bundle:
    pretrained = pretraining_of(recipe, folder).result("pretrain") or {}
    streams = {
        name: {
            "schema": dataset.schemas[name],
            "stream": with_backbone(stream, BACKBONE),
            "statistics": dataset.statistics[name],
        }
        for name, stream in recipe.streams.items()
    }
    return Bundle.model_validate(
        {
            "name": recipe.name,
            "streams": streams,
            "head": head,
            "max_samples": config.max_samples,
            "code_sha256": code_sha256(),
            "manifest_sha256": dataset.manifest.sha256,
            "state_hash": pretrained["state_hash"],
            "weights_sha256": weights,
        }
    )


def _digest_of(path: Path) -> str:
    return sha256(path.read_bytes())


def _digest(folder: Path) -> str:
    """Hash of every file of a bundle by name."""
    lines = [f"{p.relative_to(folder).as_posix()} {_digest_of(p)}" for p in sorted(folder.rglob("*")) if p.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
