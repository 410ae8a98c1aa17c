"""The web server of a review, which serves pages, data and tiles, and receives edits.

It listens on the local machine only. The pages are in ``static``: ``review.html`` with the script
``review.js``, and ``compare.html`` with ``compare.js``.
"""

import asyncio
import json
import math
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cryopick.display.pyramid import Pyramid, PyramidCache, View, build, build_denoised, tile
from cryopick.errors import CryopickError
from cryopick.review.access import AccessMiddleware
from cryopick.review.api import changes, detail, histogram, overview
from cryopick.review.compare import Comparison
from cryopick.review.connections import LimitedProtocol
from cryopick.review.edits import decode_request
from cryopick.review.export import training_commands, write_labels, write_result
from cryopick.review.session import ConflictError, Review, all_scores

HOST = "127.0.0.1"
CACHE_BYTES = 512 << 20
LARGEST_BODY = 4 << 20
BODY_SECONDS = 30.0
"""Time within which the body of a request must have arrived."""
LARGEST_BLUR = 200.0
"""Largest standard deviation [px] of the Gaussian; a wider one would remove all detail."""


class JsonResponse(JSONResponse):
    """A JSON response, encoded quickly; bytes of file names that are not UTF-8 become escapes."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        try:
            return msgspec.json.encode(content)
        except UnicodeEncodeError:
            return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class Server:
    """The request handlers of one review.

    Parameters
    ----------
    review : the review that pages show and edit.
    reviewed : the folder under review, for titles and commands.
    comparison : a second set of picks to compare with; None without one.
    """

    def __init__(self, review: Review, reviewed: Path, comparison: Comparison | None = None) -> None:
        self._review = review
        self._reviewed = reviewed
        self._comparison = comparison
        self._pyramids = PyramidCache(CACHE_BYTES)
        self._static = as_file(files("cryopick.review").joinpath("static")).__enter__()

    def app(self, token: str) -> AccessMiddleware:
        """Return the ASGI application; it accepts requests that have the token."""
        routes = [
            Route("/", self._page("review.html")),
            Route("/compare", self._page("compare.html")),
            Mount("/static", StaticFiles(directory=self._static)),
            Route("/api/overview", self._overview),
            Route("/api/changes", self._changes),
            Route("/api/micrographs/{index:int}", self._detail),
            Route("/api/micrographs/{index:int}/edits", self._edit, methods=["POST"]),
            Route("/api/export", self._export, methods=["POST"]),
            Route("/api/labels", self._labels, methods=["POST"]),
            Route("/api/comparison", self._compare),
            Route("/api/comparison/{index:int}", self._compare_one),
            Route("/tiles/{index:int}/{view:str}/{level:int}/{column:int}/{row:int}.jpg", self._tile),
        ]
        errors: dict[Any, Callable[..., Response]] = {
            CryopickError: _bad_request,
            OSError: _disk_error,
        }
        return AccessMiddleware(Starlette(routes=routes, exception_handlers=errors), token)

    def _page(self, name: str) -> Callable[[Request], Response]:
        def page(request: Request) -> Response:
            return FileResponse(self._static / name, headers={"Cache-Control": "no-store"})

        return page

    def _overview(self, request: Request) -> Response:
        return JsonResponse(overview(self._review, str(self._reviewed)) | {"compare": self._comparison is not None})

    def _changes(self, request: Request) -> Response:
        return JsonResponse(changes(self._review, _integer(request, "after")))

    def _detail(self, request: Request) -> Response:
        return JsonResponse(detail(self._review, self._index(request)))

    async def _edit(self, request: Request) -> Response:
        index, body = self._index(request), await _read_body(request)
        return await run_in_threadpool(self._submit, index, body)

    def _submit(self, index: int, body: bytes) -> Response:
        try:
            self._review.submit(index, decode_request(body))
        except ConflictError as error:
            return JsonResponse({"error": str(error), "now": detail(self._review, index)}, 409)
        return JsonResponse(detail(self._review, index))

    async def _export(self, request: Request) -> Response:
        try:
            name = str(json.loads(await _read_body(request))["format"])
        except (ValueError, LookupError, TypeError, RecursionError):
            raise HTTPException(400, "the request must name a format") from None
        return JsonResponse({"path": str(await run_in_threadpool(write_result, self._review, name))})

    def _labels(self, request: Request) -> Response:
        labels = write_labels(self._review)
        commands = training_commands(self._review, self._reviewed)
        return JsonResponse({"micrographs": labels.micrographs, "particles": labels.particles, "commands": commands})

    def _compare(self, request: Request) -> Response:
        comparison = self._comparison_at_thresholds(request)
        rows = [comparison.row(index) for index in range(len(self._review.micrographs))]
        scores = {"before": histogram(all_scores(comparison.before)), "after": histogram(all_scores(comparison.after))}
        return JsonResponse({"title": comparison.title, "rows": rows, "totals": comparison.totals(), "scores": scores})

    def _compare_one(self, request: Request) -> Response:
        return JsonResponse(self._comparison_at_thresholds(request).detail(self._index(request)))

    def _tile(self, request: Request) -> Response:
        index, place = self._index(request), request.path_params
        view: View = "denoised" if place["view"] == "denoised" else "plain"
        pyramid = self._pyramids.get((index, view), lambda: self._build_pyramid(index, view))
        image = tile(pyramid, place["level"], place["column"], place["row"], blur=_blur(request))
        if image is None:
            raise HTTPException(404, "no such tile")
        return Response(image, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    def _build_pyramid(self, index: int, view: View) -> Pyramid:
        selected = self._review.micrographs[index]
        micrograph = selected.source.read(salvage=True)
        if view == "denoised":
            return build_denoised(micrograph, diameter_px=selected.picks.diameter_px)
        return build(micrograph)

    def _index(self, request: Request) -> int:
        index: int = request.path_params["index"]
        if index >= len(self._review.micrographs):
            raise HTTPException(404, "no such micrograph")
        return index

    def _comparison_at_thresholds(self, request: Request) -> Comparison:
        """Return the comparison at the thresholds in the request."""
        if self._comparison is None:
            raise HTTPException(404, "there is nothing to compare; start `cryopick review` with --compare")
        return self._comparison.above(_threshold(request, "before"), _threshold(request, "after"))


def listen(port: int) -> socket.socket:
    """Open a socket that listens on the local machine only; port 0 selects a free one. Raises `OSError` for a port in use."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def serve(app: AccessMiddleware, listener: socket.socket) -> None:
    """Serve until Ctrl-C, SIGTERM or SIGHUP, which comes when a terminal is closed."""
    engine = uvicorn.Server(server_config(app))

    def stop(number: int, frame: object) -> None:
        engine.should_exit = True

    with _handled(stop):
        engine.run(sockets=[listener])


