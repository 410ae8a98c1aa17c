"""Connections to the server, so limited that slow or idle ones cannot fill it: other users' programs can open them too."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 10.0
"""Time within which the head of a request must have arrived."""
MOST_CONNECTIONS = 100
"""Connections at a time; beyond that, the one that has waited longest for a request is closed. A browser opens six."""


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, on connections that are closed when they keep the server waiting for a request."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Close the connection that has waited longest where there are too many, and wait for a request."""
        super().connection_made(transport)
        waiting = [one for one in self.connections if isinstance(one, LimitedProtocol) and one._deadline is not None]
        if len(self.connections) > MOST_CONNECTIONS:
            oldest = min(waiting, key=LimitedProtocol._closes_at, default=self)
            oldest.transport.abort()
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        super().data_received(data)
        if self._is_answering:
            self._stop_waiting()
        elif self._deadline is None:  # the beginning of a further request, or the rest of one that was refused
            self._wait_for_request()

    def on_response_complete(self) -> None:
        """Wait for the next request, which may have begun to arrive."""
        super().on_response_complete()
        if not (self.transport.is_closing() or self._is_answering):
            self._wait_for_request()

    @property
    def _is_answering(self) -> bool:
        """Whether a request has arrived whose response is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_request(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _closes_at(self: Any) -> float:
        return float(self._deadline.when())
