"""Open atlas file: read-only SQL that can run from several threads and can be interrupted."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import duckdb

from atlas.database import (
    DEFAULT_MEMORY,
    catalog_name,
    is_comparison,
    one_line,
    open_atlas,
    require_reading,
    use_catalog,
)
from atlas.database.scripts import Parameter, identifier
from atlas.errors import QueryError, UsageError
from atlas.query.catalogue import find_query
from atlas.query.criteria import NeuronsLike, as_set
from atlas.query.neuron_sets import Everything, NeuronSet
from atlas.query.saved_sets import saved_set
from atlas.query.set_grammar import parse
from atlas.query.set_sql import SetSql

NEURONS = "NEURONS"  # type of a parameter that is a set
# Parameters that are numbers of graphs.
_GRAPHS = frozenset(("graph_id", "first", "second"))


class Stopwatch:
    """Time that queries may take, without the time in which nobody reads them."""

    def __init__(self, seconds: float, stop: Callable[[], None]) -> None:
        """Call `stop` after `seconds` of running time."""
        self._left, self._stop = seconds, stop
        self._timer: threading.Timer | None = None
        self._started = 0.0

    def start(self) -> None:
        """Let the time run."""
        self._started = time.monotonic()
        self._timer = threading.Timer(self._left, self._stop)
        self._timer.daemon = True
        self._timer.start()

    def pause(self) -> None:
        """Stop the time, until it is started again."""
        if self._timer is not None:
            self._timer.cancel()
            self._left = max(self._left - (time.monotonic() - self._started), 0.001)
            self._timer = None


@contextlib.contextmanager
def limited_time(seconds: float, stop: Callable[[], None]) -> Iterator[Stopwatch]:
    """Limit the time of the queries of a block.

    Args:
        seconds: Time after which they are stopped.
        stop: Function that stops them.

    Yields:
        The running time, which can be paused.

    Raises:
        QueryError: A query took longer, or DuckDB refuses it.
    """
    timer = Stopwatch(seconds, stop)
    timer.start()
    try:
        yield timer
    # Arrow, which reads the rows, passes errors of DuckDB on as errors of files.
    except (duckdb.Error, OSError) as error:
        said = one_line(error)
        if isinstance(error, duckdb.InterruptException) or "INTERRUPT" in said:
            said = f"the query took longer than {seconds:g} s and was stopped; ask for less, such as fewer hops or more graphs"
        raise QueryError(said) from error
    finally:
        timer.pause()


class AtlasFile:
    """Atlas file, opened read-only with external access disabled, for SQL and the queries of `queries/`.

    Methods may be called from several threads: each call runs on its own cursor.
    """

    timer: Stopwatch  # of the block of `limited` that this atlas is for
    is_comparison: bool  # a file of `atlas compare`, which answers SQL and no query

    def __init__(self, path: str | PathLike[str], *, memory: str = DEFAULT_MEMORY) -> None:
        """Open the atlas at `path`; `memory` is DuckDB's limit. Raises `AtlasFileError`."""
        self.path = Path(path)
        self._given = path  # an address would not be the same as a path
        self.memory = memory
        self._lock, self._is_closed, self._is_limited = threading.Lock(), False, False
        self._con = self._open()
        self._cursors: weakref.WeakSet[duckdb.DuckDBPyConnection] = weakref.WeakSet()
        self._parts: weakref.WeakSet[AtlasFile] = weakref.WeakSet()  # blocks of `limited` that are running

    def _open(self) -> duckdb.DuckDBPyConnection:
        version = _version(self.path)
        con = open_atlas(self._given, memory=self.memory, older=True)
        # Not before: a file that cannot be opened is tried again.
        self._version = version
        self.is_comparison = is_comparison(con)
        return con

    def _current(self) -> duckdb.DuckDBPyConnection:
        """Return the connection, to the new file where the atlas was replaced. Relations of the old one stay readable."""
        with self._lock:
            found = _version(self.path)
            if found is not None and found != self._version and not self._is_closed:
                self._con = self._open()
            return self._con

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle only the path and the memory limit; another process opens the file again."""
        return partial(type(self), memory=self.memory), (self._given,)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def close(self) -> None:
        """Close the file; relations of this atlas cannot be read afterwards."""
        self._is_closed = True
        self._con.close()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """DuckDB connection for everything that the methods do not cover, with the same restrictions."""
        return self._current()

    def interrupt(self) -> None:
        """Stop the queries that are running; each of them raises `duckdb.InterruptException`."""
        for part in list(self._parts):
            part.interrupt()
        for cursor in list(self._cursors):
            cursor.interrupt()
        if not self._is_limited:
            self._con.interrupt()

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[Self]:
        """Limit the time of the queries of a block, and of no others that run at the same time.

        Args:
            seconds: Time after which the queries of the block are stopped.

        Yields:
            This atlas for the block. Relations are read inside of it.

        Raises:
            QueryError: A query of the block took longer, needs more memory than there is, or fails while its rows are read.
        """
        self._current()
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__, _cursors=weakref.WeakSet(), _parts=weakref.WeakSet(), _is_limited=True)
        self._parts.add(part)
        with limited_time(seconds, part.interrupt) as part.timer:
            yield part

    def sql(self, text: str, parameters: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyRelation:
        """Run read-only SQL.

        Args:
            text: One SELECT statement, or EXPLAIN of one. Parameters are written as `$name`.
            parameters: Values by name.

        Returns:
            A relation with the columns of the SQL.

        Raises:
            QueryError: The SQL is another kind of statement, or DuckDB rejects it. DuckDB's message is kept.
        """
        require_reading(text)
        try:
            return self._cursor().sql(text, params=dict(parameters) if parameters else None)
        except duckdb.Error as error:
            raise QueryError(one_line(error)) from error

    def columns_of(self, name: str) -> duckdb.DuckDBPyRelation:
        """List the columns of a table or view, with their meaning.

        Args:
            name: Name of the table or view; of another name there are no rows.

        Returns:
            column_name, data_type, comment.
        """
        sql = "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal AND table_name = $name ORDER BY column_index"
        return self.sql(sql, {"name": name})

    def require_clustering(self, name: str) -> None:
        """Refuse a clustering that the atlas does not have: no rows would look like none found again.

        Args:
            name: Name of the clustering.

        Raises:
            UsageError: There is none of that name.
        """
        found = [row[0] for row in self.sql("SELECT clustering FROM clusterings ORDER BY clustering").fetchall()]
        if name not in found:
            raise UsageError(f"{self.path} has no clustering {name!r}; it has {', '.join(found) or 'none'}")

    def _require_graph(self, number: object, parameter: Parameter) -> None:
        """Refuse a graph that the atlas does not have: its rows would look like those of an empty graph."""
        if parameter.type != "INTEGER" or number is None:
            return
        if not self.sql("SELECT 1 FROM graphs WHERE graph_id = $number", {"number": number}).fetchall():
            raise UsageError(f"{self.path} has no graph {number}; list them with: atlas graphs {self.path}")

    def _require_graphs(self, given: str) -> None:
        """Refuse a text that names no graph, neither as a group of prompts nor by numbers."""
        sql = "SELECT 1 FROM graphs WHERE prompt_group = $given OR list_contains(string_split(replace($given, ' ', ''), ','), graph_id::VARCHAR) LIMIT 1"
        if not self.sql(sql, {"given": given}).fetchall():
            raise UsageError(
                f"{given!r} is no group of prompts of {self.path}, and no numbers of its graphs such as 1, 4, 9"
            )

    def query(self, name: str, **parameters: object) -> duckdb.DuckDBPyRelation:
        """Run a query of `queries/`.

        Args:
            name: Name of the query.
            **parameters: Values by name; a missing parameter is NULL.

        Returns:
            A relation with the columns of the query.

        Raises:
            UsageError: The query or a parameter does not exist, or a required parameter is missing.
        """
        found = find_query(name)
        if self.is_comparison:
            raise UsageError(f"{self.path} is a comparison; ask it with SQL: atlas sql FILE 'FROM different_neurons'")
        known = {parameter.name: parameter for parameter in found.parameters}
        for given in parameters:
            if given not in known:
                raise UsageError(f"query {name} has no parameter {given}; it has {', '.join(known) or 'none'}")
        if (clustering := parameters.get("clustering")) is not None:
            self.require_clustering(str(clustering))
        sets = {key for key, parameter in known.items() if parameter.type == NEURONS}
        missing = [key for key, parameter in known.items() if parameter.required and parameters.get(key) is None]
        if missing:
            raise UsageError(f"query {name} needs {', '.join(missing)}")
        # A set that is left out is all neurons; SQL that must know reads its parameter, which is NULL then.
        for parameter in known.values():
            _require_allowed(parameter, parameters.get(parameter.name))
        for key in _GRAPHS & set(known):
            self._require_graph(parameters.get(key), known[key])
        if name == "graph_sets":
            for key in known.keys() - {"limit"}:
                self._require_graphs(str(parameters[key]))
        chosen = {
            key: Everything() if (wanted := parameters.get(key)) is None else as_set(cast(NeuronsLike, wanted))
            for key in sets
        }
        values = {key: parameters.get(key) for key in known if key not in sets}
        values |= {key: None if parameters.get(key) is None else True for key in sets if f"${key} IS NULL" in found.sql}
        return self.run(found.sql, values, chosen)

    def set_sql(self, given: NeuronsLike) -> str:
        """Return the SQL of a set of neurons in this atlas.

        Args:
            given: Set, expression or ids.

        Returns:
            One SELECT statement with the columns `layer` and `neuron`.

        Raises:
            IdError: A neuron is none.
            UsageError: An expression is none, or names what the atlas does not have.
        """
        return self._sets().select(as_set(given))

    def _sets(self) -> SetSql:
        columns = (
            self._cursor()
            .execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'neurons' AND database_name = $1",
                [catalog_name(self.path)],
            )
            .fetchall()
        )
        return SetSql(dict(columns), lambda name: parse(saved_set(self.path, name)), self._require_circuit)

    def _require_circuit(self, name: str) -> None:
        """Refuse a circuit that the atlas does not have, and name the nearest ones."""
        if self.sql("SELECT 1 FROM circuits WHERE circuit_id = circuit_named($name)", {"name": name}).fetchall():
            return
        known = [
            row[0] for row in self.sql("SELECT circuit_id FROM circuits ORDER BY size DESC, circuit_id").fetchall()
        ]
        near = get_close_matches(name, known, 3) or known[:3]
        raise UsageError(
            f"{self.path} has no circuit {name!r}; there are {', '.join(near) or 'none'}{' and others' if len(known) > len(near) else ''}"
        )

    def run(self, sql: str, values: Mapping[str, Any], sets: Mapping[str, NeuronSet]) -> duckdb.DuckDBPyRelation:
        """Run the SQL of a query with its sets as temporary tables, so that a large one is joined, not listed.

        Args:
            sql: One SELECT statement of this package.
            values: Parameters by name.
            sets: Sets of neurons by the name of their table.

        Returns:
            A relation with the columns of the SQL.

        Raises:
            QueryError: DuckDB rejects it.
        """
        cursor = self._cursor()
        for name, chosen in sets.items():
            text = self._sets().select(chosen)
            try:
                # A condition of the user is part of the text: it must not end the statement and begin another.
                require_reading(text)
                cursor.execute(f"CREATE OR REPLACE TEMP TABLE {identifier(name)} AS {text}")
            except (QueryError, duckdb.Error) as error:
                said = str(error) if isinstance(error, QueryError) else one_line(error)
                raise QueryError(f"the set {name} is no SQL of this atlas: {said}") from error
        try:
            # A query without parameters takes none.
            return cursor.sql(sql, params=dict(values) if values else None)
        except duckdb.Error as error:
            raise QueryError(one_line(error)) from error

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        con = self._current()
        with self._lock:
            # A connection answers one call at a time, and refuses others.
            cursor = con.cursor()
        use_catalog(cursor, self.path)
        self._cursors.add(cursor)
        return cursor


def _version(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is replaced; None where it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _require_allowed(parameter: Parameter, value: object) -> None:
    """Raise `UsageError` for a value that a parameter does not take: no rows would look like an answer."""
    if value is None:
        return
    if parameter.name == "limit" and not (isinstance(value, int) and 0 <= value < 2**63):
        raise UsageError(f"limit is a number of rows, 0 or more, not {value!r}")
    if parameter.choices and value not in parameter.choices:
        raise UsageError(f"{parameter.name} is one of {', '.join(parameter.choices)}, not {value!r}")
    if parameter.bounds is not None and not parameter.bounds[0] <= cast(int, value) <= parameter.bounds[1]:
        raise UsageError(f"{parameter.name} is {parameter.bounds[0]} to {parameter.bounds[1]}, not {value}")


def rows_of(relation: duckdb.DuckDBPyRelation) -> list[dict[str, Any]]:
    """Return the rows of a relation as dictionaries.

    Args:
        relation: Result of a query.

    Returns:
        One dictionary per row, by column.
    """
    columns = relation.columns
    return [dict(zip(columns, row, strict=True)) for row in relation.fetchall()]
