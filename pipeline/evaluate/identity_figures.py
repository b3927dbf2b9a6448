"""Verification and open-set identification with stored features as flat figures."""

from pipeline.evaluate.evaluation_task import Codes, EvaluationTask, Matrix, pair_codes
from pipeline.evaluate.identification import Searches, enrol, search
from pipeline.evaluate.similarity import Cosine
from pipeline.evaluate.verification import (
    Pairs,
    area_under_roc,
    equal_error_rate,
    fold_accuracy,
    true_acceptance,
    verification_pairs,
)

Figures = dict[str, float]


def pairs_of_samples(x: Matrix, rows: Codes, task: EvaluationTask) -> Pairs:
    """Pairs of test samples, features (n, D) of rows (n,): not of one recording, nor one identity in one session."""
    identities = task.identities[rows]
    return verification_pairs(x, identities, (task.records[rows], pair_codes(task.sessions[rows], identities)))


def verified(pairs: Pairs) -> Figures:
    """What needs no rate."""
    return {
        "auroc": area_under_roc(pairs),
        "eer": equal_error_rate(pairs),
        "genuine": len(pairs.genuine),
        "impostor": len(pairs.impostor),
    }


def accuracy_of_folds(pairs: Pairs) -> Figures:
    """Balanced accuracy at a threshold chosen on other pairs."""
    mean, sd = fold_accuracy(pairs)
    return {"accuracy": mean, "accuracy_sd": sd}


def accepted(pairs: Pairs, far: float) -> Figures:
    """TAR at a FAR."""
    return {"tar": true_acceptance(pairs, far).tar}


def searches_of_samples(x: Matrix, rows: Codes, task: EvaluationTask, *, seed: int) -> Searches:
    """Searches of test samples, features (n, D) of rows (n,), among the first sessions of half of the identities."""
    identities = task.identities[rows]
    enrolled = enrol(identities, pair_codes(task.sessions[rows], identities), seed=seed)
    similarity = Cosine(x[enrolled.probes], x[enrolled.gallery])
    return search(similarity, identities[enrolled.probes], identities[enrolled.gallery])


def searched(found: Searches) -> Figures:
    """What needs no rate."""
    return {"rank_one": found.rank_one, "mated": len(found.top), "strangers": len(found.strangers)}


def identified(found: Searches, fpir: float) -> Figures:
    """TPIR at a FPIR."""
    return {"tpir": found.true_identification(fpir)}
