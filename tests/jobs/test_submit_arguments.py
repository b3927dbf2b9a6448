"""What kindred submit is given on the command line, before it asks a cluster."""

from pathlib import Path

import pytest

from jobs.submit import Job, given_environment, submit
from pipeline.errors import ConfigError


@pytest.mark.parametrize("address", ["127.0.0.1:1", "http://[::1", "http://127.0.0.1:99999", "http://", "ray://head:1"])
def test_what_is_no_dashboard_is_refused_at_once(address: str) -> None:
    with pytest.raises(ConfigError, match=r"CONFIG_ADDRESS.*http://HEAD:8265"):
        submit(Job("pretrain", Path("recipe.yaml"), ()), address)


def test_a_secret_with_its_value_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError, match="give its name alone") as found:
        given_environment([], ["TOKEN=hunter2"])
    assert "hunter2" not in str(found.value) + str(found.value.record())
