"""Labels, centroids, draws and checkpoints do not depend on the number of workers: real gloo processes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.errors import TrainingHealthError
from pipeline.memory.config import ClustersConfig
from pipeline.memory.memory import Memory
from pipeline.train.checkpoint import state_hash
from pipeline.worker import GroupWorker, SingleWorker, Worker
from tests.pipeline.memory.toy_memory import CONFIG, batch_of, make_memory, parts_of, run_steps, same_bits
from tests.ranks import run_ranks

FIRST, SECOND = range(22), range(22, 40)
OFFLINE = CONFIG.model_copy(
    update={"clusters": ClustersConfig(num=(12, 40), update="offline", iterations=5), "dtype": "float32"}
)
CONFIGS = {"online": CONFIG, "offline": OFFLINE}
KINDS, WORLDS = list(CONFIGS), [2, 3]


def _save(memory: Memory, folder: Path, *, write: bool) -> str:
    """Write the parts where this worker does, and hash them on all."""
    parts = parts_of(memory)
    if write:
        folder.mkdir()
        for name, tensors in parts.items():
            save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / f"{name}.safetensors")
    return state_hash(parts.items(), {})


def _load(memory: Memory, folder: Path) -> None:
    def part(name: str) -> dict[str, Tensor]:
        return load_file(folder / f"{name}.safetensors")

    memory.load(part)


def _first_half(worker: Worker, kind: str, half: Path) -> str:
    """Digests of what 22 steps mined and of the state they leave in the folder `half`."""
    memory = make_memory(worker, CONFIGS[kind])
    return f"{run_steps(memory, FIRST)} {_save(memory, half, write=worker.rank == 0)}"


def _second_half(worker: Worker, kind: str, half: Path) -> str:
    """The same of 18 steps more, by a fresh memory that has read the folder `half`."""
    memory = make_memory(worker, CONFIGS[kind])
    _load(memory, half)
    return f"{run_steps(memory, SECOND)} {state_hash(parts_of(memory).items(), {})}"


def _with_a_stream_that_nobody_has(worker: Worker) -> str:
    memory = make_memory(worker)
    for step in range(2):
        idx, rows, present = batch_of(step)
        present["b"][:] = False
        memory.after_step(idx, rows, present, step=step, epoch_ended=True)
    return state_hash(parts_of(memory).items(), {})


PERTURBED = {"labels": "centroids", "means": "pseudo-labels", "sums": "centroids", "times": "times of writing"}
"""What changes on the last worker -> what all of them say they differ in."""


def _after_a_bit_flip(worker: Worker, what: str) -> str:
    """What a worker says at the next comparison once the last one has changed what it keeps."""
    memory = make_memory(worker)
    run_steps(memory, range(16))
    space = memory.spaces["a"]
    assignment = space.granularities[0].assignment
    assert assignment is not None
    if worker.rank == worker.world - 1:
        if what == "labels":
            assignment.labels[:] = (assignment.labels + 1) % 12
        elif what == "times":
            space.bank.step_written[5] ^= 1
        elif what == "means":
            assignment.centroids.means = assignment.centroids.means.roll(1, dims=0)
        else:
            assignment.centroids.sums[3, 2] ^= 1
    try:
        run_steps(memory, range(16, 20))
    except TrainingHealthError as error:
        return str(error)
    return "agreed"


def _on_rank(rank: int, folder: str, alone: str) -> None:
    """Everything for 2 and then for 3 workers: starting processes takes longer than what they do here."""
    torch.set_num_threads(1)
    for world in WORLDS:
        if rank >= world:
            continue
        here = Path(folder, str(world))
        meeting = f"file://{folder}/rendezvous-{world}"
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
        worker = GroupWorker()
        found = {"absent": _with_a_stream_that_nobody_has(worker)}
        found |= {f"flip-{what}": _after_a_bit_flip(worker, what) for what in PERTURBED}
        for kind in KINDS:
            found[f"{kind}-first"] = _first_half(worker, kind, here / f"half-{kind}")
            found[f"{kind}-resumed"] = _second_half(worker, kind, Path(alone, f"half-{kind}"))
        for name, result in found.items():
            (here / f"{name}-{rank}").write_text(result)
        torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], Path]:
    """Results of one worker, and its folder."""
    torch.set_num_threads(1)
    folder, worker = tmp_path_factory.mktemp("alone"), SingleWorker()
    found = {"absent": _with_a_stream_that_nobody_has(worker)}
    for kind in KINDS:
        found[f"{kind}-first"] = _first_half(worker, kind, folder / f"half-{kind}")
        found[f"{kind}-resumed"] = _second_half(worker, kind, folder / f"half-{kind}")
    return found, folder


@pytest.fixture(scope="module")
def together(alone: tuple[dict[str, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a folder of results for each number of workers."""
    folder = tmp_path_factory.mktemp("together")
    for world in WORLDS:
        (folder / str(world)).mkdir()
    run_ranks(_on_rank, str(folder), str(alone[1]), world=max(WORLDS))
    return folder


