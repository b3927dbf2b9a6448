"""What exactness costs a training on two workers: sums in canonical order against all-reduce, checkpoints against none.

    python -m tests.benchmarks.exactness_cost RECIPE [KEY=VALUE ...] --rounds 3 --seconds 40

The same worker function under torchrun (gloo), on an ingested data set, three ways that take turns: `exact` (as it is
shipped, with checkpoints), `all-reduce` (`pretrain.reduce=fast`) and `no checkpoints`. Samples per second are counted
between the first and the last logged step. Prints every round and the medians of the slowdowns over the rounds.
"""

import json
import statistics

from jobs.configs import Recipe
from pipeline.config import load_config
from tests.benchmarks.ray_throughput import ENDLESS, measure, options_of

NEVER = 1_000_000_000
SIDES = {
    "exact": [],
    "all-reduce": ["pretrain.reduce=fast"],
    "no checkpoints": [f"pretrain.checkpoint_every={NEVER}"],
}


def main() -> None:
    """Run the rounds and print the slowdowns."""
    options = options_of(__doc__, seconds=40)
    shared = ["pretrain.workers=2", *options.overrides, *ENDLESS]
    recipes = {side: load_config(Recipe, options.recipe, [*shared, *own]) for side, own in SIDES.items()}
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(options.rounds):
        names = list(SIDES)
        for side in names[number % len(names) :] + names[: number % len(names)]:
            rates[side].append(measure("torchrun", recipes[side], options.seconds))
            print(f"round {number} {side:15s} {rates[side][-1]:8.1f} samples/s", flush=True)
    slower = {side: _slowdowns(rates[side], rates["exact"]) for side in SIDES if side != "exact"}
    medians = {f"slower_than_{side.replace(' ', '_')}": statistics.median(found) for side, found in slower.items()}
    print(json.dumps({"rates": rates, "slowdowns": slower, **medians}))


def _slowdowns(others: list[float], exact: list[float]) -> list[float]:
    """Share of time that `exact` takes more, by round."""
    return [round(other / mine - 1, 4) for other, mine in zip(others, exact, strict=True)]


if __name__ == "__main__":
    main()
