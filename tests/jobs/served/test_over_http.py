"""The registered model behind `mlflow models serve`: equal to training time, and typed refusals that log no data."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.jobs.exported_run import Exported
from tests.served_process import Served, served
from tests.served_requests import Sample, TrainingTime, subsets

pytestmark = pytest.mark.slow
STREAMS = ["imu", "photo", "note"]
SECRET = "271828.18"  # in no message and in no log, whatever is wrong
Change = Callable[[Sample], object]


@pytest.fixture(scope="module")
def server(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served("models:/tiny@newest", uri=exported.uri, folder=tmp_path_factory.mktemp("serve")) as found:
        yield found


@pytest.mark.parametrize("kept", subsets(STREAMS), ids="-".join)
def test_answers_are_those_of_training_time(server: Served, training_time: TrainingTime, kept: tuple[str, ...]) -> None:
    assert_equal_to_training_time(server, training_time, kept)


def assert_equal_to_training_time(server: Served, training_time: TrainingTime, kept: tuple[str, ...]) -> None:
    """A batch of three and the first one alone."""
    idx = training_time.whole[:3]
    values, fused = training_time.embeddings(idx, kept)
    shares, asked = training_time.probabilities(idx, kept), training_time.request(idx, kept)
    for samples in (asked, asked[:1]):
        status, text = server.ask({"inputs": samples})
        assert status == 200, text
        answers, rows = json.loads(text)["predictions"], slice(len(samples))
        assert len(answers) == len(samples)
        np.testing.assert_allclose([a["fused"] for a in answers], fused[rows], atol=1e-5)
        np.testing.assert_allclose([list(a["probabilities"].values()) for a in answers], shares[rows], atol=1e-5)
        for name in kept:
            np.testing.assert_allclose([a["embeddings"][name] for a in answers], values[name][rows], atol=1e-5)


def imu(**change: object) -> Change:
    """The good sample with something else in its sensor stream, and a reading that must not be told."""

    def changed(sample: Sample) -> object:
        series = sample["imu"]
        assert isinstance(series, dict)
        secret = [[float(SECRET), *row[1:]] for row in series["values"]]
        return {"inputs": [{"imu": {**series, "values": secret, **change}}]}

    return changed


NAMES = ["acc_x", "acc_y", "acc_z", "gyr_x", "gyr_y", "gyr_z"]
BAD: dict[str, tuple[Change, str]] = {
    "rate": (imu(rate_hz=50), "DATA_RATE"),
    "unit": (imu(units=["m/s^2"] * 6), "DATA_UNIT"),
    "channel name": (imu(channels=[*NAMES[:5], "gyr_w"]), "DATA_CHANNELS"),
    "channel missing": (imu(channels=NAMES[:5]), "DATA_CHANNELS"),
    "channel rows": (imu(values=[[float(SECRET)]] * 5), "DATA_SHAPE"),
    "too long": (imu(values=[[float(SECRET)] * 101] * 6), "DATA_SHAPE"),
    "word for a number": (imu(values=[[SECRET]] * 6), "DATA_DTYPE"),
    "absurd": (imu(values=[[float(SECRET) * 1e9]] * 6), "DATA_RANGE"),
    "infinite": (imu(values=[[float("inf"), float(SECRET)]] * 6), "DATA_NONFINITE"),
    "unknown key": (imu(gain=SECRET), "DATA_REQUEST"),
    "all missing": (lambda sample: {"inputs": [{}, sample]}, "DATA_MISSING_MODALITY"),
    "all null": (lambda sample: {"inputs": [dict.fromkeys(STREAMS)]}, "DATA_MISSING_MODALITY"),
    "unknown stream": (lambda sample: {"inputs": [{**sample, "imo": SECRET}]}, "DATA_FIELD"),
    "no image": (lambda sample: {"inputs": [{"photo": "MjcxODI4LjE4"}]}, "DATA_IMAGE"),
    "no base64": (lambda sample: {"inputs": [{"photo": SECRET}]}, "DATA_ENCODING"),
    "no text": (lambda sample: {"inputs": [{"note": [SECRET]}]}, "DATA_DTYPE"),
    "long text": (lambda sample: {"inputs": [{"note": SECRET * 50}]}, "DATA_TOO_LARGE"),
    "empty text": (lambda sample: {"inputs": [{"note": " "}]}, "DATA_EMPTY_TEXT"),
    "too many samples": (lambda sample: {"inputs": [{"note": SECRET}] * 257}, "DATA_TOO_LARGE"),
    "no samples": (lambda sample: {"inputs": []}, "DATA_REQUEST"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_has_status_400_and_a_code(server: Served, training_time: TrainingTime, name: str) -> None:
    change, code = BAD[name]
    (sample,) = training_time.request(training_time.whole[:1], ["imu"])

    status, text = server.ask(change(sample))

    assert status == 400, text
    assert json.loads(text)["error"]["code"] == code
    assert "271828" not in text
    assert "271828" not in server.log.read_text()


@pytest.mark.parametrize(
    "body", [b'{"inputs": [{"note": "271828.18"', b"\xff271828.18", b"[271828.18]", b'{"input": [271828.18]}']
)
def test_what_mlflow_refuses_itself_is_not_logged_either(server: Served, body: bytes) -> None:
    status, _ = server.ask(body)

    assert 400 <= status < 500
    assert "271828" not in server.log.read_text()


MIB = 1 << 20
HUGE: dict[str, tuple[bytes, bytes, str]] = {
    "text": (b'{"inputs": [{"note": "', b'"}]}', "DATA_TOO_LARGE"),
    "image": (b'{"inputs": [{"photo": "', b'"}]}', "DATA_TOO_LARGE"),
    "stream name": (b'{"inputs": [{"', b'": 1}]}', "DATA_FIELD"),
}


@pytest.mark.parametrize("name", HUGE)
def test_64_mib_in_one_value_are_refused_and_not_sent_back(server: Served, name: str) -> None:
    before, after, code = HUGE[name]

    status, text = server.ask(before + b"A" * (64 * MIB) + after)

    assert status == 400
    assert json.loads(text)["error"]["code"] == code
    assert len(text) < 1000
    assert server.log.stat().st_size < MIB
    assert server.is_up()


def test_channels_in_another_order_are_put_right_by_name(server: Served, training_time: TrainingTime) -> None:
    (sample,) = training_time.request(training_time.whole[:1], ["imu"])
    series = sample["imu"]
    assert isinstance(series, dict)
    turned = {**series, "values": series["values"][::-1], "channels": series["channels"][::-1]}

    answers = [json.loads(server.ask({"inputs": [{"imu": each}]})[1])["predictions"] for each in (series, turned)]

    assert answers[0] == answers[1]


@pytest.mark.timeout(3600)
def test_an_environment_with_only_the_logged_packages_gives_the_same(
    exported: Exported, training_time: TrainingTime, tmp_path: Path
) -> None:
    clean = os.environ.get("KINDRED_CLEAN_ENVIRONMENT")  # one that was made before by the same requirements
    folder = tmp_path / "clean" if clean is None else Path(clean)
    if clean is None:
        venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    needed = str(exported.path / "requirements.txt")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", needed], check=True)
    outside = "import importlib.util as u, sys; sys.exit(any(u.find_spec(n) for n in ('ray', 'tsaug', 'kornia')))"
    assert subprocess.run([python, "-c", outside], cwd=tmp_path, check=False).returncode == 0
    assert python != sys.executable

    with served(str(exported.path), uri=exported.uri, folder=tmp_path, python=python) as server:
        for kept in subsets(STREAMS):
            assert_equal_to_training_time(server, training_time, kept)
