"""kindred export RUN onnx=true: graphs that give the stored features, and what is said where nothing can write them."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from jobs.assemble import open_dataset, source_of
from jobs.export import export
from jobs.finished_run import finished_run
from jobs.frozen import encode, encoders_of
from jobs.pretrained import pretrained_encoders
from pipeline.errors import EnvironmentFault
from tests.jobs.exported_run import Exported


@pytest.mark.slow
def test_graphs_give_the_features_that_the_probe_reads(exported: Exported, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs the optional extra `onnx`")
    run = Path(shutil.copytree(exported.run, tmp_path / "run"))

    made = export(str(run), [f"uri={exported.uri}", "onnx=true"])

    folder = Path(str(made["onnx"]))
    assert (made["version"], Path(str(made["path"])).name) == (exported.version, exported.path.name), "the same model"
    described = json.loads((folder / "onnx.json").read_text())["streams"]
    assert {path.name for path in folder.iterdir()} == {"onnx.json", *(f"{name}.onnx" for name in described)}
    assert set(described) == {"imu", "photo", "note"}
    recipe, trained = finished_run(str(run))
    dataset = open_dataset(source_of(recipe))
    encoders = encoders_of(recipe, dataset, pretrained_encoders(recipe, trained))
    for name, about in described.items():
        graph = folder / about["file"]
        assert hashlib.sha256(graph.read_bytes()).hexdigest() == about["sha256"]
        test = dataset.index.rows("test")
        idx = test[dataset.index.present(name)[test]]
        signal = dataset.reader.batch(idx, streams=[name]).signals[name]
        inputs = {"values": signal.values.numpy()}
        if "mask" in about["inputs"]:
            inputs["mask"] = np.ones(signal.values.shape, bool) if signal.mask is None else signal.mask.numpy()
        expected = encode(encoders, dataset, idx).values[name]
        (found,) = runtime.InferenceSession(graph).run(["features"], inputs)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_extra_is_asked_for_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "onnxscript", None)

    with pytest.raises(EnvironmentFault, match=r"ENV_MISSING_PACKAGE.*pip install 'kindred\[onnx\]'"):
        export("no-such-run", ["onnx=true"])
