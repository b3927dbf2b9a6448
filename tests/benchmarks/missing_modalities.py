"""What do missing modalities cost? The study of that name, and whether its gate holds.

    python -m tests.benchmarks.missing_modalities [KEY=VALUE ...]

Runs jobs/studies/missing_modalities.yaml, whose keys may be overridden (seeds=[0] at_once=2 out=DIR), and fails where
30 % of every stream missing, in training and test alike, cost more than 3 points of fused accuracy with all labels.
"""

import argparse
import statistics
import sys
from pathlib import Path

from jobs.study import run_study
from jobs.study_plan import load_study
from jobs.study_result import study_result
from jobs.study_table import Line
from pipeline.errors import KindredError

STUDY = Path(__file__).parents[2] / "jobs" / "studies" / "missing_modalities.yaml"
GATE = ("missing-30", "fused", "linear", 100.0)
MOST_LOST = 3.0
"""Points of accuracy, all streams and all labels, that missing modalities may cost."""


def main() -> None:
    """Run what is missing, print, and fail where the gate does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    options = parser.parse_args()
    try:
        study = load_study(STUDY, options.overrides)
        run_study(study)
    except KindredError as error:
        raise SystemExit(str(error)) from error
    cost = lost(study_result(study, {}).table.differences)
    verdict = "holds" if cost <= MOST_LOST else "DOES NOT HOLD"
    print(f"- at most {MOST_LOST:g} points of {'/'.join(map(str, GATE))} lost: {cost:.1f} ({verdict})")
    sys.exit(cost > MOST_LOST)


def lost(differences: list[Line]) -> float:
    """Mean points of the gate's figure that missing modalities cost, by seed."""
    (line,) = [each for each in differences if (each.variant, each.subset, each.method) == GATE[:3]]
    return -statistics.mean(line.cells[GATE[3]].values())


if __name__ == "__main__":
    main()
