"""verify, pretrain and probe on a data set behind a real HTTP server: the same result as from its folder."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.__main__ import main
from tests.pipeline.data.faulty_server import FaultyServer, serving

TINY = Path(__file__).parents[1] / "e2e" / "tiny.yaml"
SMALL = ["pretrain.epochs=1", "probe.draws=1", "probe.label_percents=[100]"]
Kindred = Callable[..., tuple[int, dict[str, object]]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(migrated, folder / 'mlflow.db')}")
        assert main(["ingest", str(TINY), "out=run"]) == 0
    (folder / "run" / "data").rename(folder / "ds")
    return folder / "ds"


@pytest.fixture
def server(data: Path) -> Iterator[FaultyServer]:
    with serving(data.parent) as running:
        yield running


@pytest.fixture
def kindred(
    tmp_path: Path, store_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Kindred:
    """Run a verb in a fresh folder; its exit code and JSON."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)

    def run(*arguments: str) -> tuple[int, dict[str, object]]:
        code = main([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def remote(server: FaultyServer, prefix: str = "data.") -> list[str]:
    return [f"{prefix}allowed_hosts=[127.0.0.1]", f"{prefix}cache=cache"]


def test_a_remote_data_set_trains_and_probes_to_the_same_numbers(
    kindred: Kindred, server: FaultyServer, data: Path
) -> None:
    results = []
    for out, where in (("near", [f"data.path={data}"]), ("far", [f"data.path={server.url}/ds", *remote(server)])):
        for verb in ("pretrain", "probe"):
            code, result = kindred(verb, str(TINY), f"out={out}", *where, *SMALL)
            assert code == 0, result
        metrics = result["metrics"]
        assert isinstance(metrics, dict)
        results.append(
            (result["state_hash"], {name: value for name, value in metrics.items() if name.startswith("probe/")})
        )

    assert results[0] == results[1]
    assert results[0][1]
    assert len([hit for hit in server.hits if "/shards/" in hit]) == len(list((data / "shards").iterdir()))


def test_verify_checks_a_url(kindred: Kindred, server: FaultyServer) -> None:
    code, result = kindred("verify", f"{server.url}/ds", *remote(server, ""))

    assert code == 0
    assert result["num_samples"]


@pytest.mark.parametrize("verb", ["pretrain", "probe", "run"])
def test_loopback_is_not_asked_unless_it_is_named(kindred: Kindred, server: FaultyServer, verb: str) -> None:
    code, result = kindred(verb, str(TINY), "out=run", f"data.path={server.url}/ds", "data.cache=cache")

    assert code in ({77} if verb == "pretrain" else {64, 73, 77}), result
    assert kindred("verify", f"{server.url}/ds")[0] == 77
    assert server.hits == []


@pytest.mark.parametrize(
    ("place", "code"), [("pipe:touch canary", 77), ("http://u:hunter2@h/x", 64), ("simplecache::s3://b", 77), ("-", 77)]
)
def test_what_is_no_place_runs_nothing_and_tells_no_secret(
    kindred: Kindred, tmp_path: Path, place: str, code: int
) -> None:
    for arguments in (("pretrain", str(TINY), "out=run", f"data.path='{place}'"), ("verify", place)):
        found, result = kindred(*arguments)
        assert found == code
        assert "hunter2" not in json.dumps(result)
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["a#b", "a?b=c", "a::b", "${X}", "name:with"])
def test_odd_names_are_local_folders(kindred: Kindred, data: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(data, target_is_directory=True)

    assert kindred("verify", name)[0] == 0


def test_ingest_does_not_write_to_a_url(kindred: Kindred, server: FaultyServer) -> None:
    code, result = kindred("ingest", str(TINY), "out=run", f"data.path={server.url}/ds", *remote(server))

    assert code == 64
    assert "written" in json.dumps(result)
    assert server.hits == []
