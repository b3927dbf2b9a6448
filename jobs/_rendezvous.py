"""The process group of the workers, met through a store that listens on the address of Ray's node alone.

Torch's own rendezvous listens on every interface, and its store asks for no token: a private Ray's would answer the
whole network. Takes the place of Ray's set-up by environment variables.
"""

import socket
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import ray
import torch
import torch.distributed
from ray.train.torch import TorchConfig, get_device
from ray.train.torch.config import (
    _set_torch_distributed_env_vars,  # pyright: ignore[reportPrivateUsage] - Ray names no other
    _TorchBackend,  # pyright: ignore[reportPrivateUsage] - Ray names no other
)
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage] - documented there

if TYPE_CHECKING:
    from ray.train.v2._internal.execution.worker_group import WorkerGroup

_listening: dict[int, TCPStore] = {}
"""Of rank 0 by port, from the moment others may call until it has joined."""


class Rendezvous(_TorchBackend):
    """Ray calls this wherever it starts a worker group."""

    def on_start(self, worker_group: "WorkerGroup", backend_config: TorchConfig) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        gpus, size = worker_group.get_resources_per_worker().get("GPU", 0), len(worker_group)
        backend = backend_config.backend or ("nccl" if gpus else "gloo")
        limit = timedelta(seconds=backend_config.timeout_s)
        worker_group.execute(_set_torch_distributed_env_vars)
        place = worker_group.execute_single(0, listen, limit)
        join = [worker_group.execute_single_async(r, meet, place, r, size, backend, limit) for r in range(size)]
        ray.get(join)  # pyright: ignore


class BoundTorchConfig(TorchConfig):
    """Ray Train's, with this rendezvous."""

    @property
    def backend_cls(self) -> type[Rendezvous]:
        return Rendezvous


def listen(limit: timedelta) -> tuple[str, int]:
    """Open the store on this node's address and a free port, which are returned."""
    address = ray.util.get_node_ip_address()
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    server = socket.create_server((address, 0), family=family)
    port = server.getsockname()[1]
    _listening[port] = TCPStore(
        address, port, is_master=True, wait_for_workers=False, timeout=limit, master_listen_fd=server.detach()
    )
    return address, port


def meet(place: tuple[str, int], rank: int, size: int, backend: str, limit: timedelta) -> None:
    """Join the process group at `place`, on the GPU that Ray dealt this worker: it may see those of its whole node."""
    if (device := get_device()).type == "cuda":
        torch.cuda.set_device(device)
    address, port = place
    store = _listening.pop(port) if rank == 0 else TCPStore(address, port, timeout=limit)
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=limit)
