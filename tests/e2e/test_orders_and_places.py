"""Pretraining from a URL, on a mixture of data sets and on groups: the same bits with two Ray workers, and a proof."""

import itertools
from pathlib import Path

import pytest

from pipeline.data.index import load_index
from tests.e2e.conftest import kindred, result_of, verify_run
from tests.pipeline.data.faulty_server import serving

SHORT = ["pretrain.epochs=2", "objectives=[{kind: cross, projection: {hidden: 16, dim: 8}}]", "memory={}"]
GROUPS = "pretrain.order={kind: groups, column: session, samples_per_group: 8, steps_per_epoch: 3}"
MIXTURE = ["data.generate=null", "data.ingest=null", "pretrain.order={kind: mixture, steps_per_epoch: 3}"]


@pytest.mark.slow
@pytest.mark.ray
def test_two_ray_workers_train_from_a_url_and_fetch_every_shard_once(ingested: Path, tmp_path: Path) -> None:
    local = kindred("pretrain", "out=near", f"data.path={ingested}/data", *SHORT, folder=tmp_path)
    with serving(ingested) as server:
        where = [f"data.path={server.url}/data", "data.allowed_hosts=[127.0.0.1]", "data.cache=cache"]
        remote = kindred("pretrain", "out=far", "pretrain.workers=2", *where, *SHORT, folder=tmp_path)
        proof = verify_run("far", folder=tmp_path)
        asked = [path for path in server.hits if path.endswith(".tar")]

    assert remote.returncode == 0, remote.stderr
    assert result_of(remote)["state_hash"] == result_of(local)["state_hash"]
    assert asked, "nothing came from the server"
    assert len(asked) == len(set(asked))
    assert proof.returncode == 0, proof.stderr


@pytest.mark.slow
@pytest.mark.ray
def test_a_mixture_of_data_sets_ends_in_the_same_bits_on_ray_and_is_proved(ingested: Path, tmp_path: Path) -> None:
    tokenizer = f"data.ingest.schemas.note.tokenizer={ingested}/data/streams/note"  # a mixture shares fitted files
    for seed in (7, 8):
        done = kindred("ingest", f"out=part{seed}", f"data.generate.seed={seed}", tokenizer, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    parts = f"data.mix=[{{path: {tmp_path}/part7/data, weight: 3}}, {{path: {tmp_path}/part8/data}}]"

    runs = [
        kindred(
            "pretrain", f"out=run{workers}", f"pretrain.workers={workers}", *MIXTURE, parts, *SHORT, folder=tmp_path
        )
        for workers in (0, 2)
    ]

    assert [run.returncode for run in runs] == [0, 0], runs[-1].stderr
    assert result_of(runs[0])["state_hash"] == result_of(runs[1])["state_hash"]
    assert verify_run("run2", folder=tmp_path).returncode == 0


@pytest.mark.slow
def test_a_changed_edge_file_is_another_run(ingested: Path, tmp_path: Path) -> None:
    keys = load_index(ingested / "data").key[load_index(ingested / "data").rows("train")].tolist()
    links = tmp_path / "links.csv"
    links.write_text("source,target\n" + "".join(f"{a},{b}\n" for a, b in itertools.pairwise(keys)))
    objective = "objectives=[{kind: cross, projection: {hidden: 16, dim: 8}}, {kind: relational, relation: mine}]"
    given = [f"data.path={ingested}/data", "relations={mine: {kind: edges, path: links.csv}}", *SHORT, objective]
    order = "pretrain.order={kind: neighbours, relation: mine}"
    run = kindred("pretrain", "out=run", *given, order, folder=tmp_path)
    elsewhere = verify_run(str(tmp_path / "run"), folder=ingested)

    links.write_text(links.read_text() + f"{keys[0]},{keys[-1]}\n")
    again = kindred("pretrain", "out=run", *given, order, folder=tmp_path)

    assert run.returncode == 0, run.stderr
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert again.returncode == 64
    assert "edge_files.mine" in again.stderr
    assert "edge_files.mine" in verify_run("run", folder=tmp_path).stderr


def test_groups_are_trained_on_as_planned(ingested: Path, tmp_path: Path) -> None:
    run = kindred("pretrain", "out=run", GROUPS, f"data.path={ingested}/data", *SHORT, folder=tmp_path)

    assert run.returncode == 0, run.stderr
    assert verify_run("run", folder=tmp_path).returncode == 0
