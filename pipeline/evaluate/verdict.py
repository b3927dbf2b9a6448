"""What a run's results amount to, in sentences.

Where test samples are kept one by one the comparison is the paired one of `gain.py`. A control of another stage has its
accuracy and interval only: it is beaten where the intervals do not overlap.
"""

from collections.abc import Mapping, Sequence

from pipeline.evaluate.gain import Gain
from pipeline.evaluate.results import FUSED, ResultRow


def verdict(rows: Sequence[ResultRow], gains: Sequence[Gain] = ()) -> str:
    """The linear probe beside the strongest control, at the smallest and the largest label share."""
    fused = [row for row in rows if row.subset == FUSED]
    probes = {row.percent: row for row in fused if row.method == "linear"}
    if not probes:
        return " ".join(target_gain_lines(gains)) or "No probe has been run."
    paired = {gain.percent: gain for gain in gains if (gain.method, gain.subset) == ("linear", FUSED)}
    return " ".join(_compare(probes[p], fused, paired.get(p)) for p in dict.fromkeys((min(probes), max(probes))))


def _compare(probe: ResultRow, rows: Sequence[ResultRow], paired: Gain | None) -> str:
    least = "" if probe.shots is None else f" (at least {probe.shots} per class)"
    share = f"{probe.percent:g} % of the labels{least}"
    reached = f"With {share} the linear probe reaches {100 * probe.accuracy:.1f} %"
    controls = [row for row in rows if row.is_control and row.method != "metadata" and row.percent == probe.percent]
    if not controls:
        return f"{reached}; no control was run."
    best = max(controls, key=lambda row: row.accuracy)
    if paired is not None and paired.control == best.method:
        return f"{reached}; {paired.sentence()}."
    gain = 100 * (probe.accuracy - best.accuracy)
    against = f"the best control ({best.title.lower()}, {100 * best.accuracy:.1f} %)"
    if _overlap(probe, best):
        return f"{reached}, within the uncertainty of {against}."
    return f"{reached}, {abs(gain):.1f} points {'above' if gain > 0 else 'below'} {against}."


def _overlap(a: ResultRow, b: ResultRow) -> bool:
    """True where the difference is not larger than the spread: intervals overlap, else one sd of each."""
    if a.low is not None and a.high is not None and b.low is not None and b.high is not None:
        return a.low <= b.high and b.low <= a.high
    return abs(a.accuracy - b.accuracy) <= (a.sd or 0.0) + (b.sd or 0.0)


def gain_lines(found: Sequence[Gain], rows: Sequence[ResultRow]) -> list[str]:
    """A sentence per percentage for all streams together, of probes with the supervised control beside it.

    That one is trained in another stage and once per percentage, so it is paired with fine-tuning alone.
    """
    supervised = {row.percent: row.accuracy for row in rows if (row.method, row.subset) == ("supervised", FUSED)}
    linear = {row.percent: row.accuracy for row in rows if (row.method, row.subset) == ("linear", FUSED)}
    return [_line(gain, linear, supervised) for gain in found if gain.subset == FUSED and gain.target is None]


def target_gain_lines(found: Sequence[Gain]) -> list[str]:
    """A sentence per target beside the label and percentage, for all streams together."""
    return [_sentence(gain.sentence()) for gain in found if gain.subset == FUSED and gain.target is not None]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _line(gain: Gain, linear: Mapping[float, float], supervised: Mapping[float, float]) -> str:
    text = gain.sentence()
    if gain.method == "linear" and gain.percent in supervised and gain.percent in linear:
        reached = f"{100 * supervised[gain.percent]:.1f} % against {100 * linear[gain.percent]:.1f} %"
        text += f"; supervised from scratch reaches {reached} of the probe, not paired"
    return _sentence(text)
