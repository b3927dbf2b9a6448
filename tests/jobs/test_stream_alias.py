"""Streams that take what another stream of the data set stores: one recording as a series and as its spectrum."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs._run_folder import RunFolder
from jobs._trained_streams import keep_streams, trained_streams
from jobs.assemble import open_dataset
from jobs.embedder import Embedder, EmbedPlan
from jobs.export import export
from jobs.finished_run import finished_run
from jobs.model_folder import input_example
from jobs.served.bundle import ARTIFACT, Bundle, load_model
from jobs.stages import Context
from pipeline.config import to_json
from pipeline.data.manifest import stream_folder
from pipeline.errors import ConfigError, DataError
from pipeline.tracking import Spool
from tests.jobs.exported_run import finished
from tests.jobs.tiny_run import context_of, finish
from tests.served_requests import TrainingTime

NETWORK = "{kind: resnet, widths: [8, 16], strides: [2, 2], features: 24, groups: 4}"
STREAMS = (
    "streams={imu_spectrum: {kind: sensor, of: imu, augment: [{kind: frequency_perturbation}], "
    f"encoder: {{kind: spectrum, network: {NETWORK}}}}}, imu: {{kind: sensor, encoder: {NETWORK}}}, "
    "note: {kind: text, encoder: {kind: bert, width: 16, depth: 1, heads: 2}}}"
)


def test_an_alias_gives_what_its_stream_stores(folder: Path) -> None:
    with open_dataset(folder / "data", {"imu_spectrum": "imu"}).reader as reader:
        batch = reader.batch(np.arange(20), streams=["imu_spectrum", "imu"])

    alias, imu = batch.signals["imu_spectrum"], batch.signals["imu"]
    assert alias.mask is not None
    assert imu.mask is not None
    assert not imu.present.all()
    assert alias.present.equal(imu.present)
    assert alias.values.equal(imu.values)
    assert alias.mask.equal(imu.mask)
    assert batch.content["imu_spectrum"].equal(batch.content["imu"])


def test_an_alias_of_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no stream wrist") as caught:
        open_dataset(folder / "data", {"wrist_spectrum": "wrist"})

    assert caught.value.field == "streams.wrist_spectrum.of"
    assert caught.value.expected == ["imu", "note", "photo"]


def test_recipe_knows_its_aliases_and_compares_every_stored_stream_once(tmp_path: Path) -> None:
    recipe = context_of(tmp_path, STREAMS).recipe

    assert recipe.aliases == {"imu_spectrum": "imu"}
    assert recipe.distinct_streams() == ["imu_spectrum", "note"]
    assert context_of(tmp_path).recipe.distinct_streams() == ["imu", "photo", "note"]


def test_fitted_files_of_an_alias_are_kept_with_the_pretraining(folder: Path) -> None:
    dataset = open_dataset(folder / "data", {"remark": "note"})

    keep_streams(folder / "pretrain", dataset)

    streams, files = trained_streams(RunFolder(folder))
    assert streams["remark"].files.keys() == {"streams/remark/tokenizer.json"}
    kept, stored = stream_folder(files, "remark"), stream_folder(folder / "data", "note")
    assert (kept / "tokenizer.json").read_bytes() == (stored / "tokenizer.json").read_bytes()


@pytest.mark.slow
def test_every_stage_takes_a_spectrum_and_a_request_gives_the_series_alone(tmp_path: Path, store_uri: str) -> None:
    run = finished(
        tmp_path,
        STREAMS,
        "objectives=[{kind: intra, weight: 0.4, streams: [imu, imu_spectrum]}, {kind: cross}]",
        "subsets=[[imu], [imu_spectrum]]",
        "probe.label_percents=[100]",
        f"tracking.uri={store_uri}",
    )
    recipe, folder = finished_run(str(run))
    spool = Spool(run / "spool.jsonl")
    for stage in ("probe", "evaluate", "report"):
        finish(Context(recipe, folder, spool, spool), stage)
    metrics = folder.metrics(("probe",))
    exported = Path(str(export(str(run), [f"uri={store_uri}"])["path"])) / "artifacts" / ARTIFACT
    model, trained = load_model(exported), TrainingTime(run)

    idx = trained.whole[:3]
    request = trained.request(idx, trained.streams)
    answers = model(request)
    values, fused = trained.embeddings(idx, trained.streams)
    alone = model([{"imu": request[0]["imu"]}])[0]
    document = to_json(recipe.absolute())
    Embedder(EmbedPlan(document, document, str(tmp_path / "embed"), 1000)).write(0)
    embedded = pq.read_table(tmp_path / "embed").column("imu_spectrum.values")

    assert "probe/imu_spectrum/linear/100/accuracy" in metrics
    assert request[0].keys() == {"imu", "note"}
    np.testing.assert_allclose([answer["fused"] for answer in answers], fused, atol=1e-5)
    for name in trained.streams:
        np.testing.assert_allclose([a["embeddings"][name] for a in answers], values[name], atol=1e-5)  # type: ignore[index, call-overload]
    assert {name for name, found in alone["embeddings"].items() if found is not None} == {"imu", "imu_spectrum"}  # type: ignore[union-attr]
    np.testing.assert_allclose(embedded[int(idx[0])].as_py(), values["imu_spectrum"][0], atol=1e-5)
    with pytest.raises(DataError, match="no such stream"):
        model([{"imu_spectrum": request[0]["imu"]}])
    bundle = Bundle.model_validate_json((exported / "model.json").read_bytes())
    assert input_example(bundle)[0].keys() == {"imu", "note"}
