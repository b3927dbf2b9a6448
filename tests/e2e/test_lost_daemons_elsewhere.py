"""The raylet or the control store is killed under an ingest, embeddings or a sweep: it says so, nothing half-written
counts, and the same command, typed again at once, ends like one that nothing disturbed."""

import contextlib
import json
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml

from tests.e2e.conftest import RECIPE, ended, kindred, result_of, start, wait_until
from tests.faults.chaos_faults import Job
from tests.pipeline.data.folder_digest import digest

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]
killed_daemons = pytest.mark.parametrize("killed", ["raylet/raylet", "gcs_server"])
MANY = ["data.generate.num_subjects=12", "data.generate.sessions_per_subject=4", "data.ingest.unit_records=4"]
HEADS = {"linear": [], "cosface": ["finetune.head={kind: cosface}"]}


def ended_well(verb: str, *given: str, folder: Path, recipe: Path = RECIPE) -> dict[str, object]:
    done = kindred(verb, *given, folder=folder, recipe=recipe)
    assert done.returncode == 0, done.stderr
    return result_of(done)


def lose(
    killed: str, verb: str, *given: str, folder: Path, ready: Callable[[Job], bool], recipe: Path = RECIPE
) -> list[psutil.Process]:
    """Start a command and kill a daemon of its Ray as soon as `ready`; what ran below it then, and may end a little
    later than it."""
    process = start(verb, *given, folder=folder, recipe=recipe)
    driver = psutil.Process(process.pid)
    job = Job(driver, folder, folder / "mlflow.db", random.Random(0))
    wait_until(process, lambda: ready(job))
    below = driver.children(recursive=True)
    assert job.send(signal.SIGKILL, killed)
    done = ended(process)

    assert done.returncode == 75, done.stderr
    assert "RAY_LOST" in done.stderr
    assert "Traceback" not in done.stderr
    return below


def assert_ended(processes: list[psutil.Process]) -> None:
    _, left = psutil.wait_procs(processes, timeout=30)

    assert [process.cmdline() for process in left] == []


@pytest.mark.fault("P05")
@killed_daemons
def test_an_ingest_that_loses_a_daemon_says_so_and_goes_on(tmp_path: Path, killed: str) -> None:
    (tmp_path / "whole").mkdir()
    ended_well("ingest", "out=run", *MANY, folder=tmp_path / "whole")
    given = ["out=run", *MANY, "data.workers=2"]

    below = lose(killed, "ingest", *given, folder=tmp_path, ready=lambda job: bool(job.children("ray::_write")))

    ended_well("ingest", *given, folder=tmp_path)
    assert digest(tmp_path / "run/data") == digest(tmp_path / "whole/run/data")
    assert_ended(below)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with encoders for enough samples to lose a daemon amid them."""
    folder = tmp_path_factory.mktemp("trained")
    for verb in ("ingest", "pretrain"):
        ended_well(verb, "out=run", "pretrain.epochs=1", *MANY, folder=folder)
    return folder / "run"


def embeddings(out: Path) -> dict[str, str]:
    """All that is there but who held the lock last."""
    return {name: found for name, found in digest(out).items() if name != "LOCK"}


@pytest.fixture(scope="module")
def whole_embeddings(trained: Path) -> dict[str, str]:
    ended_well("embed", f"out={trained.parent}/embed", "rows=1", folder=trained.parent, recipe=trained)
    return embeddings(trained.parent / "embed")


@killed_daemons
def test_embeddings_that_lose_a_daemon_say_so_and_go_on(
    trained: Path, whole_embeddings: dict[str, str], tmp_path: Path, killed: str
) -> None:
    out, given = tmp_path / "embed", [f"out={tmp_path}/embed", "rows=1"]

    below = lose(
        killed, "embed", *given, folder=tmp_path, recipe=trained, ready=lambda job: any(out.glob("part-*.parquet"))
    )

    done = {name: found for name, found in embeddings(out).items() if name.startswith("part-")}
    assert done.items() < whole_embeddings.items()
    assert not (out / "result.json").exists()
    ended_well("embed", *given, folder=tmp_path, recipe=trained)
    assert embeddings(out) == whole_embeddings
    assert_ended(below)


def sweep_of(trained: Path, folder: Path) -> Path:
    """The file of a study of fine-tuning heads, two runs at once."""
    given = [f"data={{path: {trained}/data}}", f"pretrained={trained}", "finetune.epochs=10", "relations={}"]
    control = "finetune.supervised_control=false"
    document = {"recipe": str(RECIPE), "overrides": [*given, control], "stages": ["finetune"], "seeds": [0]}
    document |= {"name": "heads", "variants": HEADS, "at_once": 2, "out": "out"}
    (folder / "study.yaml").write_text(yaml.safe_dump(document))
    return folder / "study.yaml"


def sweep_result(folder: Path) -> tuple[object, ...]:
    """Table, weights, and the MLflow runs by name and end."""
    found = json.loads((folder / "out/study.json").read_text())
    weights = {
        path.parts[-3]: json.loads(path.read_text())["weights"] for path in folder.glob("out/*/finetune/result.json")
    }
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        runs = Counter(database.execute("select name, status from runs").fetchall())
    return found["rows"], found["differences"], weights, runs


@pytest.fixture(scope="module")
def whole_sweep(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    folder = tmp_path_factory.mktemp("sweep")
    ended_well("study", folder=folder, recipe=sweep_of(trained, folder))
    return sweep_result(folder)


@killed_daemons
def test_a_sweep_that_loses_a_daemon_says_so_and_goes_on(
    trained: Path, whole_sweep: tuple[object, ...], tmp_path: Path, killed: str
) -> None:
    study = sweep_of(trained, tmp_path)

    below = lose(
        killed, "study", folder=tmp_path, recipe=study, ready=lambda job: any(tmp_path.glob("out/*/finetune/**/step-*"))
    )

    assert not (tmp_path / "out/study.json").exists()
    ended_well("study", folder=tmp_path, recipe=study)
    assert sweep_result(tmp_path) == whole_sweep
    assert_ended(below)
