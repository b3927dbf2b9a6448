"""The one training loop. No line here knows whether it runs in process or on a Ray cluster."""

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import torch
from pydantic import JsonValue

from pipeline.data.ledger import Ledger, open_ledger
from pipeline.data.read_ahead import read_ahead
from pipeline.errors import Preempted, TrainingHealthError
from pipeline.train.device_copy import DeviceCopy, Sent
from pipeline.train.fit import Fit, FitResult
from pipeline.train.health import refuse_nonfinite, refuse_nonfinite_weights
from pipeline.train.numerics import numerics, numerics_so_far
from pipeline.train.optim import build_optimizer, learning_rate_scale, set_learning_rate
from pipeline.train.reduce import GlobalStep
from pipeline.train.roll_call import RollCall
from pipeline.train.run_ledger import ledger_header
from pipeline.train.state import TrainState, check_identity
from pipeline.train.task import Outputs
from pipeline.types import Batch, Cursor, LossTerms
from pipeline.worker import owned_micro_batches

Done: TypeAlias = tuple[torch.Tensor, LossTerms, Outputs, float]
_log = logging.getLogger(__name__)


def run_fit(fit: Fit) -> FitResult:
    """Train to the last step from the newest valid checkpoint. Raises Preempted after a requested stop."""
    loop = _Loop(fit)
    try:
        with fit.store.uploads.finished(fit.stop):
            return loop.run()
    finally:
        if loop.ledger is not None:
            loop.ledger.close()


