"""HTTP server of atlases: every query as JSON, CSV and Arrow, SQL with limits, activations, and the explorer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from atlas._version import __version__
from atlas.database import Script
from atlas.database.scripts import script
from atlas.errors import AtlasError, AtlasFileError, InputError, OutputError, StageError, UsageError
from atlas.query.attribution_graph import load_graph
from atlas.query.catalogue import catalogue
from atlas.query.client import Atlas
from atlas.query.graph_json import graph_json
from atlas.query.saved_sets import sets_file
from atlas.web.activation_api import ActivationApi
from atlas.web.activation_source import AtlasSource, Source
from atlas.web.answers import MEDIA_TYPES, fetched, form_of, started, streamed
from atlas.web.calls import ask, values_of, whole_number
from atlas.web.comparison_job import Sides
from atlas.web.comparisons import TABLES, Comparisons
from atlas.web.listing import listing
from atlas.web.openapi import openapi
from atlas.web.safety import Guard

EXPLORER = Path(__file__).parent / "explorer"
# Rows of an answer in JSON: where nothing is said, and at most.
DEFAULT_ROWS, MOST_ROWS = 1_000, 100_000
_OWN = frozenset(("atlas", "format", "limit", "offset"))


@dataclass(frozen=True)
class ServerOptions:
    """Limits and guards of a server."""

    timeout: float = 20.0  # seconds of a query
    hosts: tuple[str, ...] | None = None  # names that the server answers to; any where None
    token: str | None = None
    origins: tuple[str, ...] = ()  # sites whose pages may read the answers


class Server:
    """Routes over open atlases."""

    def __init__(self, atlases: Mapping[str, Atlas], options: ServerOptions, source: Source | None = None) -> None:
        """Serve `atlases` by name, the first one where a request names none; `source` has the activations, or that atlas."""
        self.atlases = {name: one for name, one in atlases.items() if not one.is_comparison}
        self.comparisons = {name: one for name, one in atlases.items() if one.is_comparison}
        if not self.atlases:
            raise UsageError(
                f"{', '.join(self.comparisons)}: a comparison is served beside its atlases; name them, too"
            )
        self.options = options
        self._first = next(iter(self.atlases))
        self._compared = Comparisons(options.timeout, self.atlases[self._first].memory)
        self._of_comparison = {name: _compared_atlas(one, self.atlases) for name, one in self.comparisons.items()}
        self._source = source or AtlasSource(self.atlases[self._first], options.timeout)

    def app(self) -> Starlette:
        """Return the application."""
        routes = [
            Route("/", self._page),
            Route("/api", self._index),
            Route("/api/{name}", self._query),
            Route("/compare/{table}", self._compare),
            Route("/sql", self._sql, methods=["GET", "POST"]),
            Route("/openapi.json", self._openapi),
            Route("/graphs/{graph}/neuronpedia.json", self._graph),
            *ActivationApi(self._source, self._model).routes(),
            Mount("/explorer", StaticFiles(directory=EXPLORER)),
        ]
        guard = Middleware(Guard, hosts=self.options.hosts, token=self.options.token, origins=self.options.origins)
        return Starlette(
            routes=routes,
            middleware=[guard, Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5)],
            exception_handlers={AtlasError: _failed, HTTPException: _refused},
        )

    def stop(self) -> None:
        """End what is running: queries, and a comparison. They fail."""
        self._compared.stop()
        for atlas in (*self.atlases.values(), *self.comparisons.values()):
            atlas.interrupt()

    def close(self) -> None:
        """Remove the comparisons that were made; the atlases stay open."""
        self._compared.close()

    def _page(self, _request: Request) -> Response:
        return FileResponse(EXPLORER / "index.html", headers={"Cache-Control": "no-cache"})

    def _index(self, request: Request) -> Response:
        return self._unless_known(
            request, self.atlases[self._first], lambda: JSONResponse(listing(self.atlases, self._of_comparison))
        )

    def _openapi(self, _request: Request) -> Response:
        return JSONResponse(openapi(list(self.atlases)))

    def _query(self, request: Request) -> Response:
        name, form = form_of(request.path_params["name"], request.query_params.get("format"))
        query = catalogue().get(name)
        if query is None:
            raise HTTPException(404, f"no query is called {name!r}; /api lists them")
        atlas = self._atlas(request)
        return self._unless_known(request, atlas, lambda: self._answer(request, atlas, query, form))

    def _answer(self, request: Request, atlas: Atlas, query: Script, form: str) -> Response:
        values = values_of(query, [pair for pair in request.query_params.multi_items() if pair[0] not in _OWN])
        return self._rows(request, atlas, lambda part, most: ask(part, query, values, most), form)

    def _rows(
        self, request: Request, atlas: Atlas, asked: Callable[[Atlas, int | None], duckdb.DuckDBPyRelation], form: str
    ) -> Response:
        """Answer with the rows of a relation, as `limit` and `offset` of the request say."""
        limit, offset = whole_number(request.query_params, "limit"), whole_number(request.query_params, "offset") or 0
        if form != "json":
            most = None if limit is None else offset + limit

            def pieces() -> Iterator[bytes]:
                with atlas.limited(self.options.timeout) as part:
                    relation = asked(part, most)
                    for piece in streamed(relation.limit(limit if limit is not None else 2**62, offset), form):
                        # A slow reader uses up its own time, not that of the query.
                        part.timer.pause()
                        yield piece
                        part.timer.start()

            return StreamingResponse(started(pieces()), media_type=MEDIA_TYPES[form])
        most = _most(limit)
        with atlas.limited(self.options.timeout) as part:
            relation = asked(part, offset + most + 1)
            rows = fetched(relation.limit(most + 1, offset), most)
        return Response(rows.as_json(), media_type=MEDIA_TYPES["json"])

    def _compare(self, request: Request) -> Response:
        """Return a table of a comparison: of one that is served, or of two atlases or selections of graphs."""
        table, form = form_of(request.path_params["table"], request.query_params.get("format"))
        if table not in TABLES:
            raise HTTPException(404, f"a comparison has no table {table[:100]!r}; it has {', '.join(TABLES)}")
        given = request.query_params
        allowed = {"comparison"} if "comparison" in given else {"atlas", "other", "where_a", "where_b"}
        if unknown := set(given) - allowed - _OWN:
            raise UsageError(
                f"a comparison has no parameter {min(unknown)[:100]} here; it has {', '.join(sorted(allowed))}"
            )
        if (name := given.get("comparison")) is not None:
            found = self._served(name)
        else:
            left, right = self._atlas(request), self._atlas(request, given.get("other") or given.get("atlas"))
            sides = Sides(left.path, right.path, given.get("where_a", "").strip(), given.get("where_b", "").strip())
            found = self._compared.of(sides)
        return self._rows(request, found, lambda part, _most: part.sql(script(f"serve/compared_{table}")), form)

    def _served(self, name: str) -> Atlas:
        """Return a comparison that is served."""
        found = self.comparisons.get(name)
        if found is None:
            known = ", ".join(self.comparisons) or "none"
            raise HTTPException(404, f"no comparison is called {name[:100]!r}; there are {known}")
        found.connection  # noqa: B018 (of the file that may have been replaced)
        if not found.is_comparison:
            raise AtlasFileError("foreign", f"{found.path} is no comparison any more")
        return found

    def _graph(self, request: Request) -> Response:
        """Return a graph for the viewers of Neuronpedia and circuit-tracer, with circuits as supernodes."""
        atlas = self._atlas(request)
        with atlas.limited(self.options.timeout) as part:
            try:
                graph = load_graph(part, request.path_params["graph"])
            except InputError as error:
                raise HTTPException(404, str(error)) from error
            return JSONResponse(graph_json(part, graph))

    async def _sql(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        given: dict[str, Any] = dict(request.query_params)
        if request.method == "POST":
            body = await _body(request)
            given |= body
        return await run_in_threadpool(self._run_sql, request, given)

    def _run_sql(self, request: Request, given: Mapping[str, Any]) -> Response:
        text = given.get("sql")
        if not isinstance(text, str) or not text.strip():
            raise UsageError("sql: give one SELECT statement")
        if not text.isprintable() and any(0xD800 <= ord(one) <= 0xDFFF for one in text):
            raise UsageError("sql: the text is no Unicode")
        asked = given.get("format")
        _, form = form_of("sql", None if asked is None else str(asked))
        limit = given.get("limit")
        most = _most(int(limit) if isinstance(limit, str) and limit.isdecimal() and len(limit) < 12 else limit)
        atlas = self._atlas(request, given.get("atlas"))
        with atlas.limited(self.options.timeout) as part:
            relation = part.sql(text)
            rows = fetched(relation.limit(most + 1), most)
        if form == "json":
            return Response(rows.as_json(), media_type=MEDIA_TYPES[form])
        headers = {"X-Truncated": str(rows.is_truncated).lower()}
        return StreamingResponse(started(rows.pieces(form)), media_type=MEDIA_TYPES[form], headers=headers)

    def _atlas(self, request: Request, given: object = None) -> Atlas:
        name = given or request.query_params.get("atlas") or self._first
        found = self.atlases.get(str(name))
        if found is None:
            raise HTTPException(404, f"no atlas is called {str(name)[:100]!r}; there are {', '.join(self.atlases)}")
        return found

    def _model(self) -> str | None:
        found = self.atlases[self._first].sql("SELECT value FROM metadata WHERE key = 'model'").fetchall()
        return found[0][0] if found else None

    def _unless_known(self, request: Request, atlas: Atlas, answer: Any) -> Response:
        """Return an answer with its tag; none where the client has it already."""
        known = [__version__, str(request.url.query), request.url.path]
        for path in (atlas.path, sets_file(atlas.path)):
            if path.exists():
                stat = path.stat()
                known.append(f"{stat.st_ino} {stat.st_mtime_ns} {stat.st_size}")
        tag = f'W/"{hashlib.sha256(chr(0).join(known).encode()).hexdigest()[:24]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        found: Response = answer()
        found.headers.update(headers)
        return found


def _compared_atlas(comparison: Atlas, atlases: Mapping[str, Atlas]) -> str | None:
    """Return the name of the atlas that the neurons of a comparison are of; None where it does not say.

    Raises `UsageError` where that atlas is not served.
    """

    def facts(file: Atlas) -> dict[str, str]:
        return dict(file.sql("SELECT key, value FROM metadata").fetchall())

    found = facts(comparison)
    wanted = [found[key] for key in ("atlas_id_a", "atlas_id_b") if key in found]
    ids = {facts(one).get("atlas_id"): name for name, one in reversed(list(atlases.items()))}
    for one in wanted:
        if one in ids:
            return ids[one]
    if wanted:
        raise UsageError(
            f"{comparison.path} compares {found['comparison_of']}, of which none is served; name them beside it"
        )
    return None


async def _body(request: Request) -> dict[str, Any]:
    """Return the fields of a request: JSON, or the SQL as text. Raises `UsageError`."""
    text = b""
    async for piece in request.stream():
        text += piece
        if len(text) > 1_000_000:
            raise UsageError("sql: a statement has 1,000,000 bytes at most")
    if "json" not in request.headers.get("content-type", ""):
        return {"sql": text.decode("utf-8", "replace")}
    import json

    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is no JSON: {str(error)[:200]}") from error
    if not isinstance(found, dict):
        raise UsageError('the body is an object such as {"sql": "FROM hubs", "limit": 100}')
    return found


def _most(limit: object) -> int:
    if limit is None:
        return DEFAULT_ROWS
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 <= limit <= MOST_ROWS:
        raise UsageError(f"limit is 0 to {MOST_ROWS:,}, not {str(limit)[:40]!r}; csv and arrow give all rows")
    return limit


async def _failed(_request: Request, error: Exception) -> Response:
    """Answer an error of the package: 503 where files cannot be read, 400 where the request is wrong."""
    is_ours = isinstance(error, AtlasFileError | StageError | OutputError)
    return JSONResponse({"detail": str(error)}, 503 if is_ours else 400)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, headers=error.headers)
