"""A run that is resumed with another configuration or other data: refused by what differs, and nothing is touched."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from jobs.__main__ import main
from jobs._run_folder import RunFolder, write_json
from jobs._trained_shards import shards_of
from jobs.configs import Recipe
from jobs.stages import STAGES
from pipeline.config import load_config
from pipeline.data.manifest import Manifest, load_manifest
from pipeline.errors import CheckpointError, ConfigError
from pipeline.train.checkpoint_store import CheckpointStore

TINY = Path(__file__).parents[2] / "tests" / "e2e" / "tiny.yaml"
SHORT = [
    "pretrain.epochs=1",
    "objectives=[{kind: cross, projection: {hidden: 16, dim: 8}}]",
    "memory={}",
    "relations={}",
    "data.ingest.shard_mib=0.05",
]


def _train(folder: Path, *changes: str, verb: str = "pretrain") -> int:
    return main([verb, str(TINY), f"out={folder}/run", *SHORT, *changes])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with an ingested data set and a finished pretraining, in `run`."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        assert _train(folder, verb="ingest") == 0
        assert _train(folder) == 0
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path, store_uri: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it that ended before its result was written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    shutil.copytree(trained / "run", tmp_path / "run")
    (tmp_path / "run" / "pretrain" / "result.json").unlink()
    return tmp_path


def _claim(folder: Path, *changes: str) -> None:
    """What the command line asks of a run folder before it trains."""
    recipe, run = load_config(Recipe, TINY, [f"out={folder}/run", *SHORT, *changes]), RunFolder(folder / "run")
    run.claim("pretrain", STAGES["pretrain"].identity(recipe, run))


def _digest(folder: Path) -> dict[str, str]:
    """Every file of the pretraining; the lock and the record of the failure lie beside it."""
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in (folder / "pretrain").rglob("*") if p.is_file()}


def _state(folder: Path) -> dict[str, str]:
    newest = CheckpointStore(folder / "run" / "pretrain" / "checkpoints").newest()
    assert newest is not None
    return newest.files


@pytest.mark.fault("P19")
@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("pretrain.optim.learning_rate=0.5", "pretrain.optim.learning_rate: 0.001 -> 0.5"),
        ("pretrain.batch_size=32", "pretrain.batch_size: 16 -> 32"),
        ("seed=7", "seed: 0 -> 7"),
        ("streams.photo.augment=[]", "streams.photo.augment"),
        ("pretrain.threads=2", "pretrain.threads: 1 -> 2"),
        ("pretrain.precision=bfloat16", 'pretrain.precision: "float32" -> "bfloat16"'),
    ],
)
def test_what_makes_a_run_is_refused_with_its_difference(copied: Path, change: str, difference: str) -> None:
    before = _digest(copied / "run")

    with pytest.raises(ConfigError) as caught:
        _claim(copied, change)

    assert (caught.value.code, caught.value.exit_code) == ("RESUME_CONFIG", 64)
    assert difference in caught.value.message
    assert "--fork NAME" in caught.value.fix
    assert _digest(copied / "run") == before


@pytest.mark.slow
@pytest.mark.fault("P19")
def test_what_does_not_make_a_run_may_change(trained: Path, copied: Path) -> None:
    changes = ["log_every=3", "checkpoint_every=7", "monitor_every=9", "readers=2", "read_ahead_mib=64"]

    assert _train(copied, "description=Another text.", *[f"pretrain.{change}" for change in changes]) == 0

    result = json.loads((copied / "run" / "result.json").read_text())
    assert result["state_hash"] == json.loads((trained / "run" / "result.json").read_text())["state_hash"]
    assert result["stages"]["pretrain"]["bitwise"] is True


def _rewrite(folder: Path, manifest: Manifest) -> None:
    (folder / "run" / "data" / "manifest.json").write_text(manifest.to_text())


@pytest.mark.fault("P20")
@pytest.mark.parametrize("kind", ["added", "removed", "changed"])
def test_other_shards_are_refused_by_name(copied: Path, kind: str) -> None:
    manifest = load_manifest(copied / "run" / "data")
    assert len(manifest.shards) >= 3
    first, *rest = manifest.shards
    shards = {
        "added": (*manifest.shards, first.model_copy(update={"name": "shard-00777.tar"})),
        "removed": tuple(rest),
        "changed": (first.model_copy(update={"sha256": "0" * 64}), *rest),
    }[kind]
    _rewrite(copied, manifest.model_copy(update={"shards": shards}))
    name, before = "shard-00777.tar" if kind == "added" else first.name, _digest(copied / "run")

    with pytest.raises(CheckpointError) as caught:
        _claim(copied)

    assert (caught.value.code, caught.value.exit_code) == ("RESUME_DATA", 66)
    assert caught.value.message.endswith(f"another data set: {kind} {name}")
    assert "--fork NAME" in caught.value.fix
    assert _digest(copied / "run") == before


@pytest.mark.slow
@pytest.mark.fault("P20")
def test_the_order_of_the_shards_is_signed_and_that_of_the_folder_does_not_matter(trained: Path, copied: Path) -> None:
    shards = copied / "run" / "data" / "shards"
    for path in sorted(shards.iterdir(), reverse=True):  # another order in the directory
        payload = path.read_bytes()
        path.unlink()
        path.write_bytes(payload)
    assert _train(copied) == 0
    assert _state(copied) == _state(trained)

    document = json.loads((copied / "run" / "data" / "manifest.json").read_text())
    document["shards"].reverse()
    write_json(copied / "run" / "data" / "manifest.json", document)
    (copied / "run" / "pretrain" / "result.json").unlink()

    assert _train(copied) == 65


@pytest.mark.slow
@pytest.mark.fault("P20")
def test_a_fork_trains_on_the_other_data(copied: Path) -> None:
    assert main(["ingest", str(TINY), f"out={copied}/other", "data.generate.seed=9"]) == 0
    elsewhere = f"data.path={copied}/other/data"
    manifest = load_manifest(copied / "other" / "data")

    assert _train(copied, elsewhere) == 66
    assert main(["pretrain", str(TINY), f"out={copied}/run", *SHORT, elsewhere, "--fork", "b"]) == 0

    assert json.loads((copied / "run-b" / "pretrain" / "shards.json").read_text()) == shards_of([manifest])


@pytest.mark.fault("N13")
def test_an_operation_that_is_not_deterministic_does_not_run_in_exact_training(trained: Path) -> None:
    assert (trained / "run" / "pretrain" / "result.json").exists()

    with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))


def test_a_refused_command_leaves_the_record_of_the_run_as_it_was(copied: Path) -> None:
    run = copied / "run"
    kept = {path: path.read_bytes() for path in [run / "result.json", *(run / "tracking").rglob("*.jsonl")]}
    assert len(kept) > 2
    assert _train(copied, "pretrain.optim.learning_rate=0.5") == 64
    assert {path: path.read_bytes() for path in kept} == kept
