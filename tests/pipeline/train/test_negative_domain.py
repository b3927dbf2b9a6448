"""Who may be a negative of a relational objective: samples of which nothing is known are nobody's."""

from dataclasses import replace

import numpy as np
import torch

from pipeline.memory.config import ClustersConfig
from pipeline.objectives.relational import NegativeDomain, Relational
from pipeline.relations.cliques import cliques
from pipeline.train.linked_rows import Domain
from pipeline.train.surroundings import Surroundings
from pipeline.worker import SingleWorker
from tests.contracts.objective_examples import BATCH, embeddings
from tests.toy_surroundings import MEMORY, toy_surroundings

TAG = np.array([0, 0, 1, 1, -1, -1, 2, 2])
"""Of eight samples two are not tagged."""
TAGGED = TAG >= 0
SMALL = MEMORY.model_copy(update={"candidates": BATCH, "clusters": ClustersConfig(num=(2,), min_cluster=2)})


def _tagged() -> Surroundings:
    found = toy_surroundings(SingleWorker(), num_samples=BATCH, memory=SMALL)
    return replace(found, relations={"tag": cliques(TAG)})


def test_a_sample_without_links_is_no_negative_in_the_batch() -> None:
    config = Relational(relation="tag")

    links = _tagged().around(embeddings(config), config, keys={}, step=0).links

    assert links is not None
    assert torch.equal(links.domain, torch.from_numpy(TAGGED)[None] & ~torch.eye(BATCH, dtype=torch.bool))


def test_nor_in_the_memory() -> None:
    config, surroundings = Relational(relation="tag", mode="bank"), _tagged()
    given = embeddings(config)
    assert surroundings.memory is not None
    rows = {name: given.views["imu"][0].detach()[:, :4].float() for name in ("a", "b")}
    present = {name: torch.ones(BATCH, dtype=torch.bool) for name in ("a", "b")}
    surroundings.memory.after_step(given.idx, rows, present, step=0, epoch_ended=False)

    mined = surroundings.around(replace(given, present=present), config, keys={}, step=1).mined["a"]

    assert mined.candidates_at is not None
    drawn = mined.candidates_at.numpy()
    assert sorted(drawn) == list(range(BATCH))
    assert not mined.different[:, torch.from_numpy(~TAGGED[drawn])].any()
    assert mined.different[0, torch.from_numpy(np.isin(drawn, [6, 7]))].all()


def test_groups_narrow_it_further() -> None:
    subject, device = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    domain = Domain(np.array([True, True, True, False]), same=subject, other=device)

    assert domain.allows(np.arange(4), np.arange(4)).tolist() == [
        [False, True, False, False],
        [True, False, False, False],
        [False, False, False, False],
        [False, False, True, False],
    ]


def test_a_relation_that_links_everything_once_leaves_all_others() -> None:
    found = toy_surroundings(SingleWorker(), num_samples=10, memory=SMALL)
    config = Relational(relation="fifth", negatives=NegativeDomain())

    links = found.around(embeddings(config), config, keys={}, step=0).links

    assert links is not None
    assert torch.equal(links.domain, ~torch.eye(BATCH, dtype=torch.bool))
