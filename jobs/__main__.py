"""kindred VERB ...: the command line."""

import argparse
import logging
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs import _verbs as do
from jobs._job_package import check_pins
from jobs._signals import stopped_by_sigterm
from jobs._standard_streams import expendable_stderr, silence, write_json_line
from jobs._versions import refuse_unsafe
from pipeline.errors import ConfigError, KindredError, Preempted, StorageError

_OVERRIDE = re.compile(r"[A-Za-z_][\w.]*=")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run one verb, return its exit code (design: 0 good, 64 config, 65 data, 66 checkpoint, ...)."""
    with expendable_stderr():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    options = _parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("pipeline").setLevel(logging.INFO)
    logging.getLogger("jobs").setLevel(logging.INFO)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        with stopped_by_sigterm():
            return _answer(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        silence(sys.stdout)
        silence(sys.stderr)
        return 128 + signal.SIGPIPE


def _answer(options: argparse.Namespace) -> int:
    try:
        refuse_unsafe()
        check_pins()
        result = options.handler(options)
        if options.json and result is not None:
            write_json_line(result)
    except KindredError as error:
        return _fail(error, as_json=options.json)
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"{error.filename or 'a file'}: {error.strerror or error}"
        fix = "check disk space, rights and limits"
        return _fail(StorageError(message, code="STORAGE_IO", fix=fix), as_json=options.json)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options of a verb; argparse leaves KEY=VALUE behind an option over, which are overrides too."""
    parser = _parser()
    options, left = parser.parse_known_args(arguments)
    if unknown := [text for text in left if not (hasattr(options, "overrides") and _OVERRIDE.match(text))]:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if left:
        options.overrides = [*options.overrides, *left]
    return options


def _fail(error: KindredError, *, as_json: bool) -> int:
    sys.stderr.write(f"kindred: {error}\n")
    if as_json:
        status = "stopped" if isinstance(error, Preempted) else "failed"
        try:
            write_json_line({"status": status, "exit_code": error.exit_code, "error": error.record()})
        except StorageError as unwritten:
            sys.stderr.write(f"kindred: {unwritten}\n")
    return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="kindred", description="Self-supervised pretraining for multimodal time series.")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for name, handler, text in (
        ("run", do.run, "every stage of a recipe: ingest, pretrain, probe, finetune, report"),
        ("ingest", do.ingest, "raw files -> shards, manifest and index"),
        ("pretrain", do.pretrain, "train the encoders without labels"),
        ("probe", do.probe, "linear and kNN probes of the frozen encoders beside their controls"),
        ("evaluate", do.evaluate, "retrieval, verification, few-shot and more from the features that a probe stored"),
        ("finetune", do.finetune, "train the encoders with labels"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("recipe", type=Path, help="recipe YAML; or a run, for what comes after pretraining")
        verb.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="e.g. pretrain.epochs=5 data.root=DIR")
        verb.add_argument("--fork", metavar="NAME", help="start anew in a run folder beside the old one")
        _finish(verb, handler)
    demo = verbs.add_parser("demo", help="the whole pipeline on generated data with known factors")
    demo.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    demo.set_defaults(fork=None)
    _finish(demo, do.demo)
    verify = verbs.add_parser("verify", help="check every byte of an ingested data set")
    verify.add_argument("dataset", help="data set folder or URL")
    verify.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="e.g. allowed_hosts=[minio] cache=DIR")
    verify.add_argument("--workers", type=_count, metavar="N", help="processes; default: one per core")
    verify.add_argument("--hashes-only", action="store_true", help="sha256 of the shards only")
    _finish(verify, do.verify)
    relations = verbs.add_parser("relations", help="what each relation between training samples encodes")
    relations.add_argument("recipe", type=Path, help="recipe YAML, or the folder of an ingested data set")
    relations.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="e.g. relations.near.within_s=2 out=DIR")
    relations.add_argument("--fork", metavar="NAME", help="start anew in a run folder beside the old one")
    _finish(relations, do.relations)
    _add_finished(verbs)
    _add_submit(verbs)
    _add_others(verbs)
    return parser


