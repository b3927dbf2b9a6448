import json

import cloudpickle
import pytest

from pipeline.errors import ConfigError, DataError, KindredError, Problems


def _leaves(kind: type[KindredError]) -> list[type[KindredError]]:
    return [kind, *(leaf for sub in kind.__subclasses__() for leaf in _leaves(sub))]


@pytest.mark.fault("S10")
def test_message_names_where_what_and_fix_and_escapes_control_characters() -> None:
    error = DataError(
        "checksum", code="DATA_CHECKSUM", shard="s.tar", key="a\x1b[2J\n", expected=1, got=2, fix="re-copy"
    )

    assert str(error) == r"DATA_CHECKSUM: checksum [shard=s.tar key=a\x1b[2J\n expected=1 got=2] Fix: re-copy"


def test_errors_cross_process_borders_unchanged() -> None:
    error = DataError("m", code="C", key="k", fix="f")
    many = Problems([error, ConfigError("n", code="D")])

    assert str(cloudpickle.loads(cloudpickle.dumps(error))) == str(error)
    assert str(cloudpickle.loads(cloudpickle.dumps(many))) == str(many)
    assert cloudpickle.loads(cloudpickle.dumps(many)).exit_code == 65


def test_record_is_json() -> None:
    record = json.loads(json.dumps(DataError("m", code="C", offset=3).record()))

    assert record == {"code": "C", "message": "m", "fix": "", "offset": 3}


@pytest.mark.parametrize("kind", [k for k in _leaves(KindredError) if k is not Problems])
def test_every_error_has_an_exit_code_of_the_contract(kind: type[KindredError]) -> None:
    assert kind.exit_code in {64, 65, 66, 69, 70, 71, 73, 74, 75, 76, 77, 130}