def server_config(app: AccessMiddleware) -> uvicorn.Config:
    """Return the configuration of the server."""
    return uvicorn.Config(
        app,
        http=LimitedProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )


@contextmanager
def _handled(stop: Callable[[int, object], None]) -> Iterator[None]:
    """Call `stop` at the signals that end a review, and not what they did before; those that are ignored stay ignored.

    uvicorn has handlers of its own while it runs, and afterwards sends itself the signal that ended it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in wanted}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore SIGTERM and SIGHUP in the block, in which results are written: one that ended the server may come again."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise HTTPException(413, "the request is too long")
    except TimeoutError:
        raise HTTPException(408, "the request did not arrive in time") from None
    return bytes(body)


def _integer(request: Request, name: str) -> int:
    try:
        return int(request.query_params.get(name, "0"))
    except ValueError:
        raise HTTPException(400, f"{name} must be a whole number, got {request.query_params[name]!r}") from None


def _threshold(request: Request, name: str) -> float | None:
    """Return the threshold in a request; None keeps all picks."""
    if name not in request.query_params:
        return None
    threshold = _number(request.query_params[name])
    if math.isnan(threshold):
        raise HTTPException(400, f"{name} must be a number, got {request.query_params[name]!r}")
    return threshold


def _blur(request: Request) -> float:
    blur = _number(request.query_params.get("blur", "0"))
    if not 0 <= blur <= LARGEST_BLUR:
        raise HTTPException(400, f"blur must be between 0 and {LARGEST_BLUR:g} pixels")
    return blur


def _number(text: str) -> float:
    """Return the number in a text; NaN for any other text."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _bad_request(request: Request, error: Exception) -> Response:
    return JsonResponse({"error": str(error)}, 400)


def _disk_error(request: Request, error: Exception) -> Response:
    where = f"{getattr(error, 'filename', None) or 'the disk'}"
    return JsonResponse({"error": f"not saved: {where}: {getattr(error, 'strerror', None) or error}"}, 507)
