"""What the encoders of a pretraining take, kept in its folder: schema, statistics and fitted files of each stream."""

import shutil
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from jobs._run_folder import RunFolder, read_json, write_json
from jobs.assemble import Dataset, source_of
from jobs.pretrained import recorded_recipe
from pipeline.data.manifest import StreamEntry, load_manifest, stream_folder
from pipeline.data.verify import damaged_fitted_files
from pipeline.errors import OutputError, Problems

STREAMS_NAME = "streams.json"
Streams = dict[str, StreamEntry]


def keep_streams(folder: Path, dataset: Dataset) -> None:
    """Record the streams that encoders are about to be trained on; the data set may be gone when they are used."""
    entries = {name: _kept(folder, dataset, name) for name in dataset.schemas}
    write_json(folder / STREAMS_NAME, {n: entry.model_dump(mode="json", by_alias=True) for n, entry in entries.items()})


def _kept(folder: Path, dataset: Dataset, stream: str) -> StreamEntry:
    """The entry of a stream, whose fitted files are copied to where a stream of its name has them."""
    files = {}
    for relative, digest in dataset.fitted_files(stream).items():
        place = stream_folder(folder, stream) / relative
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(dataset.fitted[stream] / relative, place)
        files[place.relative_to(folder).as_posix()] = digest
    return dataset.entry(stream).model_copy(update={"files": files})


def trained_streams(pretrained: RunFolder) -> tuple[Streams, Path]:
    """The streams that a finished pretraining recorded, and the folder below which their fitted files are.

    Of a run that was trained before they were recorded: those of its data set. Raises OutputError where the record is
    damaged, DataError where there is neither, Problems for fitted files that changed.
    """
    folder = pretrained.path / "pretrain"
    document = read_json(folder / STREAMS_NAME)
    if document is None:
        folder = source_of(recorded_recipe(pretrained.path)).folder
        streams = load_manifest(folder).streams
    else:
        streams = _parse(document, folder / STREAMS_NAME)
    if damaged := damaged_fitted_files(folder, streams):
        raise Problems(list(damaged))
    return streams, folder


def _parse(document: object, path: Path) -> Streams:
    try:
        return TypeAdapter(Streams).validate_python(document)
    except ValidationError as error:
        raise OutputError(f"{path} is damaged", code="OUT_DAMAGED", fix="restore the run folder") from error
