"""A training that ends in the middle, as by Ctrl-C."""

import pytest

from pipeline.train.fit import Fit
from pipeline.train.loop import run_fit


def interrupt(fit: Fit, *, after: int) -> None:
    """Train until this step was logged."""

    def metrics(values: dict[str, float], step: int) -> None:
        if step == after:
            raise KeyboardInterrupt

    fit.run.metrics = metrics  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run_fit(fit)
