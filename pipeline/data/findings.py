"""Problems found during one ingest, and what the policy makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue, TypeAdapter

from pipeline.errors import DataError, KindredError, Problems, SecurityError

MAX_PROBLEMS = 1000


@dataclass
class Findings:
    """Collects problems, of each sort up to a limit, and counts the rest.

    Problems of single records are tolerated under the policy `quarantine`. Anything else is fatal, and so is a record
    that tries to leave the data root.
    """

    policy: Literal["strict", "quarantine"]
    quarantined: list[str] = field(default_factory=list)
    _fatal: list[KindredError] = field(default_factory=list)
    _of_records: list[KindredError] = field(default_factory=list)
    _num_more: int = 0

    def add_fatal(self, problem: KindredError) -> None:
        """A problem that no policy tolerates."""
        self._keep(self._fatal, problem)

    def add_record(self, name: str, problems: Sequence[KindredError]) -> None:
        """The problems of one bad record."""
        self.quarantined.append(name)
        for problem in problems:
            self._keep(self._fatal if isinstance(problem, SecurityError) else self._of_records, problem)

    def add_uncounted(self, number: int) -> None:
        """Problems of records that were counted elsewhere."""
        self._num_more += number

    def _keep(self, problems: list[KindredError], problem: KindredError) -> None:
        if len(problems) < MAX_PROBLEMS:
            problems.append(problem)
        else:
            self._num_more += 1

    def is_empty(self) -> bool:
        """Whether nothing was found so far."""
        return not (self._fatal or self._of_records)

    def refuse(self) -> None:
        """Raises Problems when there are some that the policy does not tolerate."""
        refused = self._fatal + (self._of_records if self.policy == "strict" else [])
        if refused and self._num_more:
            refused.append(DataError(f"{self._num_more} more problems", code="DATA_MORE_PROBLEMS", got=self._num_more))
        if refused:
            raise Problems(refused)

    def report(self) -> JsonValue:
        """The problems of quarantined records as JSON."""
        return TypeAdapter(JsonValue).validate_python([problem.record() for problem in self._of_records])