def _add_finished(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    """Verbs that take a finished run."""
    for name, handler, text, keys in (
        ("export", do.export, "a finished run -> a registered model that MLflow serves", "name=walks alias=champion"),
        ("embed", do.embed, "a finished run -> embeddings of a whole data set", "dataset=DIR out=DIR workers=8"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("run", help="run folder, recipe YAML or MLflow run id")
        verb.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=f"e.g. {keys}")
        _finish(verb, handler)
    compare = verbs.add_parser("compare", help="results of runs side by side, with paired tests")
    compare.add_argument("runs", nargs="+", metavar="RUN", help="run folder or MLflow run id; the first is the base")
    _finish(compare, do.compare)


def _add_others(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    """Verbs beside the way from data to results."""
    study = verbs.add_parser("study", help="variants of one recipe, each with several seeds, in one table")
    study.add_argument("study", type=Path, help="study YAML")
    study.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of the study (seeds=[0]), else of its recipe")
    _finish(study, do.study)
    explain = verbs.add_parser("explain", help="every recipe key with type, default and meaning")
    explain.add_argument("prefix", nargs="?", default="", help="only keys below this one, e.g. pretrain.optim")
    _finish(explain, do.explain)
    ui = verbs.add_parser("ui", help="browse runs in the MLflow UI on this machine")
    ui.add_argument("--port", type=int, default=5000)
    _finish(ui, do.ui)
    sync = verbs.add_parser("sync", help="deliver metrics of a run that the tracking server has not got yet")
    sync.add_argument("run", type=Path, help="run folder")
    sync.add_argument("--new-run", action="store_true", help="to a new MLflow run, where the old one was deleted")
    _finish(sync, do.sync)


def _add_submit(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    submit = verbs.add_parser("submit", help="run a verb as a job on a Ray cluster")
    verbs_there = ["run", "ingest", "pretrain", "probe", "evaluate", "finetune", "relations", "study"]
    submit.add_argument("verb", choices=verbs_there)
    submit.add_argument("recipe", type=Path, help="recipe or study YAML, which travels with the job, or a run")
    submit.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="e.g. out=/shared/runs/x pretrain.workers=8")
    submit.add_argument("--fork", metavar="NAME", help="start anew in a run folder beside the old one")
    submit.add_argument("--address", default=os.environ.get("RAY_API_SERVER_ADDRESS"), help="http://HEAD:8265")
    actions = submit.add_mutually_exclusive_group()
    for name, text in (
        ("follow", "print the job's lines until it ends, and end with its exit code"),
        ("status", "say what became of this very job"),
        ("stop", "end it; it leaves a checkpoint"),
    ):
        actions.add_argument(f"--{name}", dest="action", action="store_const", const=name, help=text)
    submit.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="variable of the job")
    submit.add_argument("--secret", action="append", default=[], metavar="NAME", help="variable taken from here")
    submit.add_argument("--cpus", type=float, help="processors that the job's driver reserves")
    submit.add_argument("--gpus", type=float, help="GPUs that the job's driver reserves")
    submit.add_argument("--pip", type=Path, metavar="FILE", help="lock file to install there first")
    _finish(submit, do.submit)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no number of processes")
    return int(text)


class _Parser(argparse.ArgumentParser):
    """argparse exits with 2 on a usage error; ours is a configuration error."""

    def error(self, message: str) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - never returns either
        self.print_usage(sys.stderr)
        sys.stderr.write(f"{self.prog}: {message}\n")
        sys.exit(ConfigError.exit_code)


def _finish(verb: argparse.ArgumentParser, handler: do.Handler) -> None:
    verb.add_argument("--json", action="store_true", help="print the result as JSON on the last line")
    verb.set_defaults(handler=handler)


if __name__ == "__main__":
    sys.exit(main())
