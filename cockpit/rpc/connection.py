"""One client of the socket: reads its lines, has them answered, pushes its events.

Nothing a client sends or leaves unread grows our memory past its limits.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Protocol, cast

import orjson

from cockpit.rpc.dispatch import Dispatcher, refusal
from cockpit.rpc.errors import INVALID_REQUEST
from cockpit.rpc.frames import Frames
from cockpit.rpc.limits import Limits
from cockpit.rpc.messages import Call, Fault, failure, not_json, notification, parse, read_call
from cockpit.rpc.messages import success as success_of
from cockpit.rpc.subscriptions import Wanted, read_wanted, told
from core.errors import Broken, CockpitError, Refused
from core.tasks import spawn

_BROKEN = "Something went wrong here; see the log."


class House(Protocol):
    """What a connection asks of its server."""

    limits: Limits
    dispatcher: Dispatcher
    work: set[asyncio.Task[Any]]

    def arrived(self, connection: "Connection") -> bool:
        """Whether the client is let in."""
        ...

    def left(self, connection: "Connection") -> None:
        """The client has gone."""
        ...


class Connection(asyncio.Protocol):
    """The protocol of one client."""

    def __init__(self, house: House):
        self._house = house
        self._limits = house.limits
        self._dispatcher = house.dispatcher
        self._frames = Frames(house.limits.frame)
        self._waiting: deque[bytes | None] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._push: asyncio.Task[None] | None = None
        self._wanted: Wanted | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._loop = asyncio.get_running_loop()
        self._ending = False
        self._lost = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self.heard_at = self._loop.time()
        self.stalled_at: float | None = None

    @property
    def busy(self) -> bool:
        """Whether it waits for an answer or follows events, so that silence is no idleness."""
        return bool(self._tasks) or self._push is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=self._limits.unread)
        if not self._house.arrived(self):
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`. What was begun is finished; nobody is told."""
        self._lost.set()
        self._waiting.clear()
        self._end_push()
        self._writable.set()
        self._house.left(self)

    def pause_writing(self) -> None:
        """See :class:`asyncio.Protocol`."""
        self.stalled_at = self._loop.time()
        self._writable.clear()

    def resume_writing(self) -> None:
        """See :class:`asyncio.Protocol`."""
        self.stalled_at = None
        self._writable.set()
        self._go_on()

    def eof_received(self) -> bool:
        """See :class:`asyncio.Protocol`. Answers under way are still sent."""
        self._ending = True
        self._close_if_done()
        return True

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        self.heard_at = self._loop.time()
        for frame in self._frames.feed(data):
            if self._waiting or self._full:
                self._waiting.append(frame)
            else:
                self._take(frame)
        if self._frames.skipped > self._limits.skipped:
            self.drop()
        elif self._waiting and self.transport is not None and not self._lost.is_set():
            self.transport.pause_reading()

    @property
    def _full(self) -> bool:
        return len(self._tasks) >= self._limits.in_flight or self.stalled_at is not None

    def _go_on(self) -> None:
        """Take up frames that had to wait, then read on."""
        while self._waiting and not self._full:
            self._take(self._waiting.popleft())
        if self._waiting or self._lost.is_set() or self.transport is None:
            return
        if self._ending:
            self._close_if_done()
        elif not self.transport.is_closing():
            self.transport.resume_reading()

    def _take(self, frame: bytes | None) -> None:
        if frame is None:
            self._send(
                failure(
                    None,
                    INVALID_REQUEST,
                    f"A line holds at most {self._limits.frame} bytes; this one is skipped.",
                )
            )
            return
        try:
            message = parse(frame)
        except ValueError:
            if frame.strip():
                self._send(not_json())
            return
        if isinstance(message, list):
            self._take_batch(message)
            return
        call = read_call(message)
        if isinstance(call, Fault):
            self._send(call.response)
        elif call.method == "ping":
            self._send(self._pong(call))
        else:
            self._start(self._answer(call), call.method, call.id)

    def _pong(self, call: Call) -> bytes | None:
        return None if call.id is None else success_of(call.id, self._dispatcher.pong)

    def _take_batch(self, messages: list[Any]) -> None:
        if not messages or len(messages) > self._limits.batch:
            what = f"A batch holds 1 to {self._limits.batch} requests."
            self._send(failure(None, INVALID_REQUEST, what))
            return
        self._start(self._answer_batch(messages), "batch", b"null")

    def _start(self, work: Coroutine[Any, Any, None], name: str, id_: bytes | None) -> None:
        task = spawn(work, name=f"rpc {name}")
        self._tasks.add(task)
        self._house.work.add(task)
        task.add_done_callback(self._house.work.discard)
        task.add_done_callback(partial(self._done, id_))

    def _done(self, id_: bytes | None, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._send(refusal(id_, Broken(_BROKEN)))
        self._go_on()

    async def _answer(self, call: Call) -> None:
        self._send(await self._reply(call))
        if call.method == "event.subscribe":
            self._start_pushing()

    async def _answer_batch(self, messages: list[Any]) -> None:
        answers: list[bytes] = []
        size = 0
        for message in messages:
            call = read_call(message)
            if isinstance(call, Fault):
                answer = call.response
            elif size > self._limits.batch_bytes:
                answer = refusal(call.id, _batch_too_large())
            else:
                answer = await self._isolated(call)
            if answer is not None:
                answers.append(answer)
                size += len(answer)
            await asyncio.sleep(0)  # others are served between the requests of a long batch
        if answers:
            self._send(b"[" + b",".join(answers) + b"]")
        self._start_pushing()

    async def _isolated(self, call: Call) -> bytes | None:
        """The answer to one request of a batch; a bug in it is not the others' bug."""
        if call.method == "ping":
            return self._pong(call)
        task = spawn(self._reply(call), name=f"rpc {call.method}")
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            task.cancel()
            raise
        return refusal(call.id, Broken(_BROKEN)) if task.exception() else task.result()

    async def _reply(self, call: Call) -> bytes | None:
        if call.method not in ("event.subscribe", "event.unsubscribe"):
            return await self._dispatcher.answer(call)
        try:
            begin = call.method == "event.subscribe"
            result = self._subscribe(call.params) if begin else self._unsubscribe()
        except CockpitError as error:
            return refusal(call.id, error)
        return None if call.id is None else success_of(call.id, orjson.dumps(result))

    def _subscribe(self, params: Mapping[str, Any]) -> dict[str, Any]:
        head = self._dispatcher.desk.journal.head()
        self._wanted = read_wanted(params, head)
        return {"head": head, "since": self._wanted.since, "topics": list(self._wanted.topics)}

    def _unsubscribe(self) -> dict[str, Any]:
        ended = self._push is not None
        self._end_push()
        return {"ended": ended}

    def _start_pushing(self) -> None:
        """After the answer, so that a client hears that it is subscribed before any event."""
        wanted, self._wanted = self._wanted, None
        if wanted is None or self._lost.is_set():
            return
        self._end_push()
        self._push = spawn(
            self._follow(wanted), name="rpc subscription", on_failure=lambda _: self.drop()
        )

    def _end_push(self) -> None:
        if self._push is not None:
            self._push.cancel()
            self._push = None

    async def _follow(self, wanted: Wanted) -> None:
        followed = self._dispatcher.desk.journal.follow(wanted.since)
        async with aclosing(cast("Any", followed)) as envelopes:
            async for envelope in envelopes:
                if wanted.includes(envelope.kind):
                    await self._writable.wait()
                    self._write(notification("event", told(envelope)))

    def _send(self, response: bytes | None) -> None:
        if response is not None:
            self._write(response + b"\n")

    def _write(self, data: bytes) -> None:
        if self.transport is not None and not self._lost.is_set():
            self.transport.write(data)

    def _close_if_done(self) -> None:
        if self._ending and not self._waiting and not self._tasks and self.transport is not None:
            self.transport.close()

    def drop(self) -> None:
        """End the connection at once."""
        if self.transport is not None and not self._lost.is_set():
            self.transport.abort()

    async def hang_up(self) -> None:
        """Close when the answers written so far have been taken."""
        self._waiting.clear()
        self._end_push()
        if self.transport is not None:
            self.transport.close()
        await self._lost.wait()


def _batch_too_large() -> Refused:
    return Refused(
        "BATCH_TOO_LARGE",
        "The answers before this one filled the batch; it was not performed.",
        recovery="Ask again in a smaller batch.",
    )
