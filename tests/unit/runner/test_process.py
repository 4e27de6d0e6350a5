"""A guarded command: nothing of it outlives its end, whatever it does to stay."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner.process import Exit, GuardedProcess, Start, end_abandoned, read_exit
from tests.processes import working_in

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]

# Each leaves a process behind in another way, then says so and waits for ever.
ESCAPES = {
    "a plain child": "subprocess.Popen(hang)",
    "a session of its own": "subprocess.Popen(hang, start_new_session=True)",
    "nohup in the background": "subprocess.run('nohup sleep 1000 >/dev/null 2>&1 &', shell=True)",
    "a double fork": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp(hang[0], hang)
    os._exit(0)
os.wait()""",
    "no environment and no session": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", hang, {})
    os._exit(0)
os.wait()""",
    "deaf to TERM": """
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.execvp(hang[0], hang)
signal.signal(signal.SIGTERM, signal.SIG_IGN)""",
    "stopped": """
if os.fork() == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
    os.execvp(hang[0], hang)""",
    "a dead main thread": """
if os.fork() == 0:
    threading.Thread(target=time.sleep, args=(1000,)).start()
    ctypes.CDLL(None).pthread_exit(None)""",
    "an heir at each TERM": """
def heir(*_):
    os.fork()
if os.fork() == 0:
    signal.signal(signal.SIGTERM, heir)
    while True:
        signal.pause()""",
}
PRELUDE = """
import ctypes, os, pathlib, signal, subprocess, sys, threading, time
hang = ["sleep", "1000"]
ready = lambda: pathlib.Path("ready.part").rename("ready")
pathlib.Path("ready.part").write_text(str(os.getpid()))
"""


def script(body: str, *, end: str = "ready()\nsignal.pause()") -> list[str]:
    return [sys.executable, "-c", f"{PRELUDE}{body}\n{end}"]


def start_of(folder: Path, argv: list[str], **more: Any) -> Start:
    return Start(
        argv=argv,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        stdout=folder / "out" / "stdout",
        stderr=folder / "out" / "stderr",
        state=folder / "guard",
        **more,
    )


async def until(met: Callable[[], Any], seconds: float = 20.0) -> Any:
    limit = time.monotonic() + seconds
    while not (found := met()):
        assert time.monotonic() < limit, "waited in vain"
        await asyncio.sleep(0.01)
    return found


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    left = working_in(tmp_path)
    for process in left:
        process.kill()
    assert left == []


async def begin(folder: Path, body: str = "", **more: Any) -> GuardedProcess:
    process = await GuardedProcess.start(start_of(folder, script(body), **more))
    await until((folder / "ready").exists)
    return process


@pytest.mark.asyncio
@pytest.mark.parametrize("body", ESCAPES.values(), ids=ESCAPES.keys())
class TestNothingOutlives:
    async def test_a_stop(self, tmp_path: Path, body: str) -> None:
        process = await begin(tmp_path, body, grace=5.0)
        before = time.monotonic()
        await process.stop()
        assert time.monotonic() - before < 2.0
        assert working_in(tmp_path) == []
        ended = await process.wait()
        assert ended.ended_by == "stop"

    async def test_the_end_of_the_command_itself(self, tmp_path: Path, body: str) -> None:
        argv = script(body, end="ready()\nos._exit(7)")
        process = await GuardedProcess.start(start_of(tmp_path, argv))
        ended = await process.wait()
        assert (ended.exit_code, ended.ended_by) == (7, "self")
        assert working_in(tmp_path) == []


OWNER = """
import asyncio, os, pathlib, sys
sys.path.insert(0, {root!r})
from runner.process import GuardedProcess, Start
folder = pathlib.Path({folder!r})
async def main():
    start = Start(argv={argv!r}, cwd=folder, env=dict(os.environ), stdout=folder / "out/stdout",
        stderr=folder / "out/stderr", state=folder / "guard", grace=5.0)
    process = await GuardedProcess.start(start)
    {then}
    await process.wait()
