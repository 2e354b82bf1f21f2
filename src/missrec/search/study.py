"""A hyper-parameter study in a folder, whose trials several processes share."""

from __future__ import annotations

import fcntl
import math
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from missrec.runs.format import current_settings
from missrec.runs.identity import ACCEPTED, DATA, Identity, check_same, identity_in
from missrec.runs.settings import Marks, comparable_settings, described, differing
from missrec.runs.trust import UntrustedError
from missrec.search.space import suggest
from missrec.search.trials import TrialRow

DATABASE = "study.db"
REASON = "reason"  # user attribute of a trial that did not complete
_NAME = "missrec"  # of the study in its database; the folder may be renamed
_SETTINGS = "settings"
_STARTS = "starts"  # user attribute: reported epochs at each start of a trial's process
_MAX_STARTS = 3  # without an epoch between
_WAIT_SEC = 60  # for another process that writes to the database


def trial_name(number: int) -> str:
    """The name of a trial's folder; with several seeds it is the start of theirs."""
    return f"trial_{number:04d}"


class OtherStudyError(ValueError):
    """The folder of a study holds another one, or something else."""


class SharedStudy:
    """The trials of a folder; several processes may work on them, and any of them may die.

    A process that works on a trial holds a lock of the operating system, which ends with the
    process. A running trial without one was interrupted, and the next process that asks for work
    takes it up. What is proposed depends on the seed, the number of the trial and the results so
    far, not on how often the search was stopped.
    """

    def __init__(
        self,
        folder: Path,
        *,
        space: Mapping[str, BaseDistribution],
        sampler: Callable[..., BaseSampler],
        pruner: BasePruner,
        seed: int | None,
        max_trials: float,
        settings: Mapping[str, Any],
        marks: Marks,
    ) -> None:
        """Opens the study, or starts it.

        Args:
            folder: made if need be.
            space: what each parameter is drawn from.
            sampler: called with a seed before each proposal.
            pruner: asked after each report.
            seed: of the proposals.
            max_trials: trials of the study, however they end.
            settings: plain values by dotted key; what can change a result must be as the study was
                started with.
            marks: say which can.

        Raises:
            OtherStudyError: the folder holds a study of other settings, or no study.
            UntrustedError: its trials have parameters that are none of the space.
        """
        self.folder = folder
        self._space = dict(space)
        self._sampler = sampler
        self._seed = seed
        self._max_trials = max_trials
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:
            self._locks: TextIO = opened.enter_context((folder / "locks").open("a"))
            with self.exclusively(), _undisturbed(), _readable(folder / DATABASE):
                self._storage = _open_storage(folder / DATABASE)
                opened.callback(self._storage.engine.dispose)
                opened.callback(self._storage.remove_session)
                self._study = optuna.create_study(
                    storage=self._storage,
                    study_name=_NAME,
                    direction="maximize",
                    load_if_exists=True,
                    pruner=pruner,
                )
                self._check(dict(settings), marks)
                self._refuse_strangers()
                self.rows()
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Lets go of the database, and of a trial that was not told."""
        self._opened.close()

    def check_data(self, found: Identity, *, accept: bool, remedy: str) -> None:
        """Refuses data that is not what the trials so far were made on.

        Args:
            found: the data at hand; that of the first trial is kept.
            accept: go on with changed data, which is kept beside how it had changed.
            remedy: see `check_same`.

        Raises:
            ChangedDataError: the data has changed, and that is not accepted.
        """
        with self.exclusively(), _undisturbed():
            known = self._study.user_attrs
            if not self._trials:
                self._study.set_user_attr(DATA, dict(found))
                return
            name = str(self.folder)
            recorded = identity_in(known)
            changed = check_same(recorded, found, name=name, accept=accept, remedy=remedy)
            if changed:
                self._study.set_user_attr(ACCEPTED, [*known.get(ACCEPTED, []), *changed])
                self._study.set_user_attr(DATA, dict(found))

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keeps the other processes from taking, telling and writing what the study comes to."""
        fcntl.lockf(self._locks, fcntl.LOCK_EX, 1, 0)
        try:
            yield
        finally:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, 0)

    def take(self) -> Trial | None:
        """The next trial to work on.

        An interrupted one first, else a new one. None when the study has all its trials. A process
        has one trial at a time.
        """
        with self.exclusively(), _undisturbed():
            while (trial := self._interrupted() or self._next()) is not None:
                for name, distribution in self._space.items():
                    suggest(trial, name, distribution)
                if not self._known(trial):
                    return trial
        return None

    def report(self, trial: Trial, *, epoch: int, value: float) -> bool:
        """Notes the metric of an epoch; whether the trial is not worth going on with.

        A trial that was interrupted repeats epochs; what was decided on them stands.
        """
        with self.exclusively(), _undisturbed():
            known = [*self._trials[trial.number].intermediate_values]
            if epoch not in known:
                trial.report(value, epoch)
            return epoch >= max(known, default=0) and trial.should_prune()

    def tell(
        self,
        trial: Trial,
        *,
        value: float | None = None,
        pruned: bool = False,
        reason: str | None = None,
    ) -> None:
        """Ends a trial: complete with a value, pruned, or failed for a reason."""
        with self.exclusively(), _undisturbed():
            if reason is not None:
                trial.set_user_attr(REASON, reason)
            self._end(trial.number, value, pruned=pruned)

    def put_back(self, trial: Trial) -> None:
        """Leaves a trial to the next process, unless it has ended: this one was asked to stop."""
        with self.exclusively(), _undisturbed():
            if not self._trials[trial.number].state.is_finished():
                trial.set_user_attr(_STARTS, trial.user_attrs[_STARTS][:-1])

    def rows(self) -> list[TrialRow]:
        """All trials, by number."""
        with _undisturbed():
            return [_row(trial) for trial in self._trials]

    @property
    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _check(self, settings: dict[str, Any], marks: Marks) -> None:
        known = self._study.user_attrs.get(_SETTINGS)
        if known is None or not self._trials:
            self._study.set_user_attr(_SETTINGS, settings)
            return
        there, here = (
            comparable_settings(found, marks=marks) for found in (current_settings(known), settings)
        )
        if differences := differing(there, here, marks=marks):
            raise OtherStudyError(
                f"{self.folder} was started with another {described(differences, most=3)}; the "
                "command that started it goes on with it"
            )

    def _refuse_strangers(self) -> None:
        """Parameters become settings of a run: a stranger's could name code of its own."""
        for trial in self._trials:
            for name, distribution in trial.distributions.items():
                if distribution != self._space.get(name):
                    raise UntrustedError(
                        f"{self.folder / DATABASE}: {name} ({trial.params[name]}) of trial "
                        f"{trial.number} is not from the space of this search"
                    )

    def _lock(self, number: int) -> bool:
        """Whether the trial is ours now; one byte of the file stands for each."""
        try:
            fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1 + number)
        except OSError:
            return False
        return True

    def _end(self, number: int, value: float | None = None, *, pruned: bool = False) -> None:
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        self._study.tell(number, value, state=TrialState.PRUNED if pruned else state)
        fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, 1 + number)

    def _interrupted(self) -> Trial | None:
        for found in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not self._lock(found.number):
                continue
            trial = self._trial(found.number)
            starts = found.user_attrs.get(_STARTS, [])
            if starts.count(len(found.intermediate_values)) < _MAX_STARTS:
                trial.set_user_attr(_STARTS, [*starts, len(found.intermediate_values)])
                return trial
            trial.set_user_attr(REASON, f"its process died {_MAX_STARTS} times")
            self._end(found.number)
        return None

    def _next(self) -> Trial | None:
        number = len(self._trials)
        if number >= self._max_trials:
            return None
        for stale in self.folder.glob(f"{trial_name(number)}*"):
            shutil.rmtree(stale)
        self._study.sampler = self._sampler(seed=self._sampler_seed(number))
        trial = self._study.ask()
        self._lock(trial.number)
        trial.set_user_attr(_STARTS, [0])
        return trial

    def _trial(self, number: int) -> Trial:
        self._study.sampler = self._sampler(seed=self._sampler_seed(number))
        study_id = self._storage.get_study_id_from_name(_NAME)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, number)
        return Trial(self._study, trial_id)

    def _sampler_seed(self, number: int) -> int | None:
        if self._seed is None:
            return None
        return int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])

    def _known(self, trial: Trial) -> bool:
        """Whether an earlier trial had the same parameters; then this one ends at once."""
        twins = [twin for twin in self._trials[: trial.number] if twin.params == trial.params]
        if not twins:
            return False
        twin = twins[0]
        trial.set_user_attr(REASON, f"the same as trial {twin.number}, {_state(twin)}")
        self._end(trial.number, twin.value if twin.state == TrialState.COMPLETE else None)
        return True


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Puts off Ctrl-C and SIGTERM: SQLite keeps its locks when a call is left in the middle."""
    caught: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _: caught.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for received in caught:
        signal.raise_signal(received)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Says in a line that a database is none of a study, or damaged: either raises anything."""
    try:
        yield
    except (OtherStudyError, UntrustedError):
        raise
    except Exception as error:
        said = str(getattr(error, "orig", None) or error) or type(error).__name__
        raise OtherStudyError(f"{path} is no study: {said.splitlines()[0]}") from error


def _open_storage(path: Path) -> RDBStorage:
    options = {"connect_args": {"timeout": _WAIT_SEC}}
    return RDBStorage(f"sqlite:///{path}", engine_kwargs=options)


def _row(trial: FrozenTrial) -> TrialRow:
    return TrialRow(
        number=trial.number,
        state=_state(trial),
        value=math.nan if trial.value is None else trial.value,
        epochs=len(trial.intermediate_values),
        duration_sec=None if trial.duration is None else trial.duration.total_seconds(),
        params=dict(trial.params),
        reason=trial.user_attrs.get(REASON, ""),
    )


def _state(trial: FrozenTrial) -> str:
    return "failed" if trial.state == TrialState.FAIL else trial.state.name.lower()
