"""Uploads beside training: never in its way, never lost without a word, and a new machine ends in the same bits."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.data.ledger import LEDGER_NAME
from pipeline.data.plan import Plan
from pipeline.errors import Fenced, Preempted, StorageUnavailable
from pipeline.train.background_upload import BackgroundUpload
from pipeline.train.checkpoint_mirror import CheckpointMirror
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit
from pipeline.train.loop import run_fit
from pipeline.train.mirror_resume import fetch_newest
from pipeline.train.run_ledger import complete_ledger, ledger_header
from tests.faulty_proxy import FaultyProxy, reset, silence
from tests.pipeline.train.mirrored import IDENTITY, mirror_at, save, store_at
from tests.pipeline.train.test_loop import CONFIG, make_fit
from tests.s3_server import S3Server
from tests.wait_for import wait_for


def fit_at(folder: Path, mirror: CheckpointMirror | None) -> Fit:
    """A toy run in `folder`, as a machine runs it that may be new."""
    plan, ledger = Plan(np.arange(40), batch_size=8, seed=0), folder / LEDGER_NAME
    folder.mkdir(exist_ok=True)
    store = CheckpointStore(folder / "checkpoints", uploads=BackgroundUpload(mirror))
    if mirror is not None:
        header = ledger_header(CONFIG.batch_size, IDENTITY)
        fetch_newest(store, mirror, lambda found: complete_ledger(ledger, header, found, plan))
    return replace(make_fit(folder), store=store, order=plan, ledger=ledger, identity=IDENTITY)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """State hash and ledger."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    return run_fit(fit_at(folder, None)).state_hash, (folder / LEDGER_NAME).read_bytes()


def die_at(limit: int) -> Callable[[int], None]:
    def before_step(step: int) -> None:
        if step == limit:
            raise KeyboardInterrupt

    return before_step


@pytest.mark.parametrize(("stop_after", "lost"), [(3, "everything"), (9, "checkpoints"), (14, "newest")])
def test_a_machine_that_is_replaced_ends_in_the_same_state_and_ledger(
    s3: S3Server, place: str, tmp_path: Path, undisturbed: tuple[str, bytes], stop_after: int, lost: str
) -> None:
    run, mirror = tmp_path / "run", mirror_at(s3.url, place)
    fit = fit_at(run, mirror)
    with pytest.raises(KeyboardInterrupt):
        run_fit(replace(fit, before_step=die_at(stop_after)))
    newest = fit.store.steps()[-1]
    wait_for(lambda: bool(mirror.checkpoints()) and mirror.checkpoints()[0].step == newest)
    if lost == "newest":
        shutil.rmtree(run / "checkpoints" / f"step-{newest:08d}")
        (run / LEDGER_NAME).write_bytes((run / LEDGER_NAME).read_bytes()[:100])
    else:
        shutil.rmtree(run / "checkpoints" if lost == "checkpoints" else run)

    again = fit_at(run, mirror_at(s3.url, place))
    assert again.store.steps()[-1] == newest
    result = run_fit(again)

    assert (result.state_hash, (run / LEDGER_NAME).read_bytes()) == undisturbed
    assert mirror.checkpoints()[0].step == result.steps


def test_training_goes_on_while_the_server_hangs_and_a_checkpoint_under_way_stays(
    s3: S3Server, place: str, proxy: FaultyProxy, tmp_path: Path
) -> None:
    mirror = mirror_at(proxy.url, place)
    store = store_at(tmp_path, mirror)
    proxy.once = [("step-00000001/MANIFEST", silence)]

    save(store, 1)
    wait_for(lambda: proxy.once == [])
    for step in (2, 3, 4):
        save(store, step)

    assert store.steps() == [1, 3, 4]
    with store.uploads.finished(lambda: False):
        pass
    assert [found.step for found in mirror.checkpoints()] == [4, 1]
    save(store, 5)
    assert store.steps() == [4, 5]


def test_a_failure_is_a_warning_that_the_next_checkpoint_mends(
    s3: S3Server, place: str, proxy: FaultyProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = mirror_at(proxy.url, place)
    store = store_at(tmp_path, mirror)
    proxy.always = reset
    save(store, 1)
    wait_for(lambda: "step-00000001 is not in the mirror" in caplog.text)
    proxy.always = None

    with store.uploads.finished(lambda: False):
        save(store, 2)

    assert [found.step for found in mirror.checkpoints()] == [2]


def test_a_run_whose_last_checkpoint_is_not_in_the_mirror_does_not_end_well_and_the_same_again_mends_it(
    s3: S3Server, place: str, proxy: FaultyProxy, tmp_path: Path, undisturbed: tuple[str, bytes]
) -> None:
    fit = fit_at(tmp_path / "run", mirror_at(proxy.url, place))
    broken = replace(fit, before_step=lambda step: setattr(proxy, "always", reset if step == 14 else None))
    with pytest.raises(StorageUnavailable) as caught:
        run_fit(broken)
    assert caught.value.exit_code == 75
    assert "step-00000015" in str(caught.value)
    proxy.always = None

    mirror = mirror_at(s3.url, place)
    assert run_fit(fit_at(tmp_path / "run", mirror)).state_hash == undisturbed[0]
    assert mirror.checkpoints()[0].step == 15


def test_a_stop_while_the_last_upload_hangs_is_heard(
    s3: S3Server, place: str, proxy: FaultyProxy, tmp_path: Path
) -> None:
    store = store_at(tmp_path, mirror_at(proxy.url, place))
    proxy.always = silence
    save(store, 1)

    with pytest.raises(Preempted, match="before the last checkpoint"), store.uploads.finished(lambda: True):
        pass
    assert store.steps() == [1]


def test_a_requested_stop_leaves_its_checkpoint_in_the_mirror(s3: S3Server, place: str, tmp_path: Path) -> None:
    mirror = mirror_at(s3.url, place)
    asked = iter([False])
    with pytest.raises(Preempted, match="after step 1 "):
        run_fit(replace(fit_at(tmp_path / "run", mirror), stop=lambda: next(asked, True)))

    assert [found.step for found in mirror.checkpoints()] == [1]


def test_training_that_was_replaced_elsewhere_ends(s3: S3Server, place: str, tmp_path: Path) -> None:
    old = fit_at(tmp_path / "old", mirror_at(s3.url, place))

    def replaced(step: int) -> None:
        if step == 5:
            fit_at(tmp_path / "new", mirror_at(s3.url, place))

    with pytest.raises(Fenced) as caught:
        run_fit(replace(old, before_step=replaced))
    assert caught.value.exit_code == 75
