"""Sources and schemas must speak of the same streams, and of the same channels in the same order."""

from collections.abc import Mapping

from pydantic import JsonValue

from pipeline.data.description import Description
from pipeline.data.series import SeriesSource
from pipeline.errors import ConfigError, KindredError, Problems


def check_schemas(description: Description, schemas: Mapping[str, Mapping[str, JsonValue]]) -> None:
    """Raises Problems for streams without schema or the reverse, and for series whose channels or rate differ.

    Channels and rate are compared where a schema states them: a swapped pair of names would go unnoticed for ever.
    """
    sources, known = sorted(description.streams), sorted(schemas)
    problems: list[KindredError] = [
        _mismatch(name, "it needs both a source and a schema", sources, known)
        for name in sorted(set(sources) ^ set(known))
    ]
    for name in sorted(set(sources) & set(known)):
        source, schema = description.streams[name], schemas[name]
        if not isinstance(source, SeriesSource):
            continue
        channels, rate_hz = schema.get("channels"), schema.get("rate_hz")
        if channels is not None and channels != list(source.stored_channels):
            problems.append(
                _mismatch(name, "channels of source and schema differ", list(source.stored_channels), channels)
            )
        if rate_hz is not None and rate_hz != source.stored_rate_hz:
            problems.append(_mismatch(name, "rate_hz of source and schema differ", source.stored_rate_hz, rate_hz))
    problems += [
        ConfigError(
            f"step label {name}: the schema of its stream states no max_steps",
            code="CONFIG_STREAM",
            field=f"step_labels.{name}.stream",
            got=label.stream,
            fix="only sensor streams have steps",
        )
        for name, label in description.step_labels.items()
        if not isinstance(schemas.get(label.stream, {}).get("max_steps"), int)
    ]
    if problems:
        raise Problems(problems)


def _mismatch(name: str, message: str, source: object, schema: object) -> ConfigError:
    return ConfigError(
        f"stream {name}: {message}",
        code="CONFIG_STREAM",
        field=f"schemas.{name}",
        expected=source,
        got=schema,
        fix="make streams and schemas agree",
    )
