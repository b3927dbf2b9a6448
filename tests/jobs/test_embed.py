"""kindred embed: the features of the probe in Parquet; whole files are kept, a folder of another run is refused."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs import embed as command
from jobs.embed import embed
from jobs.embedder import Embedder, EmbedPlan
from jobs.finished_run import finished_run
from pipeline.config import to_json
from pipeline.errors import ConfigError, DataError, OutputError, Problems
from pipeline.evaluate.features import read_features
from pipeline.evaluate.fusion import fuse
from tests.served_requests import TrainingTime


def plan_of(run: Path, out: Path, *, rows: int) -> EmbedPlan:
    document = to_json(finished_run(str(run))[0].absolute())
    return EmbedPlan(document, document, str(out), rows)


def check(out: Path, training_time: TrainingTime, *, encoder_hash: str) -> None:
    """Every sample once, with the numbers of the probe."""
    files = sorted(out.glob("part-*.parquet"))
    tables = [read_features(path, encoder_hash=encoder_hash) for path in files]
    expected = training_time.table
    fused = fuse(expected, training_time.streams, train=training_time.dataset.index.rows("train"))
    more = pq.read_table(files, columns=["key", "fused"])

    np.testing.assert_array_equal(np.concatenate([t.idx for t in tables]), expected.idx)
    for name in training_time.streams:
        np.testing.assert_array_equal(np.concatenate([t.present[name] for t in tables]), expected.present[name])
        np.testing.assert_allclose(np.concatenate([t.values[name] for t in tables]), expected.values[name], atol=1e-6)
    np.testing.assert_allclose(np.stack(more["fused"].to_numpy()), fused, atol=1e-4)
    assert more["key"].to_pylist() == training_time.dataset.index.key.tolist()


def test_files_together_are_the_probes_features(
    exported_run: Path, training_time: TrainingTime, tmp_path: Path
) -> None:
    embedder = Embedder(plan_of(exported_run, tmp_path, rows=30))

    written = [embedder.write(start) for start in embedder.starts()]

    assert written == [30, 30, 12]
    check(tmp_path, training_time, encoder_hash=embedder.hash)


def test_a_folder_of_something_else_is_refused(exported_run: Path, tmp_path: Path) -> None:
    (tmp_path / command.IDENTITY).write_text('{"encoders_and_data": "another", "rows": 4096}')

    with pytest.raises(OutputError, match="encoders_and_data"):
        embed(str(exported_run), [f"out={tmp_path}"])


def test_what_names_no_run_or_no_data_set_is_refused(exported_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a recipe nor a run"):
        embed(str(tmp_path / "none"))
    with pytest.raises(DataError, match="no data set"):
        embed(str(exported_run), [f"dataset={tmp_path}", f"out={tmp_path}/out"])
    with pytest.raises(Problems, match="did you mean 'workers'"):
        embed(str(exported_run), ["worker=3"])


@pytest.mark.slow
@pytest.mark.ray
def test_ray_data_writes_what_is_missing(exported_run: Path, training_time: TrainingTime, tmp_path: Path) -> None:
    embedder = Embedder(plan_of(exported_run, tmp_path, rows=30))
    embedder.write(30)
    kept = embedder.plan.part(30).stat().st_mtime_ns

    found = embed(str(exported_run), [f"out={tmp_path}", "rows=30", "workers=2"])

    assert (found["num_samples"], found["files"]) == (72, 3)
    assert embedder.plan.part(30).stat().st_mtime_ns == kept
    check(tmp_path, training_time, encoder_hash=embedder.hash)
