"""The one writer: a thread that groups what waits into one commit at ``synchronous=FULL``.

An append is recorded and projected in one transaction; one that fails costs the others nothing.
What anyone is told afterwards is already on disk.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from core.context import Context
from core.errors import CockpitError, Unavailable
from core.journal import recording
from core.journal.answers import Answer, Waiting, tell
from core.journal.failures import caught, translated
from core.journal.group import Group, Part
from core.journal.interfaces import Append, Projection
from core.journal.statements import Statements
from core.journal.states import States
from core.journal.store import HEAD, Store, closed, driver, settle, transaction

MAX_GROUP = 512  # appends in one transaction
MAX_GROUP_BYTES = 8 << 20  # of payloads in one transaction
_HEAD = "UPDATE journal_head SET seq = ?, hash = ?"


@dataclass(slots=True)
class Request:
    """An append that waits, and who waits for it."""

    append: Append
    future: Waiting


@dataclass(slots=True)
class Job:
    """Something else that must have the writer's connection for itself, in one transaction."""

    run: Callable[[Connection], Any]
    future: Waiting


class Writer:
    """Owns the writing connection."""

    def __init__(
        self,
        store: Store,
        states: States,
        projections: Sequence[Projection],
        context: Context,
        on_commit: Callable[[Part], None],
    ):
        """Start the thread. ``on_commit`` is told on it, after each commit."""
        self._store = store
        self._states = states
        self._projections = projections
        self._context = context
        self._on_commit = on_commit
        self._statements = Statements()
        self._head: tuple[int, str] | None = None
        self._queue: SimpleQueue[Request | Job | None] = SimpleQueue()
        self._handing = threading.Lock()
        self._closed = False
        self._connection = store.writer()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def submit(self, item: Request | Job) -> None:
        """Hand over an append or a job; its future tells the rest."""
        with self._handing:
            if not self._closed:
                self._queue.put(item)
                return
        tell([(item.future, closed())])

    def close(self) -> None:
        """Finish what waits, then end the thread. A second call does nothing."""
        with self._handing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        taken: list[Request | Job | None] = []
        while not taken or taken[-1] is not None:
            taken = self._take()
            self._work([item for item in taken if item is not None])

    def _take(self) -> list[Request | Job | None]:
        """All that waits; the end is always the last."""
        taken = [self._queue.get()]
        while taken[-1] is not None and len(taken) < MAX_GROUP and not self._queue.empty():
            taken.append(self._queue.get())
        return taken

    def _work(self, items: Iterable[Request | Job]) -> None:
        waiting: deque[Request] = deque()
        for item in items:
            if not item.future.set_running_or_notify_cancel():
                continue  # its caller went away before anything was recorded
            if isinstance(item, Request):
                waiting.append(item)
                continue
            self._record(waiting)
            self._perform(item)
        self._record(waiting)

    def _record(self, waiting: deque[Request]) -> None:
        while waiting:
            taken: list[Request] = []
            found = self._commit(waiting, taken)
            if isinstance(found, CockpitError):
                found = self._after_failure(found, taken, waiting)
            tell(found)

    def _after_failure(
        self, failure: CockpitError, taken: list[Request], waiting: deque[Request]
    ) -> list[Answer]:
        """The transaction failed as a whole: only the guilty append shall."""
        if not taken or isinstance(failure, Unavailable):  # whoever is next would meet it too
            taken = [*taken, *waiting]
            waiting.clear()
            return _all_told(failure, taken)
        if len(taken) == 1:
            return _all_told(failure, taken)
        answers: list[Answer] = []
        for request in taken:
            found = self._commit(deque([request]), [])
            answers += _all_told(found, [request])
        return answers

    def _commit(self, waiting: deque[Request], taken: list[Request]) -> list[Answer] | CockpitError:
        """Record as many of ``waiting`` as fit into one transaction; they move to ``taken``."""
        try:
            with transaction(self._connection):
                group = self._group()
                answers = self._fill(group, waiting, taken)
                self._store_part(group.made)
        except (SQLAlchemyError, sqlite3.Error, CockpitError) as error:
            self._head = None
            return translated(error)
        self._head = group.made.seq, group.made.hash
        self._states.publish(group.made.states)
        if group.made.rows:
            self._on_commit(group.made)
        return answers

    def _group(self) -> Group:
        head = self._head
        if head is None:
            row = self._connection.execute(select(HEAD.c.seq, HEAD.c.hash)).one()
            head = row.seq, row.hash
        return Group(
            head, states=self._states, projections=self._projections, context=self._context
        )

    def _fill(self, group: Group, waiting: deque[Request], taken: list[Request]) -> list[Answer]:
        answers: list[Answer] = []
        while waiting and group.made.size < MAX_GROUP_BYTES:
            request = waiting.popleft()
            taken.append(request)
            result = caught(partial(group.take, self._connection, request.append))
            answers.append((request.future, result))
        return answers

    def _store_part(self, part: Part) -> None:
        if not part.rows:
            return
        with closing(driver(self._connection).cursor()) as cursor:
            cursor.executemany(recording.INSERT, part.rows)
            cursor.execute(_HEAD, (part.seq, part.hash))
        failure = caught(partial(self._statements.apply, self._connection, part.writes))
        if failure is not None:
            raise failure

    def _perform(self, job: Job) -> None:
        def perform() -> Any:
            with transaction(self._connection):
                result = job.run(self._connection)
            settle(self._connection)
            return result

        self._head = None
        tell([(job.future, caught(perform))])


def _all_told(found: list[Answer] | CockpitError, requests: Iterable[Request]) -> list[Answer]:
    if isinstance(found, CockpitError):
        return [(request.future, found) for request in requests]
    return found
