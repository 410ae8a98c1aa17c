"""Access control: only pages that the server sent itself, opened with the address that it printed, may send requests.

The server listens on the local machine only, but other users' programs and any web page in the same browser can reach it. Every
request therefore needs the token, first in the address and then in a cookie that scripts cannot read; a host name of the local
machine (against DNS rebinding); and the server itself as origin (against requests from other sites).
"""

import hashlib
import hmac
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_HOSTS = {"127.0.0.1", "localhost"}
PAGES = {"/", "/compare"}
"""Paths that accept the token in their address."""
LONGEST_PATH = 300
"""Characters of a path: more than those of any page, micrograph or tile."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
INVALID_ADDRESS_PAGE = """<!doctype html><meta charset="utf-8"><title>cryopick review</title>
<p>This address is not valid or has expired. <code>cryopick review</code> prints a new address each time it starts; open that one.
No edits are lost: each was saved when it was made.</p>
"""


class AccessMiddleware:
    """ASGI middleware that accepts requests with the token from the server's own pages, and adds headers to every response.

    Attributes
    ----------
    cookie : name of the cookie that holds the token.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()
        self.cookie = f"cryopick-{hashlib.sha256(self._token).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is supported")
        headers = Headers(scope=scope)
        in_address = self._has_token_in_address(scope)
        refusal = self._refusal(scope, headers, in_address)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                changed = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    changed[name] = value
                if in_address and refusal is None:
                    changed.append("Set-Cookie", f"{self.cookie}={self._token.decode()}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers, in_address: bool) -> Response | None:
        """Return the response to a request that is not allowed; None for one that is."""
        if len(scope["path"]) > LONGEST_PATH:
            return PlainTextResponse("the address is too long", 400)
        host = headers.get("host", "")
        if host.rsplit(":", 1)[0] not in LOCAL_HOSTS:
            return PlainTextResponse("this host name is not allowed", 403)
        if headers.get("origin") not in {None, f"http://{host}"}:
            return PlainTextResponse("requests from other sites are not allowed", 403)
        if not (in_address or self._has_token_in_cookie(headers)):
            return HTMLResponse(INVALID_ADDRESS_PAGE, 403)
        opened_by_person = in_address and scope["method"] == "GET"
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"} and not opened_by_person:
            return PlainTextResponse("requests from other sites are not allowed", 403)
        if scope["method"] == "POST" and headers.get("content-type", "").split(";")[0] != "application/json":
            return PlainTextResponse("the content type must be application/json", 415)
        return None

    def _has_token_in_address(self, scope: Scope) -> bool:
        if scope["path"] not in PAGES:
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        return self._is_token(given[0])

    def _has_token_in_cookie(self, headers: Headers) -> bool:
        return self._is_token(cookie_parser(headers.get("cookie", "")).get(self.cookie, ""))

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token)
