"""What was fitted to a target beside the label, before its test split is scored."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TargetFit:
    """source: `probe` for learned features, `finetune` for tuned encoders, else the control's name. percent and
    num_labels: of the labelled training samples that a draw shows."""

    source: str
    subset: str
    percent: float
    num_labels: int
