"""Executor that runs tasks on a Dask cluster, and runs the tasks of a lost worker again elsewhere.

Every task writes its files atomically under its own name, and a task that runs twice writes the same bytes. Nothing is
therefore counted twice, whichever process dies.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from atlas.errors import AtlasError, UsageError, needs_extra
from atlas.runtime.executors import cpu_count
from atlas.runtime.worker import Call, MakeState, bound

if TYPE_CHECKING:
    from distributed import Client

# Retries of a task after a disk or network failure, or after the loss of its worker.
RETRIES = 3
# Lock for the state of a worker, which one thread makes and all threads share.
_STATES = threading.Lock()
TIMEOUT = 30  # seconds to wait for a scheduler


class DaskExecutor:
    """Executor on the workers of a Dask cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def count(self) -> int:
        """Number of workers at this moment."""
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def run(self, function: Call, items: Sequence[Any], make_state: MakeState | None = None) -> Iterator[Any]:
        """Yield the results as they arrive. The first error ends the iteration and cancels waiting tasks."""
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        call = _Call(uuid.uuid4().hex, function, make_state)
        futures = self._client.map(call, list(items), pure=False, retries=RETRIES)
        try:
            for future in as_completed(futures):
                fine, value = future.result()
                if not fine:
                    raise value
                yield value
                future.release()
        except KilledWorker as error:
            raise AtlasError(
                f"a task lost its worker {RETRIES} times ({' '.join(str(error).split())[:200]}); "
                "give the workers more memory, then run the same command again: it goes on where it stopped"
            ) from error
        finally:
            self._client.cancel(futures, force=True)


@dataclass(frozen=True)
class _Call:
    """Function of one run, with the state that its calls in one worker share."""

    run: str
    function: Call
    make_state: MakeState | None

    def __call__(self, item: Any) -> tuple[bool, Any]:
        """Run one call. An `AtlasError` is returned as an answer, so that Dask does not retry the call."""
        try:
            return True, self._bound()(item)
        except AtlasError as error:
            return False, error

    def _bound(self) -> Call:
        from distributed import get_worker

        worker: Any = get_worker()
        with _STATES:
            run, function = getattr(worker, "atlas_run", ("", None))
            if run != self.run:
                function = bound(self.function, self.make_state)
                worker.atlas_run = (self.run, function)
        return cast(Call, function)


@contextlib.contextmanager
def dask_executor(scheduler: str, threads: int | None, memory: int | None) -> Iterator[DaskExecutor]:
    """Yield an executor on the cluster at an address, or on a local cluster that is started for `local`.

    `memory` limits all processes of a local cluster together; None sets no limit.

    Raises:
        MissingExtra: Dask is not installed.
        UsageError: `scheduler` is not an address.
        AtlasError: No scheduler answers at the address.
    """
    with needs_extra("distributed"):
        import dask
        from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        dask.config.set({"distributed.scheduler.allowed-failures": RETRIES})
        if scheduler == "local":
            workers = threads or cpu_count()
            scheduler = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    memory_limit=max(memory // workers, 500_000_000) if memory else None,
                    dashboard_address=None,
                )
            )
        elif "://" not in scheduler:
            raise UsageError(f"--scheduler {scheduler}: write local, or an address such as tcp://host:8786")
        try:
            client = stack.enter_context(Client(scheduler, timeout=TIMEOUT))
        except (OSError, ValueError) as error:
            raise AtlasError(
                f"no Dask scheduler answers at {scheduler} ({' '.join(str(error).split())[:200]})"
            ) from error
        yield DaskExecutor(client)
