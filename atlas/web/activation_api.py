"""Endpoints of the earlier activation server: its clients work unchanged.

`/health`, `/features`, `/activations/{feature_id}`, `/activations/{feature_id}/arrow`, `/context/vocab` and `/context/inv_vocab`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from atlas.database.scripts import script
from atlas.errors import AtlasError, IdError, UsageError
from atlas.ids import UnitId
from atlas.web.activation_source import Layer, Source, layer_of
from atlas.web.answers import MEDIA_TYPES, encoded, fetched, started
from atlas.web.calls import whole_number

_MOST_JSON = 1_000_000


class ActivationApi:
    """Routes over one source of activations."""

    def __init__(self, source: Source, model: Callable[[], str | None]) -> None:
        """Serve `source`; `model` returns the name of the language model."""
        self._source, self._model = source, model
        self._started = time.monotonic()

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/health", self._health),
            Route("/features", self._features),
            Route("/activations/{unit}", self._json),
            Route("/activations/{unit}/arrow", self._arrow),
            Route("/context/vocab", self._vocabulary),
            Route("/context/inv_vocab", self._inverse),
        ]

    def _health(self, _request: Request) -> Response:
        try:
            layers = self._source.layers()
            model = self._model()
        except AtlasError as error:
            raise HTTPException(503, str(error)) from error
        kinds = [one for one in layers if one.unit_type == layers[0].unit_type] if layers else []
        return JSONResponse(
            {
                "status": "healthy",
                "model_type": model,
                "n_features": sum(one.unit_count for one in kinds),
                "uptime_seconds": round(time.monotonic() - self._started, 3),
            }
        )

    def _features(self, request: Request) -> Response:
        chosen = layer_of(self._source, whole_number(request.query_params, "layer"))
        return JSONResponse({"feature_ids": list(range(chosen.unit_count))})

    def _json(self, request: Request) -> Response:
        started_at = time.perf_counter()
        sql, values = self._asked(request)
        most = _MOST_JSON if values["limit"] is None else min(values["limit"], _MOST_JSON)
        with self._source.ask(sql, {**values, "limit": most + 1}) as relation:
            rows = fetched(relation, most)
        data = [row for batch in rows.batches for row in batch.to_pylist()]
        return JSONResponse(
            {
                "feature_id": values["unit"],
                "n_rows": len(data),
                "columns": rows.columns,
                "data": data,
                "load_time_ms": round(1e3 * (time.perf_counter() - started_at), 3),
                "truncated": rows.is_truncated and len(data) != values["limit"],
            }
        )

    def _arrow(self, request: Request) -> Response:
        started_at = time.perf_counter()
        sql, values = self._asked(request)
        with self._source.ask(sql, values) as relation:
            table = relation.to_arrow_table()
        headers = {
            "X-Feature-Id": str(values["unit"]),
            "X-Num-Rows": str(table.num_rows),
            "X-Load-Time-Ms": f"{1e3 * (time.perf_counter() - started_at):.3f}",
            "X-Cache-Hit": "false",
        }
        pieces = encoded(table.column_names, table.to_reader(65_536), "arrow")
        return StreamingResponse(started(pieces), media_type=MEDIA_TYPES["arrow"], headers=headers)

    def _asked(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Return the SQL and the parameters of an address. Raises `UsageError`, and `HTTPException` 404 for a unit that is none."""
        chosen, unit = self._unit(request)
        share = request.query_params.get("sample_frac", "1")
        if not re.fullmatch(r"0?\.\d+|[01]|1\.0+", share):
            raise UsageError(f"sample_frac is a share from 0 to 1, not {share!r}")
        order = request.query_params.get("order", "context")
        if order not in ("context", "value"):
            raise UsageError(f"order is context or value, not {order!r}")
        with_contexts = request.query_params.get("include_abilities", "true").lower() not in ("false", "0", "no")
        values = {
            "layer": chosen.layer,
            "unit": unit,
            "unit_type": chosen.unit_type,
            "share": float(share),
            "strongest": order == "value",
            "limit": whole_number(request.query_params, "limit"),
        }
        return script("serve/activations" if with_contexts else "serve/activations_alone"), values

    def _unit(self, request: Request) -> tuple[Layer, int]:
        given = request.path_params["unit"]
        try:
            found = None if given.isdecimal() else UnitId.parse(given.replace("-", "/"))
        except IdError as error:
            raise HTTPException(404, f"{given!r} is no unit; give its number, such as 845, or L2-F845") from error
        if found is None and len(given) > 9:
            raise HTTPException(404, f"there is no unit {given[:20]}…")
        try:
            chosen = layer_of(
                self._source,
                whole_number(request.query_params, "layer") if found is None else found.layer,
                found and found.unit_type,
            )
        except UsageError as error:
            if found is None:
                raise
            raise HTTPException(404, f"{found} has no activations here") from error
        unit = int(given) if found is None else found.unit
        if unit >= chosen.unit_count:
            raise HTTPException(404, f"there is no {chosen.unit_type} {unit}; there are {chosen.unit_count:,}, from 0")
        return chosen, unit

    def _vocabulary(self, _request: Request) -> Response:
        # Texts that several tokens have keep the first.
        found: dict[str, int] = {}
        for token_id, token in self._tokens():
            found.setdefault(token, token_id)
        return JSONResponse({"vocab": found, "weapon_vocab": {}})

    def _inverse(self, _request: Request) -> Response:
        return JSONResponse(
            {"inv_vocab": {str(token_id): token for token_id, token in self._tokens()}, "inv_weapon_vocab": {}}
        )

    def _tokens(self) -> Iterator[tuple[int, str]]:
        with self._source.ask("SELECT token_id, token FROM vocabulary ORDER BY token_id", {}) as relation:
            yield from relation.fetchall()
