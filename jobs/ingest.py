"""Ingest job: raw files (generated, bundled or the user's) -> data set folder."""

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from jobs._console import Console
from jobs._ray_units import units_on_ray
from jobs.assemble import source_of
from jobs.configs import Recipe
from jobs.data_config import DataConfig
from jobs.planted.config import PlantedConfig
from modalities.catalogue import codec_for
from modalities.spec import Config
from pipeline.data.ingest import ingest
from pipeline.data.manifest import Manifest, load_manifest
from pipeline.errors import ConfigError


def ingest_recipe(recipe: Recipe) -> Manifest:
    """Ingest the recipe's raw files; a data set that already exists for them is returned as it is."""
    data = recipe.data
    if data.ingest is None:
        return load_manifest(source_of(recipe).folder)
    root, schemas = _raw_files(recipe.folder, data), data.ingest.schemas
    with contextlib.ExitStack() as stack:
        return ingest(
            data.ingest,
            root,
            recipe.dataset_folder,
            schemas={name: schema.model_dump(mode="json") for name, schema in schemas.items()},
            make_codec=lambda stream, folder: codec_for(schemas[stream], folder),
            progress=_progress(stack),
            map_units=map if data.workers == 1 else units_on_ray(data.workers),
        )


def _progress(stack: contextlib.ExitStack) -> Callable[[int, int], None]:
    """Shows (done, all); the number of records is known from the first call on."""
    started: list[Callable[[int], None]] = []

    def advance(done: int, total: int) -> None:
        if not started:
            started.append(stack.enter_context(Console().progress("ingest", total)))
        started[0](done)

    return advance


def _raw_files(out: Path, data: DataConfig) -> Path:
    """The folder of raw files, written first where the recipe generates them."""
    if data.generate is None:
        if data.root is None:
            raise ConfigError(
                "the recipe needs the folder of its raw files",
                code="CONFIG_MISSING",
                field="data.root",
                fix="add data.root=DIR",
            )
        root = Path(data.root)
        if not root.is_dir():
            raise ConfigError(f"no such folder: {root}", code="CONFIG_PATH", field="data.root", got=str(root))
        return root
    root = Path(data.root) if data.root else out / "raw"
    if isinstance(data.generate, PlantedConfig):
        from jobs.planted.write import write_planted

        write_planted(data.generate, root)
    else:
        from jobs.bundled import write_bundled

        write_bundled(data.generate.name, root)
    _stamp(root, data.generate)
    return root


def _stamp(root: Path, config: Config) -> None:
    """Give generated files a time that their configuration alone decides: ingest knows raw files by size and time."""
    seconds = int.from_bytes(hashlib.sha256(config.model_dump_json(exclude_none=True).encode()).digest()[:4])
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (seconds, seconds))