asyncio.run(main())
"""


def owner(folder: Path, body: str, then: str = "") -> "subprocess.Popen[bytes]":
    facts = {"root": str(ROOT), "folder": str(folder), "argv": script(body), "then": then}
    return subprocess.Popen([sys.executable, "-c", OWNER.format(**facts)], cwd=ROOT)


@pytest.mark.asyncio
@pytest.mark.parametrize("body", ESCAPES.values(), ids=ESCAPES.keys())
async def test_nothing_outlives_an_owner_that_is_killed(tmp_path: Path, body: str) -> None:
    with owner(tmp_path, body) as process:
        await until((tmp_path / "ready").exists)
        process.kill()
    before = time.monotonic()
    await until(lambda: read_exit(tmp_path / "guard"))
    assert time.monotonic() - before < 2.0
    assert working_in(tmp_path) == []
    ended = read_exit(tmp_path / "guard")
    assert ended is not None
    assert ended.ended_by == "owner_gone"


@pytest.mark.asyncio
async def test_a_frozen_tree_ends_with_its_owner_too(tmp_path: Path) -> None:
    then = "await asyncio.sleep(0.2); await process.pause(); os.kill(os.getpid(), 9)"
    with owner(tmp_path, "subprocess.Popen(hang)", then):
        await until(lambda: read_exit(tmp_path / "guard"))
    assert working_in(tmp_path) == []


@pytest.mark.asyncio
class TestHowItEnded:
    async def test_output_input_and_code_are_kept(self, tmp_path: Path) -> None:
        argv = ["/bin/sh", "-c", "cat; echo bad >&2; exit 3"]
        process = await GuardedProcess.start(start_of(tmp_path, argv, stdin=b"in\x00\xff"))
        ended = await process.wait()
        assert (ended.exit_code, ended.ended_by, ended.signal) == (3, "self", None)
        assert (tmp_path / "out/stdout").read_bytes() == b"in\x00\xff"
        assert (tmp_path / "out/stderr").read_bytes() == b"bad\n"
        assert read_exit(tmp_path / "guard") == ended

    async def test_the_facts_stand_in_a_file(self, tmp_path: Path) -> None:
        began = time.time()
        process = await GuardedProcess.start(start_of(tmp_path, ["/bin/sh", "-c", "kill -9 $$"]))
        ended = await process.wait()
        facts = json.loads((tmp_path / "guard/exit.json").read_text())
        assert (facts["exit_code"], facts["signal"], facts["ended_by"]) == (-9, 9, "self")
        assert began <= facts["started_at"] <= facts["ended_at"] <= time.time()
        assert (ended.exit_code, ended.signal) == (-9, 9)

    async def test_the_files_belong_to_the_operator_alone(self, tmp_path: Path) -> None:
        process = await GuardedProcess.start(start_of(tmp_path, ["true"], stdin=b"secret"))
        await process.wait()
        folders = [tmp_path / "guard", tmp_path / "out"]
        assert {f.stat().st_mode & 0o777 for f in folders} == {0o700}
        files = ["guard/stdin", "guard/spec.json", "out/stdout", "out/stderr"]
        assert {(tmp_path / f).stat().st_mode & 0o777 for f in files} == {0o600}

    @pytest.mark.parametrize(
        ("argv", "code"), [(["/no/such"], 127), (["/etc/passwd"], 126), (["no-such-name"], 127)]
    )
    async def test_what_cannot_be_started_says_why(
        self, tmp_path: Path, argv: list[str], code: int
    ) -> None:
        process = await GuardedProcess.start(start_of(tmp_path, argv))
        assert (await process.wait()).exit_code == code
        assert argv[0] in (tmp_path / "out/stderr").read_text()

    async def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        start = Start(
            argv=["true"],
            cwd=tmp_path / "gone",
            env={"PATH": os.environ["PATH"]},
            stdout=tmp_path / "o",
            stderr=tmp_path / "e",
            state=tmp_path / "guard",
        )
        assert (await (await GuardedProcess.start(start)).wait()).exit_code == 127
        assert str(tmp_path / "gone") in (tmp_path / "e").read_text()

    async def test_nothing_of_the_shell_is_inherited(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-canary")
        process = await GuardedProcess.start(start_of(tmp_path, ["env"]))
        await process.wait()
        names = {row.partition("=")[0] for row in (tmp_path / "out/stdout").read_text().split()}
        assert names - {"LC_CTYPE", "PWD", "_"} == {"PATH", "HOME", "COCKPIT_GUARD"}

    async def test_no_file_of_the_guard_is_inherited(self, tmp_path: Path) -> None:
        argv = [
            sys.executable,
            "-c",
            "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))",
        ]
        process = await GuardedProcess.start(start_of(tmp_path, argv))
        await process.wait()
        assert json.loads((tmp_path / "out/stdout").read_text()) == [0, 1, 2, 3]

    async def test_a_second_start_forgets_the_first(self, tmp_path: Path) -> None:
        for word in ("one", "two"):
            process = await GuardedProcess.start(start_of(tmp_path, ["echo", word]))
            await process.wait()
        assert (tmp_path / "out/stdout").read_text() == "two\n"

    @pytest.mark.parametrize(
        "content",
        [
            *(b"", b"[]", b"\xff", b'{"exit_code": 0}', b'{"exit_code":"x"}', b"null"),
            b'{"exit_code":0,"started_at":1,"ended_at":2,"ended_by":"magic"}',
        ],
    )
    async def test_a_damaged_record_is_no_record(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "exit.json").write_bytes(content)
        assert read_exit(tmp_path) is None


@pytest.mark.asyncio
class TestTime:
    async def test_time_is_up(self, tmp_path: Path) -> None:
        start = start_of(tmp_path, script("subprocess.Popen(hang)"), timeout=0.6, grace=1.0)
        process = await GuardedProcess.start(start)
        ended = await process.wait()
        assert (ended.exit_code, ended.ended_by) == (124, "timeout")
        assert 0.6 <= ended.seconds < 3

    async def test_what_is_deaf_is_killed_after_the_grace(self, tmp_path: Path) -> None:
        argv = script(ESCAPES["deaf to TERM"])
        start = start_of(tmp_path, argv, timeout=0.6, grace=0.5)
        ended = await (await GuardedProcess.start(start)).wait()
        assert (ended.exit_code, ended.ended_by) == (124, "timeout")
        assert ended.seconds >= 1.1

    async def test_a_stop_cuts_the_grace_of_a_timeout_short(self, tmp_path: Path) -> None:
        body = "signal.signal(signal.SIGTERM, lambda *_: pathlib.Path('termed').touch())"
        argv = script(body, end="ready()\nwhile True: signal.pause()")
        start = start_of(tmp_path, argv, timeout=0.6, grace=60.0)
        process = await GuardedProcess.start(start)
        await until((tmp_path / "termed").exists)
        before = time.monotonic()
        await process.stop()
        assert time.monotonic() - before < 2.0

    async def test_a_frozen_clock_does_not_run(self, tmp_path: Path) -> None:
        process = await begin(tmp_path, timeout=1.5)
        await process.pause()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(process._process.wait()), 2.5)
        await process.resume()
        ended = await process.wait()
        assert ended.ended_by == "timeout"
        assert ended.seconds > 3.0


COUNTER = """
def count(name):
    with open(name, "ab", buffering=0) as file:
        while True:
            file.write(b".")
            time.sleep(0.005)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        count("second")
    os._exit(0)
