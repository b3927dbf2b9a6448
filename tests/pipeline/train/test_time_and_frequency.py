"""A series and its spectrum as two streams of one sample (TF-C): exact resume, any number of workers."""

from pathlib import Path

import pytest
import torch

from modalities.sensor.codec import SensorSchema
from modalities.sensor.frequency import FrequencyPerturbation
from modalities.sensor.resnet import ResNet
from modalities.sensor.spectrum import Spectrum
from modalities.sensor.stream import SensorStream
from pipeline.objectives.cross import CrossModal
from pipeline.objectives.intra import IntraSample
from pipeline.objectives.spec import Projection
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.loop import Fit, FitResult, run_fit
from pipeline.train.named_objectives import name_objectives
from pipeline.train.optim import parameter_groups
from pipeline.train.pretraining import Pretraining
from pipeline.worker import GroupWorker, SingleWorker, Worker
from tests.pipeline.train.interrupted import interrupt
from tests.pipeline.train.test_loop import Recorded
from tests.pipeline.train.test_own_passes import CONFIG, SAMPLES, STEPS, read
from tests.ranks import run_ranks
from tests.toy_streams import InOrder

HEAD = Projection(hidden=16, dim=4)
NETWORK = ResNet(widths=(8, 8), strides=(2, 2), groups=4, features=12)
STREAMS = {
    "a": SensorStream(encoder=NETWORK),
    "b": SensorStream(of="a", augment=(FrequencyPerturbation(),), encoder=Spectrum(network=NETWORK)),
}


def make_fit(folder: Path, worker: Worker | None = None) -> Fit:
    torch.manual_seed(0)
    schema = SensorSchema(channels=("x", "y", "z"), rate_hz=50.0, max_steps=STEPS)
    statistics = {"mean": [0.0, 0.0, 1.0], "std": [1.0, 1.0, 2.0]}
    modalities = {name: stream.modality(schema, statistics) for name, stream in STREAMS.items()}
    objectives = [IntraSample(projection=HEAD, weight=0.4), CrossModal(projection=HEAD)]
    task = Pretraining(modalities, name_objectives(objectives, list(STREAMS)), seed=0)
    return Fit(
        task=task,
        order=InOrder(SAMPLES, CONFIG.batch_size),
        read=read,
        config=CONFIG,
        worker=worker or SingleWorker(),
        store=CheckpointStore(folder),
        run=Recorded(),  # type: ignore[arg-type]
        identity={},
        seed=0,
        groups=parameter_groups(task.module, CONFIG.optim),
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    torch.set_num_threads(1)
    return run_fit(make_fit(tmp_path_factory.mktemp("reference")))


def test_resume_ends_in_the_same_state(tmp_path: Path, uninterrupted: FitResult) -> None:
    interrupt(make_fit(tmp_path), after=2)

    assert run_fit(make_fit(tmp_path)).state_hash == uninterrupted.state_hash


def _train_rank(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    result = run_fit(make_fit(Path(folder) / "checkpoints", GroupWorker()))
    Path(folder, f"hash-{rank}").write_text(result.state_hash)
    torch.distributed.destroy_process_group()


def test_two_workers_end_in_the_same_bits(tmp_path: Path, uninterrupted: FitResult) -> None:
    run_ranks(_train_rank, 2, str(tmp_path), world=2)

    assert {(tmp_path / f"hash-{rank}").read_text() for rank in range(2)} == {uninterrupted.state_hash}
