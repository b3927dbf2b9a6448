"""The exported model in this process: equal to training time for every subset of streams; nothing in it is pickled."""

import json
import re
import shutil
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel

from jobs._run_folder import RunFolder
from jobs.export import export
from jobs.model_folder import CARD
from jobs.served.bundle import ARTIFACT, MODEL_JSON, WEIGHTS, load_model
from pipeline.errors import CheckpointError
from tests.jobs.exported_run import Exported
from tests.served_requests import TrainingTime, subsets

LOCK = Path(__file__).parents[3] / "requirements.lock"


@pytest.fixture(scope="module")
def model(exported: Exported) -> PyFuncModel:
    return mlflow.pyfunc.load_model(str(exported.path))


@pytest.mark.parametrize("kept", subsets(["imu", "photo", "note"]), ids="-".join)
def test_it_gives_what_training_time_code_gives(
    model: PyFuncModel, training_time: TrainingTime, kept: tuple[str, ...]
) -> None:
    idx = training_time.whole[:3]
    values, fused = training_time.embeddings(idx, kept)
    shares = training_time.probabilities(idx, kept)
    asked = training_time.request(idx, kept)

    for answers, rows in ((model.predict(asked), slice(None)), (model.predict(asked[1:2]), slice(1, 2))):
        np.testing.assert_allclose([a["fused"] for a in answers], fused[rows], atol=1e-5)
        np.testing.assert_allclose([list(a["probabilities"].values()) for a in answers], shares[rows], atol=1e-5)
        for name, rows_of in values.items():
            found = [a["embeddings"][name] for a in answers]
            if name in kept:
                np.testing.assert_allclose(found, rows_of[rows], atol=1e-5)
            else:
                assert found == [None] * len(answers)
        assert [a["class"] for a in answers] == [max(a["probabilities"], key=a["probabilities"].get) for a in answers]


def test_its_probabilities_are_those_that_were_calibrated(exported: Exported) -> None:
    metrics = (RunFolder(exported.run).result("finetune") or {})["metrics"]
    head = json.loads((exported.path / "artifacts" / ARTIFACT / MODEL_JSON).read_text())["head"]

    assert head["temperature"] == metrics["finetune/100/temperature"]  # type: ignore[index, call-overload]
    assert abs(head["temperature"] - 1) > 0.01, "the comparison with training time would not notice it"
    after = 100 * metrics["finetune/100/ece_calibrated"]  # type: ignore[index, call-overload, operator]
    assert f"(temperature {head['temperature']:.3g})" in (exported.path / CARD).read_text()
    assert f"to {after:.1f} %" in (exported.path / CARD).read_text()


def test_samples_of_one_request_may_have_different_streams(model: PyFuncModel, training_time: TrainingTime) -> None:
    idx = training_time.whole[:2]
    first, second = training_time.request(idx[:1], ["imu"]), training_time.request(idx[1:], ["photo", "note"])

    together = model.predict([{**first[0], "photo": None}, *second])

    for answer, alone in zip(together, [*model.predict(first), *model.predict(second)], strict=True):
        np.testing.assert_allclose(answer["fused"], alone["fused"], atol=1e-5)


def test_the_folder_holds_code_tensors_and_json_only(exported: Exported) -> None:
    every = {p.relative_to(exported.path).as_posix() for p in exported.path.rglob("*") if p.is_file()}
    files = {p for p in every if "__pycache__" not in p}  # Python's, of a test that loaded the model from there

    assert {p.rpartition(".")[2] for p in files} <= {
        "py",
        "json",
        "safetensors",
        "yaml",
        "txt",
        "md",
        "html",
        "MLmodel",
    }
    assert {"artifacts/bundle/model.json", "artifacts/bundle/model.safetensors", CARD} <= files
    assert "artifacts/bundle/streams/note/tokenizer.json" in files
    assert {p for p in files if p.startswith("code/jobs/") and "/served/" not in p} == {"code/jobs/__init__.py"}


def test_it_needs_pinned_packages_and_neither_ray_nor_augmentations(exported: Exported) -> None:
    needed = (exported.path / "requirements.txt").read_text().splitlines()
    pinned = {line.lower() for line in LOCK.read_text().splitlines()}

    assert {re.split("==", line)[0] for line in needed} == {
        "mlflow", "torch", "numpy", "pydantic", "pyyaml", "safetensors", "tokenizers", "pillow", "simplejpeg",
        "transformers",
    }  # fmt: skip
    assert {line.lower() for line in needed} <= pinned


def test_the_input_example_is_answered_and_is_nobodys_data(exported: Exported, model: PyFuncModel) -> None:
    example = exported.path / "input_example.json"

    (sample,) = json.loads(example.read_text())
    assert model.predict([sample])[0]["class"] is not None
    assert len({value for row in sample["imu"]["values"] for value in row}) <= len(sample["imu"]["values"])


def test_a_refusal_names_sample_and_stream_and_not_the_data(model: PyFuncModel, training_time: TrainingTime) -> None:
    (good,) = training_time.request(training_time.whole[:1], ["imu"])
    imu = good["imu"]
    assert isinstance(imu, dict)
    wrong = {**imu, "values": [[123456.75e10, *row[1:]] for row in imu["values"]]}

    with pytest.raises(MlflowException) as refused:
        model.predict([good, {"imu": wrong}])

    assert refused.value.get_http_status_code() == 400
    message = refused.value.serialize_as_json()
    assert "DATA_RANGE" in message
    assert "sample 1" in message
    assert "imu" in message
    assert "123456" not in message


def test_a_second_export_of_the_same_content_is_the_same_version(exported: Exported) -> None:
    again = export(str(exported.run), [f"uri={exported.uri}", "alias=champion"])

    assert (again["version"], again["path"]) == (exported.version, str(exported.path))
    assert len(list((exported.run / "export").iterdir())) == 1


def test_another_version_of_the_code_and_damage_are_refused(exported: Exported, tmp_path: Path) -> None:
    for code, damage in (
        ("MODEL_CODE_VERSION", lambda f: _edit(f / MODEL_JSON, '"code_sha256": "', '"code_sha256": "0')),
        ("CKPT_DAMAGED", lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-4] + b"\0\0\0\1")),
        ("CKPT_DAMAGED", lambda f: (f / WEIGHTS).unlink()),
        ("CKPT_DAMAGED", lambda f: _edit(f / MODEL_JSON, '"format_version": 1', '"format_version": 2')),
    ):
        folder = shutil.copytree(exported.path / "artifacts" / ARTIFACT, tmp_path / "bundle")
        damage(folder)
        with pytest.raises(CheckpointError) as refused:
            load_model(folder)
        shutil.rmtree(folder)
        assert refused.value.code == code


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_head_that_there_is_not_and_other_weights_are_refused(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such fine-tuning"):
        export(str(exported.run), [f"uri={exported.uri}", "percent=10"])

    run = shutil.copytree(exported.run, tmp_path / "run")
    _edit(run / "finetune" / "result.json", '"trained": "', '"trained": "0')
    with pytest.raises(CheckpointError, match="not hold the weights that were scored"):
        export(str(run), [f"uri={exported.uri}"])
