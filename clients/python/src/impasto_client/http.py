"""HTTP requests to a studio: one connection each, so that any thread may send them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping
from typing import IO, Any, Dict, Tuple, Union
from urllib.parse import quote, urlencode, urlsplit

from impasto_client.errors import ConnectionLostError, NoStudioError, RequestError, StudioError, TokenError

__all__ = ["Body", "EventStream", "Transport"]

Body = Union[bytes, IO[bytes], Dict[str, Any], None]

_Exchange = Tuple[http.client.HTTPConnection, http.client.HTTPResponse, socket.socket]
"""A request that was answered: its connection, the response to read, and the socket below both."""


class Transport:
    """The address of a studio, and the token for it. Raises `StudioError` for a URL that is none."""

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StudioError(f"{url!r} is no address of a studio. Give one such as http://127.0.0.1:8077.")
        self.url, self.token, self.timeout_s = url.rstrip("/"), token, timeout_s
        self._host, self._port, self._prefix = parts.hostname, port, parts.path.rstrip("/")
        self._is_https = parts.scheme == "https"

    def with_patience(self, timeout_s: float) -> Transport:
        """Return a transport to the same studio that waits at least this long for an answer."""
        return Transport(self.url, self.token, max(self.timeout_s, timeout_s))

    def call(self, method: str, path: str, body: Body = None, **query: Any) -> Any:
        """Send a request and return the JSON of the answer, or None if it has no body. Raises `StudioError`."""
        content = self.fetch(method, path, body, **query)
        return json.loads(content) if content else None

    def fetch(self, method: str, path: str, body: Body = None, **query: Any) -> bytes:
        """Send a request and return the answer. Raises `StudioError`."""
        connection, response, _ = self._send(method, path, body, query)
        try:
            return response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self.lost(error) from error
        finally:
            connection.close()

    def events(self, job: int, last_event_id: str, timeout_s: float) -> EventStream:
        """Open the event stream of a job. Raises `StudioError`."""
        headers = {"accept": "text/event-stream"}
        if last_event_id:
            headers["last-event-id"] = last_event_id
        return EventStream(self, self._send("GET", "/api/events", None, {"job": job}, headers, timeout_s))

    def lost(self, error: Exception) -> ConnectionLostError:
        """Describe a connection that broke."""
        return ConnectionLostError(
            f"The connection to the studio at {self.url} was lost ({error or type(error).__name__}). "
            "See if the studio still runs."
        )

    def _send(
        self,
        method: str,
        path: str,
        body: Body,
        query: Mapping[str, Any],
        headers: Mapping[str, str] = {},
        timeout_s: float | None = None,
    ) -> _Exchange:
        kind = http.client.HTTPSConnection if self._is_https else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=timeout_s or self.timeout_s)
        try:
            connection.connect()
        except OSError as error:
            raise NoStudioError(
                f"No studio answers at {self.url} ({error.strerror or error}). Start one with: impasto studio"
            ) from error
        open_socket = connection.sock
        target = self._prefix + quote(path) + (f"?{urlencode(query)}" if query else "")
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # an upload that is refused early
                connection.request(method, target, *self._encode(body, headers))
            response = connection.getresponse()
            if response.status >= 300:
                raise self._refusal(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self.lost(error) from error
        except BaseException:
            connection.close()
            raise
        return connection, response, open_socket

    def _encode(self, body: Body, headers: Mapping[str, str]) -> tuple[bytes | IO[bytes] | None, dict[str, str]]:
        """Return the body of a request as bytes or a file, and the headers that describe it."""
        named = {"content-type": "application/octet-stream", **headers}
        if self.token:
            named["authorization"] = f"Bearer {self.token}"
        if isinstance(body, dict):
            return json.dumps(body).encode(), {**named, "content-type": "application/json"}
        if body is not None and not isinstance(body, bytes):  # without a length, it would be sent in chunks
            named["content-length"] = str(os.fstat(body.fileno()).st_size)
        return body, named

    def _refusal(self, status: int, content: bytes) -> StudioError:
        """Return the error for an answer that is a refusal."""
        try:
            message = str(json.loads(content)["error"])
        except (ValueError, KeyError, TypeError):
            if status in (502, 503, 504):  # a proxy, whose studio is gone for the moment
                return self.lost(http.client.HTTPException(f"status {status}"))
            return RequestError(f"{self.url} answered with status {status}. See if a studio runs there.", status)
        if status != 401:
            return RequestError(message, status)
        if self.token is None:
            return TokenError(f"The studio at {self.url} needs a token. Give the one that it was started with.")
        return TokenError(f"The studio at {self.url} refused the token. Give the one that it was started with.")


class EventStream:
    """An open stream of server-sent events. `close` may be called from any thread."""

    def __init__(self, transport: Transport, exchange: _Exchange) -> None:
        self._transport = transport
        self._connection, self._response, self._socket = exchange

    def __iter__(self) -> Iterator[tuple[str, str, Any]]:
        """Yield (id, kind, data) until the studio ends the stream. Raises `ConnectionLostError`."""
        fields: dict[str, str] = {}
        try:
            for line in iter(self._response.readline, b""):
                name, _, value = line.decode().rstrip("\r\n").partition(":")
                if name:
                    fields[name] = value[1:] if value.startswith(" ") else value
                elif not value and "data" in fields:
                    yield fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"])
                    fields = {}
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._transport.lost(error) from error

    def close(self) -> None:
        """Close the connection, and end an iteration that waits."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._connection.close()
