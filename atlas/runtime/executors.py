"""Executors that run functions in worker processes, without a `__main__` guard and without orphans.

A worker is a separate Python process. It reads calls from a pipe and ends when the pipe ends, so workers end with a killed
parent. Calls and answers are pickles between processes of one user and one program.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, cast

from atlas.errors import AtlasError
from atlas.runtime.worker import Call, MakeState, bound, packed, receive

_PATIENCE = 10.0  # seconds to wait for the end of workers, before they are killed
_HOST = "from atlas.runtime.worker import main; main()"


def cpu_count() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Executor(Protocol):
    """Protocol for running one function over many items."""

    def run(self, function: Call, items: Sequence[Any], make_state: MakeState | None = None) -> Iterator[Any]:
        """Yield the results in any order. The first error ends the iteration.

        Args:
            function: Called with one item, or with the state and the item if there is `make_state`.
            items: Arguments of the calls.
            make_state: Makes the state that all calls in one worker share. It is called once per worker and run.
        """


class InlineExecutor:
    """Executor that runs all calls in this process."""

    def __enter__(self) -> InlineExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing, because there are no processes to end."""

    def run(self, function: Call, items: Sequence[Any], make_state: MakeState | None = None) -> Iterator[Any]:
        """Yield the results in order."""
        return map(bound(function, make_state), items)


class ProcessExecutor:
    """Executor with a fixed number of worker processes; use it as a context manager.

    The processes are forks of one host, which has imported the modules that their calls need. It starts at once, so that it
    imports while its parent prepares the calls.
    """

    def __init__(self, count: int, modules: Sequence[str] = ()) -> None:
        self._host = _Host(count, modules)
        self._children: list[_Child] = []
        self._runs = 0

    def __enter__(self) -> ProcessExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the processes; a call that is running fails. Any thread may stop them."""
        self._host.stop()

    def _forked(self) -> list[_Child]:
        self._children = self._children or self._host.fork()
        return self._children

    def run(self, function: Call, items: Sequence[Any], make_state: MakeState | None = None) -> Iterator[Any]:
        """Yield the results as they arrive. After an error, the other workers finish their current call and stop."""
        children = self._forked()
        self._runs += 1
        job = (self._runs, function, make_state)
        waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for item in items:
            waiting.put(item)
        results: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        stopped = threading.Event()

        def serve(child: _Child) -> None:
            with contextlib.suppress(queue.Empty):
                while not stopped.is_set():
                    item = waiting.get_nowait()
                    try:
                        results.put((True, child.call(job, item)))
                    except BaseException as error:
                        results.put((False, error))
                        return

        threads = [threading.Thread(target=serve, args=(child,), daemon=True) for child in children[: len(items)]]
        for thread in threads:
            thread.start()
        try:
            for _ in items:
                fine, value = results.get()
                if not fine:
                    raise value
                yield value
        finally:
            stopped.set()
            if sys.exc_info()[0] is KeyboardInterrupt:
                self.stop()
            for thread in threads:
                thread.join()


class _Host:
    """The process that imports modules and forks the workers. It leads their process group; on SIGTERM it kills them."""

    def __init__(self, count: int, modules: Sequence[str]) -> None:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        pipes = [(*_pipe(), *_pipe()) for _ in range(count)]
        theirs = [(calls, answers) for calls, _, _, answers in pipes]
        self._streams = [(os.fdopen(calls, "wb"), os.fdopen(answers, "rb")) for _, calls, answers, _ in pipes]
        self._ended: dict[int, int] = {}
        self._has_forked = False
        self._reading, self._stopping = threading.Lock(), threading.Lock()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-c",
                _HOST,
                ",".join(modules),
                *(f"{calls},{answers}" for calls, answers in theirs),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[descriptor for pair in theirs for descriptor in pair],
            env={**os.environ, **_quiet_libraries(), "PYTHONPATH": path},
            # Ctrl-C only reaches the parent, which then ends its workers.
            start_new_session=True,
        )
        for pair in theirs:
            for descriptor in pair:
                os.close(descriptor)

    def fork(self) -> list[_Child]:
        """Return the workers, forked now; waits until the modules are imported."""
        assert self._process.stdin is not None
        with self._stopping:
            self._has_forked = True
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        return [_Child(self, pid, *streams) for pid, streams in zip(self._pids(), self._streams, strict=True)]

    def _pids(self) -> list[int]:
        try:
            return cast(list[int], receive(cast(BinaryIO, self._process.stdout)))
        except (OSError, EOFError, ValueError) as error:
            raise AtlasError(_exit_message(self._process.wait())) from error

    def exit_code(self, pid: int) -> int:
        """Return the exit code of a worker that has ended, or minus the signal that ended it."""
        with self._reading:
            while pid not in self._ended:
                try:
                    ended, code = receive(cast(BinaryIO, self._process.stdout))
                except (OSError, EOFError, ValueError):
                    # The host was ended, too.
                    return -signal.SIGKILL
                self._ended[ended] = code
            return self._ended[pid]

    def stop(self) -> None:
        """End the host and its workers."""
        with self._stopping:
            if self._process.returncode is None:
                self._end()
            for stream in (self._process.stdin, self._process.stdout, *itertools.chain.from_iterable(self._streams)):
                with contextlib.suppress(OSError):
                    cast(IO[bytes], stream).close()

    def _end(self) -> None:
        """End the host, which ends its workers and waits for them, so that none is left to the system as a zombie."""
        if self._has_forked:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)
        if self._process.returncode != 0:
            # It does not answer, has not forked, or was killed without its workers, which are of its group.
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class _Child:
    """One worker process."""

    def __init__(self, host: _Host, pid: int, calls: IO[bytes], answers: IO[bytes]) -> None:
        self.pid = pid
        self._host, self._calls, self._answers = host, calls, answers

    def call(self, job: tuple[int, Call, MakeState | None], item: Any) -> Any:
        """Run one call of a run; raises the error of the call, or `AtlasError` if the worker has died."""
        call = packed((job, item))  # an error here is one of the call, not of the worker
        try:
            self._calls.write(call)
            self._calls.flush()
            fine, value = receive(self._answers)
        except (OSError, EOFError, ValueError) as error:
            raise AtlasError(_exit_message(self._host.exit_code(self.pid))) from error
        if not fine:
            raise value
        return value


def _pipe() -> tuple[int, int]:
    """Return the ends of a pipe, none of which has the number of a standard stream, even if those are closed."""
    ends = os.pipe()
    if min(ends) > 2:
        return ends
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in ends)
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


def _exit_message(code: int) -> str:
    why = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    hint = "; if memory was short, lower --threads or --memory" if code == -9 else ""
    return f"a worker process {why}{hint}; the same command goes on where it stopped"


def _quiet_libraries() -> dict[str, str]:
    """Return environment variables for one thread per worker, and for an allocator that keeps freed memory."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "ARROW_IO_THREADS")
    settings = dict.fromkeys(names, "1")
    # By default, glibc and Arrow return large blocks at once and request every page again, a fifth of the time of an
    # aggregation. Arrow's own allocator has no setting that keeps them.
    tunables = {"trim_threshold": 1 << 31, "mmap_threshold": 1 << 30, "arena_max": 1, "hugetlb": 1}
    kept = [f"glibc.malloc.{name}={value}" for name, value in tunables.items()]
    settings["GLIBC_TUNABLES"] = ":".join([*filter(None, [os.environ.get("GLIBC_TUNABLES")]), *kept])
    settings["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    return settings
