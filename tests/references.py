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
    return (a @ b / (a.norm() * b.norm())).item()


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


def dual_contrast_loop(first: Tensor, second: Tensor, mask: Tensor, soft: float | None = None) -> float:
    """TS2Vec's contrast along axis 1, group by group; soft: every entry attracts by how near it is (SoftCLT)."""
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
                for j in real if soft is not None else []:
                    for candidate in (other[group, j], view[group, j]):
                        if j != k:
                            weight = 2 / (1 + math.exp(soft * abs(j - k)))
                            losses[-1] += weight * (math.log(total) - float(anchor @ candidate))
    return sum(losses) / len(losses) if losses else 0.0


def hierarchical_loop(first: Tensor, second: Tensor, mask: Tensor, alpha: float, soft: float | None = None) -> float:
    """TS2Vec's pyramid: contrast, halve time by maximum, repeat."""
    losses = []
    while True:
        instance = dual_contrast_loop(first.transpose(0, 1), second.transpose(0, 1), mask.T)
        sharpness = None if soft is None else soft * 2 ** len(losses)
        temporal = dual_contrast_loop(first, second, mask, sharpness) if first.shape[1] > 1 else 0.0
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


def fixture_w() -> tuple[Tensor, list[int]]:
    """Class rows (3, 4) and the labels of fixture A."""
    rows = torch.arange(3, dtype=torch.float64)[:, None]
    columns = torch.arange(4, dtype=torch.float64)[None, :]
    return torch.cos(0.5 + 1.1 * rows + 0.9 * columns + 0.07 * rows * columns), [0, 0, 1, 1, 2, 2]


def dense_info_nce(a: Tensor, c: Tensor, positive: Tensor, *, allowed: Tensor, temperature: float) -> Tensor:
    """InfoNCE as one (B, K) matrix; allowed (B, K) bool must hold the positive."""
    logits = torch.nn.functional.normalize(a, dim=1) @ torch.nn.functional.normalize(c, dim=1).T / temperature
    logits = logits.masked_fill(~allowed, -torch.inf)
    return logits.logsumexp(dim=1) - logits.gather(1, positive[:, None]).squeeze(1)


def overlap_loop(a: list[int], b: list[int]) -> bool:
    """Record, start, end: one record, and shared time or none known."""
    if a[0] != b[0] or a[0] < 0:
        return False
    return min(*a[1:], *b[1:]) < 0 or (a[1] < b[2] and b[1] < a[2])


def differing_loop(a: list[int], b: list[int]) -> float:
    """Share of clusterings that tell two samples apart; unknown labels do."""
    return sum(x != y or x < 0 or y < 0 for x, y in zip(a, b, strict=True)) / len(a)


def margin_nce_loop(query: Tensor, positive: Tensor, negatives: Tensor, margin: float, temperature: float) -> float:
    attracted = math.exp((cosine(query, positive) - margin) / temperature)
    return -math.log(attracted / (attracted + sum(math.exp(cosine(query, n) / temperature) for n in negatives)))


def sup_con_loop(
    z: Tensor, candidates: Tensor, positives: list[list[int]], negatives: list[list[int]], temperature: float
) -> list[tuple[float, float]]:
    """Outer and inner form of each anchor."""
    found = []
    for i, anchor in enumerate(z):
        if not positives[i]:
            found.append((0.0, 0.0))
            continue
        scores = {k: math.exp(cosine(anchor, candidates[k]) / temperature) for k in positives[i] + negatives[i]}
        shares = [scores[p] / sum(scores.values()) for p in positives[i]]
        outer = -sum(math.log(share) for share in shares) / len(shares)
        found.append((outer, -math.log(sum(shares) / len(shares))))
    return found


def multi_similarity_loop(
    s: Tensor, weight: Tensor, negatives: Tensor, *, scales: tuple[float, float], threshold: float, mining: float | None
) -> list[float | None]:
    """Loss of each anchor, None where it keeps no positive or no negative."""
    found: list[float | None] = []
    for i in range(len(s)):
        positive = [j for j in range(s.shape[1]) if weight[i, j] > 0]
        negative = [j for j in range(s.shape[1]) if negatives[i, j]]
        if mining is not None and positive and negative:
            nearest, farthest = max(float(s[i, n]) for n in negative), min(float(s[i, p]) for p in positive)
            positive = [p for p in positive if float(s[i, p]) - mining < nearest]
            negative = [n for n in negative if float(s[i, n]) + mining > farthest]
        if not positive or not negative:
            found.append(None)
            continue
        pull = sum(float(weight[i, p]) * math.exp(-scales[0] * (float(s[i, p]) - threshold)) for p in positive)
        push = sum(math.exp(scales[1] * (float(s[i, n]) - threshold)) for n in negative)
        found.append(math.log(1 + pull) / scales[0] + math.log(1 + push) / scales[1])
    return found


def block_spread_loop(z: Tensor, labels: list[int], scale: float) -> float:
    """Mean over the classes of log(1 + sum over the others)."""
    means = [z[[i for i, y in enumerate(labels) if y == c]].mean(dim=0) for c in sorted(set(labels) - {-1})]
    rows = [1 + sum(math.exp(scale * cosine(a, b)) for b in means if b is not a) for a in means]
    return sum(math.log(row) for row in rows) / len(rows)


def pairwise_cross_entropy_loop(z: Tensor, labels: list[int]) -> float:
    """SPCE: tightness of pairs of one class, contrast with the class sums over n."""
    num = len(z)
    same = sum(float(z[i] @ z[j]) for i in range(num) for j in range(num) if labels[i] == labels[j])
    contrast = 0.0
    for i in range(num):
        sums = [sum(float(z[i] @ z[j]) for j in range(num) if labels[j] == c) / num for c in set(labels)]
        contrast += math.log(sum(math.exp(value) for value in sums))
    return -same / num**2 + contrast / num


def view_contrast_loop(
    coarse: Tensor, fine: Tensor, clusters: list[list[int]], temperature: float
) -> list[float | None]:
    """MEOW's L_info of each row of unit rows; None where nobody repels."""
    found: list[float | None] = []
    for i in range(len(coarse)):
        total = 0.0
        for j in range(len(fine)):
            count = sum(a != b for a, b in zip(clusters[i], clusters[j], strict=True)) if i != j else 0
            total += count * math.exp(float(coarse[i] @ fine[j]) / temperature)
        found.append(math.log(total) - float(coarse[i] @ fine[i]) / temperature if total else None)
    return found


def negative_pool_loop(s: list[float], different: list[bool], *, sampling: str, size: int, negatives: int) -> list[int]:
    """Columns of one anchor's negatives, in candidate order."""
    allowed = [k for k in range(len(s)) if different[k]]
    order = sorted(range(len(s)), key=lambda k: s[k], reverse=sampling != "semieasy")
    if sampling == "random":
        return allowed[:negatives]
    if sampling == "hard":
        return sorted([k for k in order if different[k]][:negatives])
    members = [k for k in allowed if k in order[:size]]
    return members[:negatives] or allowed[: min(negatives, size)]


def standard_scores_loop(z: Tensor, rows: list[int]) -> Tensor:
    """(B, d), dimension by dimension with the mean and variance of `rows`."""
    found = z.clone()
    for dim in range(z.shape[1]):
        values = [float(z[row, dim]) for row in rows]
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / len(values)
        found[:, dim] = (z[:, dim] - mean) / (variance + 1e-5) ** 0.5
    return found