class _Loop:
    def __init__(self, fit: Fit) -> None:
        config = fit.config
        config.check_shares(fit.worker.world)
        self.fit, self.config = fit, config
        self.num_steps = config.epochs * fit.order.steps_per_epoch
        fit.task.module.to(fit.device)
        fit.task.objectives.to(fit.device)
        if fit.task.kept is not None:
            fit.task.kept.to(fit.device)
        self.state = TrainState(fit.task, build_optimizer(fit.groups), ema_decay=config.ema_decay)
        self.device_copy = DeviceCopy(fit.device)
        self.micro = list(owned_micro_batches(config.micro_batches, fit.worker.rank, fit.worker.world))
        self.step_maker = GlobalStep(
            fit.task,
            fit.worker,
            num_micro=config.micro_batches,
            reduce=config.reduce,
            precision=torch.bfloat16 if config.precision == "bfloat16" else torch.float32,
            seed=fit.seed,
        )
        self.parameters = [p for group in self.state.optimizer.param_groups for p in group["params"]]
        self.waited, self.noticed = 0.0, False
        self.roll_call = RollCall(fit.worker, fit.device, self.parameters)
        self.logged = (0.0, 0)
        self.saved, self.saved_step = "", 0
        self.numerics: list[JsonValue] = []
        self.ledger: Ledger | None = None

    def run(self) -> FitResult:
        self._resume()
        started, first = time.perf_counter(), self.state.step
        self.saved_step, self.logged = first, (started, first)
        batches = read_ahead(
            self._cursors(),
            self._read,
            readers=self.config.readers,
            max_bytes=self.config.read_ahead_mib << 20,
            size=lambda sent: sent.nbytes,
        )
        try:
            while not self._ended_early() and self.state.step < self.num_steps:
                self._one_step(batches)
        finally:
            batches.close()
        self._save(last=True)
        self.fit.worker.barrier()
        seconds = max(time.perf_counter() - started, 1e-9)
        samples = (self.state.step - first) * self.config.batch_size
        return FitResult(
            steps=self.state.step,
            state_hash=self.state.hash(),
            bitwise=self.config.reduce == "exact" and len(self.numerics) == 1,
            samples_per_s=samples / seconds,
            wait_share=self.waited / seconds,
            checkpoint=self.saved,
            ledger_sha256=self.ledger.sha256 if self.ledger else None,
        )

    def _ended_early(self) -> bool:
        """Asked after every epoch, and again by whoever resumes there."""
        between = self.state.step > 0 and self.state.cursor.step == 0
        return between and self.fit.after_epoch(self.state.cursor.epoch)

    def _resume(self) -> None:
        if self.fit.worker.rank == 0:
            self.fit.store.begin_attempt()
        self.fit.worker.barrier()
        checkpoint = self.fit.store.newest()
        found = f"{checkpoint.step} {checkpoint.path.name}" if checkpoint else "none"
        agreed = self.fit.worker.agree(found)
        if agreed != found:
            raise TrainingHealthError(
                "workers see different checkpoints",
                code="RANK_DESYNC",
                expected=agreed,
                got=found,
                fix="put the run folder on storage every node shares",
            )
        if checkpoint is not None:
            check_identity(checkpoint, self.fit.identity)
            self.state.restore(checkpoint)
            _log.info("resumed at step %d of %d", self.state.step, self.num_steps)
        self.numerics = numerics_so_far(checkpoint, numerics(self.fit.device))
        if len(self.numerics) > 1 and self.fit.worker.rank == 0:
            self.fit.run.tags({"kindred.bitwise": "false"})
        if self.fit.ledger is not None and self.fit.worker.rank == 0:
            header = ledger_header(self.config.batch_size, self.fit.identity)
            self.ledger = open_ledger(self.fit.ledger, header, checkpoint.state if checkpoint else None)

    def _cursors(self) -> Iterator[Cursor]:
        cursor = self.state.cursor
        for _ in range(self.state.step, self.num_steps):
            yield cursor
            cursor = cursor.after(self.fit.order.steps_per_epoch)

    def _read(self, cursor: Cursor) -> Sent:
        """The own micro-batches of a step; runs in the threads that read ahead."""
        parts = np.split(self.fit.order.batch(cursor.epoch, cursor.step), self.config.micro_batches)
        return self.device_copy.send([self.fit.read(parts[number]) for number in self.micro])

    def _one_step(self, batches: Iterator[tuple[Cursor, Sent]]) -> None:
        before = time.perf_counter()
        cursor, sent = next(batches)
        own_batches = self.device_copy.receive(sent)
        waited = time.perf_counter() - before
        self.waited += waited
        self._stop_if_asked(cursor)  # every rank has its data from here on
        self.fit.before_step(self.state.step)
        ended = cursor.step + 1 == self.fit.order.steps_per_epoch
        clusters = ended and self.fit.task.kept is not None  # a whole memory, for however long
        with contextlib.nullcontext() if clusters else self.fit.watchdog.step():
            done = self._train(cursor, own_batches, waited, epoch_ended=ended)
        self._record(cursor, *done)  # to storage that may be slow
        if self.state.step % self.config.checkpoint_every == 0:
            self._save()

    def _stop_if_asked(self, cursor: Cursor) -> None:
        heard = self.roll_call(self.state.step, cursor, stop=self.fit.stop())
        if heard.due and not self.noticed and self.fit.reclaimed():
            self.noticed = True
            self._save()
        if not heard.stop:
            return
        if self.state.step != self.saved_step:
            self._save()
        raise Preempted(
            f"stopped after step {self.state.step} of {self.num_steps}" + " with a checkpoint" * (self.state.step > 0),
            code="PREEMPTED",
            fix="type the same command again to go on",
        )

    def _train(self, cursor: Cursor, own_batches: list[Batch], waited: float, *, epoch_ended: bool) -> Done:
        self.fit.task.module.train()
        began = time.perf_counter()
        own = self.step_maker.forward(own_batches, self.micro, step=self.state.step, epoch=cursor.epoch)
        self.roll_call.forwarded(waited, began, micro_batches=len(self.micro))
        leaves = self.step_maker.gather(own)
        terms, total = self.step_maker.loss(leaves, step=self.state.step)
        refuse_nonfinite(total, terms, leaves, step=self.state.step)
        self.state.events.see(leaves)
        total.backward()
        self.step_maker.backward(own, self.micro, leaves)
        norm = self._update()
        if self.fit.task.kept is not None:
            self.fit.task.kept.after_step(leaves, step=self.state.step, epoch_ended=epoch_ended)
        self.state.step += 1
        self.state.cursor = cursor.after(self.fit.order.steps_per_epoch)
        self.state.update_average()
        return total, terms, leaves, norm

    def _record(self, cursor: Cursor, total: torch.Tensor, terms: LossTerms, leaves: Outputs, norm: float) -> None:
        if self.ledger is not None:
            self.ledger.append(cursor, leaves["idx"].cpu().numpy())
        monitored = self.state.step % self.config.monitor_every == 0
        loss = float(total.detach()) if self.config.reduce == "exact" else 0.0
        self.roll_call.note(loss, norm, self.parameters if monitored else ())
        self._log(total, terms, leaves, norm)

    def _update(self) -> float:
        scale = learning_rate_scale(self.config.optim, self.state.step, self.num_steps)
        set_learning_rate(self.state.optimizer, scale)
        limit = self.config.optim.clip_norm
        clipped = torch.nn.utils.clip_grad_norm_(self.parameters, math.inf if limit is None else limit, foreach=False)
        norm = float(clipped)
        if self.state.events.may_step(norm, step=self.state.step):
            self.state.optimizer.step()
        self.state.optimizer.zero_grad()
        return norm

    def _log(self, total: torch.Tensor, terms: LossTerms, leaves: Outputs, norm: float) -> None:
        step, last = self.state.step, self.state.step == self.num_steps
        metrics: dict[str, float] = {}
        if step % self.config.monitor_every == 0 or last:  # on every rank: what they look at may be gathered
            metrics |= {f"health/{name}": value for name, value in self.fit.task.monitors(leaves, step=step).items()}
        if self.fit.worker.rank != 0:
            return
        if step % self.config.log_every == 0 or last or step == 1:
            metrics |= {"loss/total": float(total.detach())}
            metrics |= {f"loss/{name}": float(value.detach()) for name, value in terms.terms.items()}
            metrics |= {"gradient_norm": norm, "learning_rate": self.state.optimizer.param_groups[0]["lr"]}
            metrics |= self.state.events.metrics()
            metrics["samples_per_s"] = self._rate()
            metrics |= self.roll_call.slowest() if step > 1 else {}
        if metrics:
            self.fit.run.metrics(metrics, step)
            self.fit.on_step(step, self.num_steps, metrics)

    def _rate(self) -> float:
        """Samples per second since the last logged step."""
        (then, before), now = self.logged, time.perf_counter()
        self.logged = (now, self.state.step)
        return (self.state.step - before) * self.config.batch_size / max(now - then, 1e-9)

    def _save(self, *, last: bool = False) -> None:
        self.saved_step = self.state.step
        for module in (self.fit.task.module, self.fit.task.objectives):
            refuse_nonfinite_weights(module, step=self.state.step)
        parts = self.state.parts()
        if self.fit.worker.rank == 0:
            state: dict[str, JsonValue] = {"position": self.state.position(), "identity": dict(self.fit.identity)}
            state["numerics"] = self.numerics
            if self.ledger is not None:
                state["ledger"] = self.ledger.finish() if last else self.ledger.commit()
            self.saved = str(self.fit.store.save(self.state.step, parts, state))
        for _ in parts:  # every rank takes part in gathering what is dealt over ranks
            pass