"""


@pytest.mark.asyncio
class TestPause:
    async def test_a_frozen_tree_writes_nothing_and_goes_on(self, tmp_path: Path) -> None:
        argv = script(COUNTER, end="ready()\ncount('first')")
        process = await GuardedProcess.start(start_of(tmp_path, argv))
        files = [tmp_path / "first", tmp_path / "second"]
        await until(lambda: all(f.exists() and f.stat().st_size for f in files))
        await process.pause()
        sizes = [f.stat().st_size for f in files]
        await asyncio.sleep(0.3)  # nothing can be waited for: it must not happen
        assert [f.stat().st_size for f in files] == sizes
        states = {p.status() for p in working_in(tmp_path)}
        assert states == {psutil.STATUS_STOPPED}
        await process.resume()
        await until(lambda: all(f.stat().st_size > s for f, s in zip(files, sizes, strict=True)))
        await process.stop()

    async def test_a_frozen_tree_can_be_stopped(self, tmp_path: Path) -> None:
        process = await begin(tmp_path, ESCAPES["a double fork"])
        await process.pause()
        before = time.monotonic()
        await process.stop()
        assert time.monotonic() - before < 2.0

    async def test_orders_after_the_end_do_nothing(self, tmp_path: Path) -> None:
        process = await GuardedProcess.start(start_of(tmp_path, ["true"]))
        ended = await process.wait()
        await process.pause()
        await process.resume()
        await process.stop()
        assert await process.wait() == ended


@pytest.mark.asyncio
class TestAGuardUnderAttack:
    async def test_a_command_that_kills_its_guard_gains_nothing(self, tmp_path: Path) -> None:
        body = "subprocess.Popen(hang, start_new_session=True); os.kill(os.getppid(), 9)"
        process = await GuardedProcess.start(start_of(tmp_path, script(body)))
        ended = await process.wait()
        assert ended == Exit(-9, "owner_gone", 0.0)
        assert working_in(tmp_path) == []

    async def test_a_command_that_freezes_its_guard_is_still_stopped(self, tmp_path: Path) -> None:
        body = "subprocess.Popen(hang, start_new_session=True); os.kill(os.getppid(), 19)"
        process = await begin(tmp_path, body)
        await process.stop()
        assert working_in(tmp_path) == []

    async def test_what_a_killed_guard_left_is_ended_after_a_restart(self, tmp_path: Path) -> None:
        with owner(tmp_path, "subprocess.Popen(hang)") as process:
            child = int(await until(lambda: ready_text(tmp_path)))
            guard = psutil.Process(child).parent()
            assert guard is not None
            guard.suspend()
            process.kill()
        assert working_in(tmp_path) != []
        assert await asyncio.to_thread(end_abandoned, tmp_path / "guard") is None
        assert working_in(tmp_path) == []

    async def test_a_fork_storm_is_stopped(self, tmp_path: Path) -> None:
        body = """
def storm(depth):
    while True:
        if os.fork() == 0 and depth < 3:
            storm(depth + 1)
        time.sleep(0.05)
"""
        argv = script(body, end="ready()\nstorm(0)")
        process = await GuardedProcess.start(start_of(tmp_path, argv))
        await until(lambda: len(working_in(tmp_path)) > 20)
        before = time.monotonic()
        await process.stop()
        assert time.monotonic() - before < 4.0
        assert working_in(tmp_path) == []


def ready_text(folder: Path) -> str:
    return (folder / "ready").read_text() if (folder / "ready").exists() else ""


@pytest.mark.asyncio
async def test_cancelling_the_wait_ends_the_tree(tmp_path: Path) -> None:
    process = await begin(tmp_path, ESCAPES["a session of its own"])
    waiting = asyncio.ensure_future(process.wait())  # noqa: TID251
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert working_in(tmp_path) == []


@pytest.mark.asyncio
async def test_a_signal_to_the_guard_is_a_stop(tmp_path: Path) -> None:
    process = await begin(tmp_path, ESCAPES["a double fork"])
    process._process.send_signal(signal.SIGTERM)
    ended = await process.wait()
    assert ended.ended_by == "stop"
