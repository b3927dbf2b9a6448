"""How every command starts: without what only some of them need."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SLOW_TO_IMPORT = {
    *("kornia", "matplotlib", "mlflow", "pandas", "ray", "sklearn", "torchmetrics", "transformers", "tsaug"),
    *("scipy.optimize", "scipy.signal", "scipy.stats"),
}


def test_stages_and_workers_import_no_library_before_they_need_it() -> None:
    script = "import sys, jobs.run, jobs.pretrain; print(*sys.modules, sep='\\n')"

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    imported = set(done.stdout.split())
    assert "torch" in imported
    assert not imported & SLOW_TO_IMPORT
