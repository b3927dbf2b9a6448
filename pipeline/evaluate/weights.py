"""The weight-load contract: what was loaded is counted, reported and enforced."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from pipeline.errors import CheckpointError
from pipeline.expected_tensors import check_finite, form

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadReport:
    """Names of tensors: loaded, absent from the checkpoint, unknown to the model, of another shape or type."""

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Number of tensors of each sort, for tracking."""
        return {name: len(getattr(self, name)) for name in ("matched", "missing", "unexpected", "mismatched")}


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], *, minimum_matched: float = 1.0) -> LoadReport:
    """Copy tensors of equal name and shape into `module` (parameters and buffers).

    Raises CheckpointError for any mismatch, for NaN and infinity, and where less than `minimum_matched` of the module's
    tensors were found, naming the first one.
    """
    own = module.state_dict()
    report = LoadReport(
        matched=tuple(name for name in own if name in tensors and form(tensors[name]) == form(own[name])),
        missing=tuple(name for name in own if name not in tensors),
        unexpected=tuple(name for name in tensors if name not in own),
        mismatched=tuple(name for name in own if name in tensors and form(tensors[name]) != form(own[name])),
    )
    _log.info("weights: %s", ", ".join(f"{count} {name}" for name, count in report.counts().items()))
    if report.mismatched:
        name = report.mismatched[0]
        raise CheckpointError(
            f"{len(report.mismatched)} weights have another shape or type, first {name}",
            code="CKPT_INCOMPATIBLE",
            field=name,
            expected=form(own[name]),
            got=form(tensors[name]),
            fix="use the encoder configuration it was trained with",
        )
    if len(report.matched) < minimum_matched * len(own):
        raise CheckpointError(
            f"only {len(report.matched)} of {len(own)} weights were found, first missing {report.missing[0]}",
            code="CKPT_INCOMPATIBLE",
            field=report.missing[0],
            expected=f">= {minimum_matched:.0%}",
            got=f"{len(report.matched) / max(1, len(own)):.0%}",
            fix="use a checkpoint of this architecture",
        )
    matched = {name: tensors[name] for name in report.matched}
    check_finite(matched, what="weights")
    module.load_state_dict(matched, strict=False)
    return report
