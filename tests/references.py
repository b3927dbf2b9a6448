"""Loop references a reader can check with a pencil. Slow on purpose."""

import math

import torch
from torch import Tensor


def fixture_a() -> tuple[Tensor, Tensor]:
    """Two views (6, 4) in float64 with closed-form entries, shared by all numeric cases."""
    rows = torch.arange(6, dtype=torch.float64)[:, None]
    columns = torch.arange(4, dtype=torch.float64)[None, :]
    first = torch.sin(1.0 + 0.7 * rows + 1.3 * columns + 0.11 * rows * columns)
    second = torch.cos(0.3 + 0.5 * rows - 0.8 * columns + 0.05 * rows * columns)
    return first, second


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def nt_xent_loop(first: Tensor, second: Tensor, present: list[bool], content: list[int], temperature: float) -> float:
    """Mean over anchors of both views, one pair at a time."""
    entries = [(i, view) for view in (first, second) for i in range(len(first)) if present[i]]
    losses = []
    for position, (i, view) in enumerate(entries):
        other = second if view is first else first
        positive = math.exp(cosine(view[i], other[i]) / temperature)
        total = positive
        for k, (j, candidate) in enumerate(entries):
            if k != position and content[j] != content[i]:
                total += math.exp(cosine(view[i], candidate[j]) / temperature)
        losses.append(-math.log(positive / total))
    return sum(losses) / len(losses) if losses else 0.0


def symmetric_info_nce_loop(a: Tensor, b: Tensor, paired: list[bool], content: list[int], temperature: float) -> float:
    """Mean over paired samples of both retrieval directions."""
    kept = [i for i in range(len(a)) if paired[i]]
    losses = []
    for i in kept:
        for query, keys in ((a, b), (b, a)):
            scores = {
                j: math.exp(cosine(query[i], keys[j]) / temperature) for j in kept if j == i or content[j] != content[i]
            }
            losses.append(-math.log(scores[i] / sum(scores.values())))
    return sum(losses) / len(losses) if losses else 0.0


def dual_contrast_loop(first: Tensor, second: Tensor, mask: Tensor) -> float:
    """TS2Vec's contrast along axis 1, group by group."""
    losses = []
    for group in range(len(first)):
        real = [k for k in range(first.shape[1]) if mask[group, k]]
        if len(real) < 2:
            continue
        for view, other in ((first, second), (second, first)):
            for k in real:
                anchor = view[group, k]
                positive = math.exp(float(anchor @ other[group, k]))
                total = sum(math.exp(float(anchor @ other[group, j])) for j in real)
                total += sum(math.exp(float(anchor @ view[group, j])) for j in real if j != k)
                losses.append(-math.log(positive / total))
    return sum(losses) / len(losses) if losses else 0.0


def hierarchical_loop(first: Tensor, second: Tensor, mask: Tensor, alpha: float) -> float:
    """TS2Vec's pyramid: contrast, halve time by maximum, repeat."""
    losses = []
    while True:
        instance = dual_contrast_loop(first.transpose(0, 1), second.transpose(0, 1), mask.T)
        temporal = dual_contrast_loop(first, second, mask) if first.shape[1] > 1 else 0.0
        losses.append(alpha * instance + (1 - alpha) * temporal)
        if first.shape[1] == 1:
            return sum(losses) / len(losses)
        first, second = halve_loop(first, mask), halve_loop(second, mask)
        mask = torch.stack([mask[:, s : s + 2].any(dim=1) for s in range(0, mask.shape[1], 2)], dim=1)


def halve_loop(z: Tensor, mask: Tensor) -> Tensor:
    """Maximum over pairs of real neighbours in time; zero where neither is real."""
    out = torch.zeros(len(z), (z.shape[1] + 1) // 2, z.shape[2], dtype=z.dtype)
    for i in range(len(z)):
        for s in range(out.shape[1]):
            real = [z[i, t] for t in range(2 * s, min(2 * s + 2, z.shape[1])) if mask[i, t]]
            if real:
                out[i, s] = torch.stack(real).max(dim=0).values
    return out
