"""What every kind of stream gets for free by being in its union: exact storage, typed refusals, honest configs."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from modalities.catalogue import AnySchema, AnyStream, codec_for
from modalities.spec import Codec, Config, SignalError
from pipeline.config import walk_fields
from pipeline.strict_yaml import parse_yaml
from tests.contracts.stream_examples import (
    ENCODERS,
    EXAMPLES,
    STREAMS,
    TRANSFORMS,
    batch_of,
    codec_of,
    draws_for,
    members,
)
from tests.modalities.one_payload import decode_one


def test_every_kind_has_a_schema_a_stream_and_an_example() -> None:
    schemas = {str(schema.model_fields["kind"].default) for schema in members(AnySchema)}

    assert set(EXAMPLES) == set(STREAMS) == schemas


def test_codec_round_trip_is_exact(kind: str, folders: dict[str, Path]) -> None:
    codec = codec_of(kind, folders)
    for raw in EXAMPLES[kind].raws:
        payload = codec.encode(raw)
        decoded = decode_one(codec, payload)
        again = codec.encode(decoded if EXAMPLES[kind].delimited else payload)

        assert again == payload
        np.testing.assert_array_equal(decode_one(codec, again), decoded)


def test_every_cut_of_a_payload_raises_a_signal_error_and_nothing_else(kind: str, folders: dict[str, Path]) -> None:
    codec = codec_of(kind, folders)
    payload = codec.encode(EXAMPLES[kind].raws[1])
    refused = [length for length in range(len(payload)) if not _decodes(codec, payload[:length])]

    assert 0 in refused
    if EXAMPLES[kind].delimited:
        assert refused == list(range(len(payload)))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10_000), flipped=st.integers(1, 255), tail=st.binary(max_size=8))
def test_changed_bytes_raise_a_signal_error_or_decode(
    kind: str, folders: dict[str, Path], position: int, flipped: int, tail: bytes
) -> None:
    codec = codec_of(kind, folders)
    whole = codec.encode(EXAMPLES[kind].raws[0])
    payload = bytearray(whole)
    payload[position % len(payload)] ^= flipped
    damaged = bytes(payload) + tail

    if _decodes(codec, damaged):
        signal, expected = codec.decode([damaged]), codec.decode([whole])
        assert signal.values.shape == expected.values.shape
        assert signal.values.dtype == expected.values.dtype
        assert signal.present.tolist() == [True]


def _decodes(codec: Codec, payload: bytes) -> bool:
    try:
        codec.decode([None, payload])
    except SignalError as error:
        assert error.row == 1  # noqa: PT017 - both outcomes are fine
        assert error.code.startswith("DATA_")  # noqa: PT017
        return False
    return True


def test_decoding_marks_absent_samples_and_leaves_zeros(kind: str, folders: dict[str, Path]) -> None:
    signal = batch_of(kind, folders)

    assert signal.present.tolist() == [True, True, False, True, True, True, True]
    assert signal.values[2].abs().sum() == 0
    if signal.mask is not None:
        assert signal.mask.shape == signal.values.shape
        assert not signal.mask[2].any()
        assert signal.values[~signal.mask].abs().sum() == 0


def test_statistics_and_files_do_not_depend_on_when_they_are_made(kind: str, folders: dict[str, Path]) -> None:
    codec = codec_for(EXAMPLES[kind].schema)  # type: ignore[arg-type]
    payloads = [codec.encode(raw) for raw in EXAMPLES[kind].raws]

    assert codec.statistics(iter(payloads)) == codec.statistics(payloads)
    assert codec.fit(iter(payloads)) == codec.fit(payloads)


@pytest.mark.parametrize(("kind", "config", "document"), TRANSFORMS)
def test_transforms_survive_yaml_and_json(
    kind: str, config: type[Config], document: dict[str, object], folders: dict[str, Path]
) -> None:
    _check_survives(STREAMS[kind](augment=(config(**document),)), AnyStream)


@pytest.mark.parametrize(("kind", "config"), ENCODERS)
def test_encoder_configs_survive_yaml_and_json(kind: str, config: type[Config], folders: dict[str, Path]) -> None:
    required = {"name": "someone/model"} if "name" in config.model_fields else {}
    _check_survives(STREAMS[kind](encoder=config(**required)), AnyStream)
    _check_survives(EXAMPLES[kind].schema, AnySchema)


def _check_survives(config: Config, union: object) -> None:
    adapter: TypeAdapter[Config] = TypeAdapter(union)
    document = config.model_dump(mode="json")

    assert adapter.validate_json(config.model_dump_json()) == config
    assert adapter.validate_python(parse_yaml(yaml.safe_dump(document), source="test")) == config


def test_every_key_is_documented() -> None:
    silent = [
        f"{model.__name__}.{path}"
        for model in [*members(AnySchema), *members(AnyStream)]
        for path, info in walk_fields(model)
        if not info.description
    ]

    assert silent == []


def test_a_stream_builds_its_three_parts(kind: str, folders: dict[str, Path]) -> None:
    codec, signal = codec_of(kind, folders), batch_of(kind, folders)
    statistics = codec.statistics([codec.encode(raw) for raw in EXAMPLES[kind].raws])
    built = STREAMS[kind]().modality(EXAMPLES[kind].schema, statistics, folders[kind])  # type: ignore[attr-defined]
    view = built.augment(signal, draws_for(signal))

    assert type(built.codec) is type(codec)
    assert built.encoder(view.select(view.present.nonzero().squeeze(1))).pooled.shape == (6, built.encoder.width)
