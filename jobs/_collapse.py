"""What the driver says of embeddings that collapse while they are trained."""

import logging
from collections.abc import Mapping

from pipeline.train.health import alarms_of_streams

_log = logging.getLogger(__name__)


class Collapses:
    """Warns of each stream once, when two monitors in a row are past an alarm level: fresh weights may be there too."""

    def __init__(self) -> None:
        self.before: set[str] = set()
        self.named: set[str] = set()

    def __call__(self, metrics: Mapping[str, float]) -> None:
        """metrics: of one step, `health/<stream>/<monitor>` as training logs them; others are left out."""
        found = alarms_of_streams(metrics)
        if not found:
            return
        past = {stream for stream, alarms in found.items() if alarms}
        for stream in sorted(past & self.before - self.named):
            _log.warning("%s", " ".join(found[stream]))
            self.named.add(stream)
        self.before = past
