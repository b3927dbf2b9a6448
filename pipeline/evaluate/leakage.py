"""The leak audit: what must not be on both sides of a split, and labels that can be read without a signal.

Every function returns the leaks it found as LeakError; the caller raises them together as `Problems`, except for
declared ones (`leak.allow`, design.md section 9.14).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import LeakError, Problems
from pipeline.evaluate.probe_row import ProbeRow

Text = NDArray[np.str_]
Integers = NDArray[np.int64]

TELLING = 0.98
"""Accuracy on unseen groups from which a text is taken to name the class."""
WHOLE_GROUPS = "split by whole groups and ingest again"
_SHOWN = 3


def raise_leaks(leaks: Sequence[LeakError]) -> None:
    """Raise all of them at once; nothing where there are none."""
    if leaks:
        raise Problems(list(leaks))


def group_leaks(split: Text, group: Text, *, name: str, fix: str = WHOLE_GROUPS) -> list[LeakError]:
    """Group values (N,) that occur in two splits (N,); "" is an unknown group and no leak."""
    known = group != ""
    values, member = np.unique(group[known], return_inverse=True)
    splits, side = np.unique(split[known], return_inverse=True)
    seen = np.zeros((len(values), len(splits)), dtype=bool)
    seen[member, side] = True
    shared = values[seen.sum(axis=1) > 1].tolist()
    if not shared:
        return []
    problem = f"{len(shared)} values of {name} are in more than one split"
    return [_leak(problem, field=name, examples=shared, fix=fix)]


def overlap_leaks(split: Text, recording: Text, *, start_ns: Integers, end_ns: Integers, keys: Text) -> list[LeakError]:
    """Windows of one recording that overlap in time across splits. All (N,); times below 0 are unknown: not judged."""
    timed = np.flatnonzero((start_ns >= 0) & (end_ns > start_ns))
    order = timed[np.lexsort((start_ns[timed], recording[timed]))]
    ends: dict[tuple[str, str], int] = {}
    splits = np.unique(split).tolist()
    found = []
    for row in order.tolist():
        own, tape = str(split[row]), str(recording[row])
        if any(ends.get((tape, other), -1) > start_ns[row] for other in splits if other != own):
            found.append(str(keys[row]))
        ends[tape, own] = max(ends.get((tape, own), -1), int(end_ns[row]))
    if not found:
        return []
    return [_leak(f"{len(found)} windows overlap windows of another split", field="start_ns", examples=found)]


def content_leaks(split: Text, content: Mapping[str, Integers], *, keys: Text) -> list[LeakError]:
    """Samples stored identically in two splits.

    content: stream -> (N,) payload hashes, negative where absent. A sample counts as copied where every stream it has
    equals: a repeated caption alone is normal, so leave text streams out of `content` where that is meant.
    """
    table = np.stack([np.where(hashes < 0, -1, hashes) for hashes in content.values()], axis=1)
    held = np.flatnonzero((table >= 0).any(axis=1))
    _, sample = np.unique(table[held], axis=0, return_inverse=True)
    sides: dict[int, set[str]] = {}
    for number, row in zip(sample.ravel().tolist(), held.tolist(), strict=True):
        sides.setdefault(number, set()).add(str(split[row]))
    copied = [
        str(keys[row])
        for number, row in zip(sample.ravel().tolist(), held.tolist(), strict=True)
        if len(sides[number]) > 1
    ]
    if not copied:
        return []
    return [_leak(f"{len(copied)} samples have an identical copy in another split", field="content", examples=copied)]


def chance_limit(y: Integers, *, sigmas: float = 3.0) -> float:
    """Highest accuracy that guessing the commonest of the test classes y (N,) explains: p + 3 sqrt(p (1 - p) / N)."""
    p = float(np.bincount(y).max() / len(y))
    return p + sigmas * (p * (1.0 - p) / len(y)) ** 0.5


def metadata_leaks(row: ProbeRow) -> list[LeakError]:
    """A metadata-only probe row above chance."""
    limit = chance_limit(_truth(row))
    problem = "metadata predicts the label above chance"
    return [] if row.accuracy <= limit else [_read(row.subset, row.accuracy, limit, problem)]


def text_leaks(row: ProbeRow) -> list[LeakError]:
    """A row of the TF-IDF control on one text stream whose words name the class."""
    named = row.accuracy >= TELLING and row.accuracy > chance_limit(_truth(row))
    return [telling_leak(row.subset, row.accuracy)] if named else []


def telling_leak(stream: str, accuracy: float) -> LeakError:
    """The leak of a text stream from whose words the class was read with `accuracy`."""
    return _read(stream, accuracy, TELLING, f"the words of {stream} name the label")


def _truth(row: ProbeRow) -> Integers:
    """Test classes of one draw, from the row's confusion matrix."""
    sizes = row.confusion.sum(axis=1) // len(row.accuracies)
    return np.repeat(np.arange(len(sizes)), sizes)


def _read(stream: str, accuracy: float, limit: float, problem: str) -> LeakError:
    return LeakError(
        problem,
        code="LEAK",
        field=stream,
        expected=f"accuracy <= {limit:.3f}",
        got=f"{accuracy:.3f}",
        fix="leave the column or stream out, or declare it in leak.allow: it is then named in every report",
    )


def _leak(problem: str, *, field: str, examples: list[str], fix: str = WHOLE_GROUPS) -> LeakError:
    shown = examples[:_SHOWN] + (["..."] if len(examples) > _SHOWN else [])
    return LeakError(problem, code="LEAK", field=field, got=shown, fix=fix)
