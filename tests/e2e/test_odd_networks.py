"""Machines whose network is not there: said before training with the interface, or of no matter."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import kindred, result_of
from tests.e2e.namespaces import NETWORK, SHORT, permitted, pretrain_after

NO_ADDRESS = "ip link set lo up && ip addr del 127.0.0.1/8 dev lo"


pytestmark = pytest.mark.skipif(not permitted(NETWORK), reason="user namespaces are not permitted here")


def _in_network(shell: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return pretrain_after(shell, *arguments, kind=NETWORK, folder=folder, timeout=200)


@pytest.mark.slow
@pytest.mark.fault("P22")
@pytest.mark.parametrize(
    "shell",
    [
        "true",
        NO_ADDRESS,
        "ip link set lo up && echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range",
    ],
    ids=["lo is down", "IPv6 only", "no free port"],
)
def test_without_a_loopback_workers_are_refused_before_training(ingested: Path, tmp_path: Path, shell: str) -> None:
    done = _in_network(shell, "out=run", f"data.path={ingested}/data", "pretrain.workers=2", *SHORT, folder=tmp_path)

    assert done.returncode == 71, done.stderr
    assert all(part in done.stderr for part in ("ENV_LOOPBACK", "127.0.0.1", "interface lo", "pretrain.workers=0"))
    assert not (tmp_path / "run" / "pretrain" / "checkpoints").exists()


@pytest.mark.slow
@pytest.mark.fault("P22")
@pytest.mark.parametrize(
    ("shell", "workers"), [("true", 0), pytest.param("ip link set lo up", 2, marks=pytest.mark.ray)], ids=str
)
def test_no_network_beyond_what_is_needed_ends_in_the_same_bits(
    ingested: Path, tmp_path: Path, shell: str, workers: int
) -> None:
    """In process nothing needs lo; workers need neither a name server nor another interface."""
    given = [f"data.path={ingested}/data", *SHORT]
    plain = kindred("pretrain", "out=plain", *given, folder=tmp_path)

    done = _in_network(shell, "out=run", *given, f"pretrain.workers={workers}", folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == result_of(plain)["state_hash"]
