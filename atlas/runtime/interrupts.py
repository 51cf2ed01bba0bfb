"""Interruption of running queries at Ctrl-C or after a time limit.

Python runs its signal handlers between byte codes, so a thread that waits inside DuckDB does not notice Ctrl-C.
However, the low-level handler writes to the wake-up file descriptor at once. A second thread waits for this and
interrupts the query. DuckDB then returns, and Python raises the KeyboardInterrupt.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

from atlas.errors import QueryError

_POLL = 0.2  # seconds between repeated interrupts, because an interrupt between two queries has no effect


@contextlib.contextmanager
def interruptible(interrupt: Callable[[], None], timeout: float | None = None) -> Iterator[None]:
    """Call `interrupt` at Ctrl-C, or once the block has run for `timeout` seconds.

    Raises:
        QueryError: The block failed after the time limit had passed.
        KeyboardInterrupt: The block failed after Ctrl-C. DuckDB looks for signals, too; where it sees one first, Python's
            own KeyboardInterrupt is lost behind a RuntimeError.
    """
    watcher = _Watcher(interrupt, timeout)
    try:
        with watcher:
            yield
    except Exception as error:
        if watcher.expired:
            raise QueryError(f"stopped after {timeout:g} s; allow more with --timeout, or ask for less") from error
        if watcher.interrupted:
            raise KeyboardInterrupt from error
        raise


class _Watcher:
    """Thread that waits for a signal or the deadline."""

    def __init__(self, interrupt: Callable[[], None], timeout: float | None) -> None:
        self.expired = False
        self.interrupted = False
        self._interrupt = interrupt
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._previous: int | None = None

    def __enter__(self) -> None:
        # Only the main thread may set the file descriptor, and Python handles signals only there.
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.set_wakeup_fd(self._previous)
        self._sender.close()
        self._thread.join()
        self._receiver.close()

    def _watch(self) -> None:
        must_stop = False
        while True:
            left = _POLL if must_stop else None
            if self._deadline is not None and not self.expired:
                remaining = max(0.0, self._deadline - time.monotonic())
                left = remaining if left is None else min(left, remaining)
            self._receiver.settimeout(left or (1e-3 if left is not None else None))
            try:
                received = self._receiver.recv(1)
            except TimeoutError:
                self.expired = self.expired or (self._deadline is not None and time.monotonic() >= self._deadline)
                must_stop = must_stop or self.expired
            else:
                if not received:
                    return
                self.interrupted = self.interrupted or received[0] == signal.SIGINT
                must_stop = must_stop or self.interrupted
            if must_stop:
                self._interrupt()
