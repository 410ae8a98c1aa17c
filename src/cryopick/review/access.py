"""Who may talk to the server: pages that it gave out itself, to somebody who had the address that it printed.

The server listens on this machine alone, but other users' programs and any web page in the same browser can reach it. So every
request needs the token, in the address of the first one and then in a cookie that no script can read; a name of the host that is
this machine's own (against DNS rebinding); and an origin that is the server itself (against requests from other sites).
"""

import hashlib
import hmac
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OWN_HOSTS = {"127.0.0.1", "localhost"}
PAGES = {"/", "/compare"}
"""Paths whose address may carry the token."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
STALE = """<!doctype html><meta charset="utf-8"><title>cryopick review</title>
<p>This address is not valid (any more). <code>cryopick review</code> prints a new one each time it is started; open that one.
Nothing is lost: every edit was saved when it was made.</p>
"""


class Guard:
    """Lets requests pass to `app` that bear the token and come from the server's own pages; adds headers to all answers."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()
        self.cookie = f"cryopick-{hashlib.sha256(self._token).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is served")
        headers = Headers(scope=scope)
        in_address = self._in_address(scope)
        answer = self._refusal(scope, headers, in_address)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                changed = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    changed[name] = value
                if in_address and answer is None:
                    changed.append("Set-Cookie", f"{self.cookie}={self._token.decode()}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        await (answer or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers, in_address: bool) -> Response | None:
        """The answer to a request that may not pass, None for one that may."""
        host = headers.get("host", "")
        if host.rsplit(":", 1)[0] not in OWN_HOSTS:
            return PlainTextResponse("not a name of this server", 403)
        if headers.get("origin") not in {None, f"http://{host}"}:
            return PlainTextResponse("not from another site", 403)
        if not (in_address or self._in_cookie(headers)):
            return HTMLResponse(STALE, 403)
        opened_by_person = in_address and scope["method"] == "GET"
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"} and not opened_by_person:
            return PlainTextResponse("not from another site", 403)
        if scope["method"] == "POST" and headers.get("content-type", "").split(";")[0] != "application/json":
            return PlainTextResponse("only JSON", 415)
        return None

    def _in_address(self, scope: Scope) -> bool:
        if scope["path"] not in PAGES:
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        return self._fits(given[0])

    def _in_cookie(self, headers: Headers) -> bool:
        return self._fits(cookie_parser(headers.get("cookie", "")).get(self.cookie, ""))

    def _fits(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token)
