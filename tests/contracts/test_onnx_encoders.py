"""Every encoder of every kind of stream as an ONNX graph, which gives what the encoder gives."""

from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.onnx_encoders import write_graph
from modalities.spec import Config, Signal
from tests.contracts.stream_examples import ENCODERS, encoder_of, present_of

pytest.importorskip("onnxscript", reason="needs the optional extra `onnx`")
runtime = pytest.importorskip("onnxruntime", reason="needs the optional extra `onnx`")


def arrays(signal: Signal) -> dict[str, np.ndarray]:
    """What a caller without torch would hand over."""
    values = {"values": signal.values.numpy()}
    if signal.values.dtype == torch.uint8:
        return values
    mask = torch.ones_like(signal.values, dtype=torch.bool) if signal.mask is None else signal.mask
    return {**values, "mask": mask.numpy()}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "config"), ENCODERS)
def test_a_graph_gives_the_features_of_its_encoder_for_any_batch(
    kind: str, config: type[Config], folders: dict[str, Path], tmp_path: Path
) -> None:
    encoder, signal = encoder_of(kind, config, folders).eval(), present_of(kind, folders)

    described = write_graph(encoder, signal.select(torch.arange(3)), tmp_path / "stream.onnx")

    session = runtime.InferenceSession(tmp_path / "stream.onnx")
    assert {each.name for each in session.get_inputs()} == set(arrays(signal)) == set(described["inputs"])  # pyright: ignore
    whole = torch.nonzero(torch.ones(len(signal)) if signal.mask is None else signal.mask.flatten(1).all(dim=1))[:, 0]
    for rows in (torch.arange(len(signal)), torch.tensor([4]), whole, torch.arange(len(signal)).repeat(5)):
        some = signal.select(rows)
        with torch.inference_mode():
            expected = encoder(some).pooled.numpy()
        (found,) = session.run(["features"], arrays(some))
        assert found.shape == (len(rows), described["features"])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
