import json
from pathlib import Path

import pytest
import torch

from pipeline.errors import CheckpointError, Preempted
from pipeline.train.checkpoint import read_checkpoint, state_hash
from pipeline.train.checkpoint_store import CheckpointStore


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    made = CheckpointStore(tmp_path / "checkpoints", keep=2)
    made.begin_attempt()
    return made


def parts(value: float) -> list[tuple[str, dict[str, torch.Tensor]]]:
    return [("model", {"weight": torch.full((3, 2), value)}), ("optimizer", {"0.step": torch.tensor(value)})]


def test_round_trip_is_exact(store: CheckpointStore) -> None:
    store.save(7, parts(1.25), {"position": {"step": 7}})

    found = store.newest()

    assert found is not None
    assert found.step == 7
    assert found.state == {"position": {"step": 7}}
    assert found.part("model")["weight"].equal(torch.full((3, 2), 1.25))


def test_nothing_saved_is_none(store: CheckpointStore) -> None:
    assert store.newest() is None


def test_pruning_keeps_the_newest_two(store: CheckpointStore) -> None:
    for step in (1, 2, 3, 10):
        store.save(step, parts(step), {})

    assert store.steps() == [3, 10]


@pytest.mark.parametrize("victim", ["model.safetensors", "optimizer.safetensors", "MANIFEST.json"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_damage_falls_back_to_the_previous_one(store: CheckpointStore, victim: str, damage: str) -> None:
    store.save(1, parts(1), {})
    path = store.save(2, parts(2), {}) / victim
    payload = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(payload[:-1])
    elif damage == "flip":
        payload[len(payload) // 2] ^= 4
        path.write_bytes(payload)
    else:
        path.unlink()

    found = store.newest()

    assert found is not None
    assert found.step == 1


def test_every_single_bit_flip_is_found(store: CheckpointStore) -> None:
    folder = store.save(1, parts(1), {"position": {"step": 1}})
    for path in folder.iterdir():
        original = path.read_bytes()
        for bit in range(0, len(original) * 8, 7):
            damaged = bytearray(original)
            damaged[bit // 8] ^= 1 << (bit % 8)
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError):
                read_checkpoint(folder)
        path.write_bytes(original)


def test_all_damaged_is_an_error_not_a_fresh_start(store: CheckpointStore) -> None:
    (store.save(1, parts(1), {}) / "MANIFEST.json").unlink()

    with pytest.raises(CheckpointError, match="CKPT_NONE_VALID"):
        store.newest()


def test_a_replay_replaces_a_damaged_checkpoint_of_the_same_step(store: CheckpointStore) -> None:
    (store.save(1, parts(1), {}) / "model.safetensors").write_bytes(b"")

    store.save(1, parts(5), {})

    found = store.newest()
    assert found is not None
    assert float(found.part("model")["weight"][0, 0]) == 5


def test_an_older_attempt_cannot_commit(store: CheckpointStore) -> None:
    CheckpointStore(store.folder).begin_attempt()

    with pytest.raises(Preempted, match="CKPT_FENCED"):
        store.save(3, parts(3), {})
    assert store.steps() == []


def test_manifest_swapped_from_another_checkpoint_is_refused(store: CheckpointStore) -> None:
    first, second = store.save(1, parts(1), {}), store.save(2, parts(2), {})
    (second / "MANIFEST.json").write_bytes((first / "MANIFEST.json").read_bytes())

    with pytest.raises(CheckpointError, match="hash"):
        read_checkpoint(second)


def test_a_manifest_cannot_name_files_elsewhere(store: CheckpointStore) -> None:
    folder = store.save(1, parts(1), {})
    body = json.loads((folder / "MANIFEST.json").read_text())
    body["files"]["../../etc/passwd"] = {"bytes": 1, "sha256": ""}
    (folder / "MANIFEST.json").write_text(json.dumps(body))

    with pytest.raises(CheckpointError):
        read_checkpoint(folder)


def test_state_hash_sees_values_names_shapes_and_position() -> None:
    base = state_hash(parts(1), {"step": 1})

    assert state_hash(parts(1), {"step": 1}) == base
    assert state_hash(parts(2), {"step": 1}) != base
    assert state_hash(parts(1), {"step": 2}) != base
    assert state_hash([("model", {"weight": torch.full((2, 3), 1.0)}), parts(1)[1]], {"step": 1}) != base
