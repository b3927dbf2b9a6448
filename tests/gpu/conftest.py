"""Everything here needs a CUDA device: `make test-gpu`."""

import os

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as jobs.pretrain.worker_device does, before any product

import pytest
import torch

from tests.contracts.conftest import folders

__all__ = ["device", "folders"]


@pytest.fixture(autouse=True)
def device() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda", 0)
