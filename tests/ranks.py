"""Processes that train together, as tests start them.

Each is forked from a server that has imported what the test needs, because importing torch takes longer than most of
what the processes do. The server has no threads and nothing of the test's own process, so that they start as clean as
spawned ones.
"""

import multiprocessing
from collections.abc import Callable
from typing import Any

import torch.multiprocessing


def run_ranks(train: Callable[..., None], *arguments: Any, world: int) -> None:
    """Call train(rank, *arguments) in `world` processes; raises what the first of them to fail raised."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([train.__module__])
    torch.multiprocessing.start_processes(train, args=arguments, nprocs=world, start_method="forkserver")
