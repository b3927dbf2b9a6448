"""What each verb does, from its options to its result. What is slow to import is imported by who needs it."""

import argparse
from collections.abc import Callable
from pathlib import Path

from pydantic import JsonValue

from pipeline.errors import ConfigError

Handler = Callable[[argparse.Namespace], dict[str, JsonValue] | None]


def _stages(*names: str) -> Handler:
    def handle(options: argparse.Namespace) -> dict[str, JsonValue]:
        from jobs.run import run_recipe
        from jobs.typed_recipe import typed_recipe

        verb = "run" if "pretrain" in names[1:] else names[0]
        with typed_recipe(verb, str(options.recipe), options.overrides) as (recipe, overrides):
            return run_recipe(recipe, overrides, fork=options.fork, stages=names)

    return handle


ingest = _stages("ingest")
pretrain = _stages("pretrain")
probe = _stages("probe")
evaluate = _stages("evaluate", "report")
finetune = _stages("finetune")
run = _stages("ingest", "relations", "pretrain", "probe", "finetune", "report")


def demo(options: argparse.Namespace) -> dict[str, JsonValue]:
    options.recipe = Path(__file__).parent / "recipes" / "demo.yaml"
    return run(options) or {}


def verify(options: argparse.Namespace) -> dict[str, JsonValue]:
    from jobs.verify import verify

    return verify(options.dataset, options.overrides, workers=options.workers, hashes_only=options.hashes_only)


def relations(options: argparse.Namespace) -> dict[str, JsonValue]:
    from jobs.relations import relations

    return relations(options.recipe, options.overrides, fork=options.fork)


def export(options: argparse.Namespace) -> dict[str, JsonValue]:
    from jobs.export import export

    return export(options.run, options.overrides)


def embed(options: argparse.Namespace) -> dict[str, JsonValue]:
    from jobs.embed import embed

    return embed(options.run, options.overrides)


def submit(options: argparse.Namespace) -> dict[str, JsonValue]:
    """Raises ConfigError where no cluster is named."""
    from jobs.submit import Job, Resources, given_environment, submit
    from jobs.typed_recipe import typed_recipe

    if not options.address:
        raise ConfigError("no cluster", code="CONFIG_VALUE", field="--address", fix="--address http://HEAD:8265")
    with typed_recipe(options.verb, str(options.recipe), options.overrides) as (recipe, overrides):
        job = Job(
            options.verb,
            recipe,
            overrides,
            fork=options.fork,
            environment=given_environment(options.env, options.secret),
            resources=Resources(options.cpus, options.gpus),
            lock=options.pip,
        )
        return submit(job, options.address, action=options.action or "start")


def study(options: argparse.Namespace) -> dict[str, JsonValue]:
    from jobs.study import study

    return study(options.study, options.overrides)


def compare(options: argparse.Namespace) -> dict[str, JsonValue]:
    from jobs.compare import compare

    return compare(options.runs)


def explain(options: argparse.Namespace) -> None:
    from jobs.explain import explain

    explain(options.prefix)


def ui(options: argparse.Namespace) -> None:
    from jobs.ui import serve

    serve(options.port)


def sync(options: argparse.Namespace) -> dict[str, JsonValue]:
    from jobs.sync import sync

    return sync(options.run, new_run=options.new_run)
