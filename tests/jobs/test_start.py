"""How processes of ours start: without what only some of them need."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLOW_TO_IMPORT = {
    *("kornia", "matplotlib", "mlflow", "pandas", "ray", "sklearn", "torchmetrics", "transformers", "tsaug"),
    *("scipy.optimize", "scipy.signal", "scipy.stats"),
}


@pytest.mark.parametrize(
    ("modules", "needed", "too_slow"),
    [
        ("jobs.run, jobs.pretrain", "torch", SLOW_TO_IMPORT),
        ("jobs._sidecar", "jobs._mlflow", SLOW_TO_IMPORT | {"torch", "numpy"}),
    ],
    ids=["stages and workers", "delivery"],
)
def test_no_library_is_imported_before_it_is_needed(modules: str, needed: str, too_slow: set[str]) -> None:
    script = f"import sys, {modules}; print(*sys.modules, sep='\\n')"

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    imported = set(done.stdout.split())
    assert needed in imported
    assert not imported & too_slow
