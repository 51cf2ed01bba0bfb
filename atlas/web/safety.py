"""Guards of the server: who may ask, from which page, and what a page may load."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Pages run no script and load nothing but what this server has; texts of an atlas cannot change that.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def make_token() -> str:
    """Return a new token that nobody can guess."""
    return secrets.token_urlsafe(24)


class Guard:
    """Refuses requests without the token and for other hosts, and adds the headers of safety to every answer.

    A page of another site could ask a server on this machine through a host name that it points here; so the host that a
    request names must be one of this server's.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: tuple[str, ...] | None, token: str | None, origins: tuple[str, ...]
    ) -> None:
        """Guard `app`: `hosts` are the names it answers to (None for any), `origins` the sites whose pages may read it."""
        self._app, self._hosts, self._token = app, hosts, token
        self._origins = tuple(origin.rstrip("/") for origin in origins)
        # Servers on other ports of one host share their cookies.
        self._cookie = f"atlas_{hashlib.sha256((token or '').encode()).hexdigest()[:8]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    found[name] = value
                # A browser asks whether what it has is still right: pages of two versions do not fit together.
                found.setdefault("Cache-Control", "no-cache")
                if headers.get("origin") in self._origins:
                    found["Access-Control-Allow-Origin"] = headers["origin"]
                    found["Access-Control-Expose-Headers"] = (
                        "ETag, X-Truncated, X-Feature-Id, X-Num-Rows, X-Load-Time-Ms"
                    )
                    found["Cross-Origin-Resource-Policy"] = "cross-origin"
                    found.add_vary_header("Origin")
            await send(message)

        refused = self._refused(scope, headers)
        await (refused or self._app)(scope, receive, guarded)

    def _refused(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        """Return the answer to a request that is refused, or that brings its token in the address; None for others."""
        host = _without_port(headers.get("host", ""))
        if self._hosts is not None and host not in self._hosts:
            return JSONResponse({"detail": f"this server is not {host[:100]!r}"}, 400)
        # Browsers say from where a page asks. Other sites may link to a page here, and nothing else.
        is_other = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if is_other and headers.get("sec-fetch-mode") != "navigate" and headers.get("origin") not in self._origins:
            return JSONResponse(
                {"detail": "pages of other sites may not ask this server; --cors ORIGIN allows one"}, 403
            )
        if scope["method"] == "OPTIONS" and headers.get("origin") in self._origins:
            allowed = {
                "Access-Control-Allow-Methods": "GET, POST",
                "Access-Control-Allow-Headers": "Authorization, Content-Type, If-None-Match",
            }
            return Response(status_code=204, headers=allowed)
        if self._token is None:
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        stated = dict(query).get("token")
        if stated is not None and self._is_token(stated):
            # Out of the address, which is shown, kept and passed on.
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            answer = RedirectResponse("/" + scope["path"].lstrip("/") + (f"?{rest}" if rest else ""), 303)
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="lax")
            return answer
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        # Other servers of this machine set cookies of their own, which may be anything.
        cookie = cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
        if (scheme.lower() == "bearer" and self._is_token(bearer.strip())) or self._is_token(cookie):
            return None
        return JSONResponse(
            {
                "detail": "this server needs its token: open the address that it printed, or send Authorization: Bearer TOKEN"
            },
            401,
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self._token or "").encode())


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