def _results(folder: Path, world: int, name: str) -> list[str]:
    return [(folder / str(world) / f"{name}-{rank}").read_text() for rank in range(world)]


@pytest.mark.fault("N05")
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_and_loaded_memory_goes_on_as_if_nothing_had_happened(
    alone: tuple[dict[str, str], Path], kind: str
) -> None:
    memory = make_memory(config=CONFIGS[kind])
    run_steps(memory, FIRST)

    assert alone[0][f"{kind}-resumed"] == f"{run_steps(memory, SECOND)} {state_hash(parts_of(memory).items(), {})}"
    assert memory.active


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_round_trip_bitwise(alone: tuple[dict[str, str], Path], kind: str) -> None:
    memory, again = make_memory(config=CONFIGS[kind]), make_memory(config=CONFIGS[kind])
    _load(memory, alone[1] / f"half-{kind}")
    again.load(parts_of(memory).__getitem__)

    assert same_bits(parts_of(memory), parts_of(again))
    assert again.diagnostics() == memory.diagnostics()


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", [f"{kind}-first" for kind in KINDS])
@pytest.mark.fault("P07")
def test_any_number_of_workers_has_the_same_labels_draws_and_checkpoint(
    alone: tuple[dict[str, str], Path], together: Path, world: int, name: str
) -> None:
    assert _results(together, world, name) == [alone[0][name]] * world


@pytest.mark.fault("N05")
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", [f"{kind}-resumed" for kind in KINDS])
@pytest.mark.fault("C14")
def test_the_checkpoint_of_one_worker_goes_on_at_another_number(
    alone: tuple[dict[str, str], Path], together: Path, world: int, name: str
) -> None:
    assert _results(together, world, name) == [alone[0][name]] * world


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.fault("C14")
def test_the_checkpoint_of_several_workers_goes_on_with_one(
    alone: tuple[dict[str, str], Path], together: Path, world: int, kind: str
) -> None:
    half = together / str(world) / f"half-{kind}"

    assert _second_half(SingleWorker(), kind, half) == alone[0][f"{kind}-resumed"]


@pytest.mark.parametrize("world", WORLDS)
def test_a_stream_that_nobody_has_is_no_trouble_for_several_workers(
    alone: tuple[dict[str, str], Path], together: Path, world: int
) -> None:
    assert _results(together, world, "absent") == [alone[0]["absent"]] * world


@pytest.mark.fault("N05", "P11")
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("what", PERTURBED)
def test_a_worker_whose_memory_has_changed_stops_all(together: Path, world: int, what: str) -> None:
    said = _results(together, world, f"flip-{what}")

    assert len(said) == world
    assert all(f"RANK_DESYNC: workers have different {PERTURBED[what]} at step" in each for each in said)
