"""What the finished stages of a run folder say of whether pretraining helped."""

from jobs._run_folder import RunFolder
from pipeline.evaluate.gain import Gain, read_gains


def stored_gains(folder: RunFolder) -> list[Gain]:
    """Of the probes, then of fine-tuning. Raises pydantic's ValidationError."""
    stages = [folder.result(name) or {} for name in ("probe", "finetune")]
    return [gain for stage in stages for gain in read_gains(stage.get("gains"))]
