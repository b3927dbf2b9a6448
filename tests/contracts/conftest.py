"""Fitted codecs and tiny pretrained weights, made once for all contracts of streams."""

from pathlib import Path

import pytest

from modalities.catalogue import codec_for
from tests.contracts.stream_examples import EXAMPLES


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What each kind's codec fitted, and a folder `weights` where the kind has pretrained encoders."""
    made = {}
    for kind, example in EXAMPLES.items():
        made[kind] = tmp_path_factory.mktemp(kind)
        codec = codec_for(example.schema)  # type: ignore[arg-type]
        for name, content in codec.fit([codec.encode(raw) for raw in example.raws]).items():
            (made[kind] / name).write_bytes(content)
        if example.weights is not None:
            example.weights(made[kind] / "weights")
    return made


@pytest.fixture(params=EXAMPLES)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param
