"""Few-shot episodes: which samples are support, and which are asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NotMeasurable

Codes = NDArray[np.int64]
_TRIES = 200  # sides of groups that are drawn before an episode counts as impossible


@dataclass(frozen=True)
class Episodes:
    """How many episodes of what; steps, temperature: of the transductive soft k-means."""

    ways: int = 5
    shots: int = 1
    queries: int = 15
    number: int = 600
    steps: int = 10
    temperature: float = 0.1


@dataclass(frozen=True)
class Episode:
    """Rows of the support (C, K) and of the queries (C, Q) of the drawn classes, and (B, Q) of the known classes."""

    support: Codes
    queries: Codes
    known: Codes


@dataclass(frozen=True)
class Pool:
    """What episodes are drawn from: rows of every class, of classes that are only asked, and groups (N,) of all rows.

    Support and queries never share a group; one of -1 is unknown and takes no part. None: they only differ as samples.
    """

    members: Sequence[Codes]
    known: Sequence[Codes] = ()
    groups: Codes | None = None

    def draw(self, episodes: Episodes, rng: np.random.Generator) -> Episode:
        """`ways` classes, `shots` and `queries` samples of each. Raises NotMeasurable where groups do not allow it."""
        sides = self._any(episodes, rng) if self.groups is None else self._apart(self.groups, episodes, rng)
        support, queries, known = sides
        asked = [rng.choice(rows, episodes.queries, replace=False) for rows in known]
        return Episode(np.stack(support), np.stack(queries), np.stack(asked) if asked else np.zeros((0, 0), np.int64))

    def _any(self, episodes: Episodes, rng: np.random.Generator) -> tuple[list[Codes], list[Codes], Sequence[Codes]]:
        chosen = rng.choice(len(self.members), episodes.ways, replace=False)
        size = episodes.shots + episodes.queries
        drawn = [rng.choice(self.members[c], size, replace=False) for c in chosen]
        return [rows[: episodes.shots] for rows in drawn], [rows[episodes.shots :] for rows in drawn], self.known

    def _apart(
        self, groups: Codes, episodes: Episodes, rng: np.random.Generator
    ) -> tuple[list[Codes], list[Codes], list[Codes]]:
        """Some of the groups, any number of them, give the support of all classes, the others every query."""
        number = int(groups.max(initial=-1)) + 1
        for _ in range(_TRIES if number > 1 else 0):
            chosen = rng.choice(len(self.members), episodes.ways, replace=False)
            supports = np.zeros(number, bool)
            supports[rng.permutation(number)[: rng.integers(1, number)]] = True
            on, off = supports[groups] & (groups >= 0), ~supports[groups] & (groups >= 0)
            shots = [rows[on[rows]] for rows in (self.members[c] for c in chosen)]
            queries = [rows[off[rows]] for rows in (self.members[c] for c in chosen)]
            known = [rows[off[rows]] for rows in self.known]
            enough = min(map(len, shots)) >= episodes.shots
            if enough and min(map(len, [*queries, *known])) >= episodes.queries:
                return (
                    [rng.choice(rows, episodes.shots, replace=False) for rows in shots],
                    [rng.choice(rows, episodes.queries, replace=False) for rows in queries],
                    known,
                )
        raise NotMeasurable(
            f"the {number} groups allow no {episodes.ways}-way {episodes.shots}-shot episode with {episodes.queries} "
            "queries whose support and queries come from different groups",
            code="DATA_TOO_FEW",
            field="few_shot",
            fix="lower ways, shots or queries, or set evaluate.few_shot.across_subjects=false",
        )
