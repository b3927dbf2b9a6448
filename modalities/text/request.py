"""A text as a request states it: a string."""

from modalities.spec import SignalError

TEXT_EXAMPLE = "an example"


def parse_text(value: object) -> str:
    """The string. Raises SignalError for anything else."""
    if not isinstance(value, str):
        raise SignalError("DATA_DTYPE", "a text is a string", expected="str", got=type(value).__name__)
    return value
