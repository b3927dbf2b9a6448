"""What a run lacks is named before its first step, all of it at once."""

import resource
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from jobs import preflight as module
from jobs.assemble import Dataset, build_modalities, build_pretraining, open_dataset
from jobs.configs import Recipe
from jobs.preflight import available_memory, estimate, preflight
from pipeline.errors import Problems
from pipeline.train.task import Task
from tests.faults.tiny_dataset import write_dataset

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preflight")
    write_dataset(folder / "raw", folder / "data")
    return folder / "data"


@pytest.fixture
def recipe(whole: Path) -> Recipe:
    document = {
        "name": "tiny",
        "data": {"path": str(whole)},
        "streams": {
            "imu": {
                "kind": "sensor",
                "augment": [],
                "encoder": {"kind": "resnet", "widths": [8], "strides": [2], "features": 12},
            }
        },
        "objectives": [{"kind": "intra"}],
        "pretrain": {"batch_size": 8, "workers": 2},
    }
    return TypeAdapter(Recipe).validate_python(document)


@pytest.fixture
def parts(recipe: Recipe, whole: Path) -> tuple[Task, Dataset]:
    dataset = open_dataset(whole)
    return build_pretraining(recipe, build_modalities(recipe, dataset, seed=0)), dataset


def _codes(problems: Problems) -> list[str]:
    return [problem.code for problem in problems.problems]


def test_a_whole_data_set_and_a_free_machine_pass(parts: tuple[Task, Dataset], recipe: Recipe, tmp_path: Path) -> None:
    needs = preflight(*parts, recipe.pretrain, tmp_path / "run")

    weights = sum(4 * p.numel() for p in parts[0].module.parameters())
    assert needs.checkpoint == 3 * weights
    assert needs.memory < available_memory()


@pytest.mark.fault("D01")
def test_missing_and_cut_shards_are_named_together_with_an_unusable_run_folder(
    parts: tuple[Task, Dataset], recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "data"
    shutil.copytree(whole, copied)
    dataset = open_dataset(copied)
    first, second = (entry.name for entry in dataset.manifest.shards[:2])
    (copied / "shards" / first).unlink()
    (copied / "shards" / second).write_bytes(b"short")
    (tmp_path / "file").write_text("")

    with pytest.raises(Problems) as caught:
        preflight(parts[0], dataset, recipe.pretrain, tmp_path / "file")

    assert _codes(caught.value) == ["DATA_CHANGED", "DATA_TRUNCATED", "OUT_READONLY"]
    assert [problem.shard for problem in caught.value.problems] == [first, second, None]


@pytest.mark.fault("C04", "C10")
def test_a_full_disk_and_a_small_shared_memory_are_reported_with_their_sizes(
    parts: tuple[Task, Dataset], recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 30, 0, 8 << 10))

    with pytest.raises(Problems) as caught:
        preflight(*parts, recipe.pretrain, tmp_path / "run")

    assert _codes(caught.value) == ["IO_NO_SPACE", "ENV_SHM"]
    assert "--shm-size" in caught.value.problems[1].fix


@pytest.mark.fault("C12")
def test_too_few_descriptors_are_reported_with_the_command_that_helps(
    parts: tuple[Task, Dataset], recipe: Recipe, tmp_path: Path
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    try:
        with pytest.raises(Problems) as caught:
            preflight(*parts, recipe.pretrain, tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    (problem,) = caught.value.problems
    assert (problem.code, problem.got, problem.exit_code) == ("IO_DESCRIPTORS", 64, 74)
    assert problem.fix.startswith("ulimit -n ")


def test_a_run_in_process_needs_no_shared_memory(
    parts: tuple[Task, Dataset], recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHARED_MEMORY", tmp_path / "absent")

    alone = recipe.pretrain.model_copy(update={"workers": 0})

    assert preflight(*parts, alone, tmp_path / "run") == estimate(*parts, alone)
    with pytest.raises(FileNotFoundError, match="absent"):
        preflight(*parts, recipe.pretrain, tmp_path / "run")


@pytest.mark.fault("P14")
@pytest.mark.parametrize("limit_mib", [None, 300])
def test_too_little_memory_is_reported_with_need_have_and_the_keys_to_lower(
    parts: tuple[Task, Dataset], recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit_mib: int | None
) -> None:
    config = recipe.pretrain.model_copy(update={"batch_size": 1 << 40} if limit_mib is None else {})
    if limit_mib is not None:  # what a container with so much shows there
        (tmp_path / "memory.max").write_text(f"{limit_mib << 20}\n")
        monkeypatch.setattr(module, "_CGROUP_LIMITS", (tmp_path / "memory.max",))

    with pytest.raises(Problems) as caught:
        preflight(*parts, config, tmp_path / "run")

    (problem,) = caught.value.problems
    need = estimate(*parts, config).memory
    assert (problem.code, problem.exit_code) == ("ENV_MEMORY", 71)
    assert problem.expected == f">= {-(-need // (1 << 20))} MiB"
    assert limit_mib is None or problem.got == f"{limit_mib} MiB"
    assert "pretrain.batch_size" in problem.fix
    assert "pretrain.workers" in problem.fix


@pytest.mark.fault("P14")
def test_the_estimate_grows_with_workers_and_batch(parts: tuple[Task, Dataset], recipe: Recipe) -> None:
    small = estimate(*parts, recipe.pretrain)

    for change in ({"workers": 4}, {"batch_size": 512}):
        assert estimate(*parts, recipe.pretrain.model_copy(update=change)).memory > small.memory
