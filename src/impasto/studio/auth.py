"""Who may talk to the studio: checked for every request, before anything else sees it.

A page elsewhere must not reach a server on this machine: it cannot name it otherwise than it is called (the Host
header, against DNS rebinding), cannot write to it (same origin), and cannot read it (no CORS, same-origin resources).
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from impasto.errors import ConfigError

__all__ = ["COOKIE", "AccessPolicy", "Guard", "SignInError"]

COOKIE = "impasto-token"
SHORTEST_TOKEN = 16

SAFE = {"GET", "HEAD", "OPTIONS"}
OPEN = {"/", "/api/session", "/api/health"}
"""What is answered without a token: the page that asks for it, and whether anyone is here."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "manifest-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class SignInError(Exception):
    """Not the token."""


@dataclass(frozen=True)
class AccessPolicy:
    """What the studio answers to. Raises `ConfigError` if others could reach it without a token."""

    host: str = "127.0.0.1"
    token: str | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _is_loopback(self.host) and self.token is None:
            raise ConfigError(
                f"--host {self.host} lets others in. Give them a --token of {SHORTEST_TOKEN} characters or more."
            )
        if self.token is not None and not re.fullmatch(rf"[!-~]{{{SHORTEST_TOKEN},}}", self.token):
            raise ConfigError(f"A token is {SHORTEST_TOKEN} letters, digits or signs of ASCII or more, without spaces.")

    def knows(self, host_header: str) -> bool:
        """Whether a request was meant for us: for one of our names, or, where a token is asked for, any address."""
        try:
            host = urlsplit(f"//{host_header}").hostname or ""
        except ValueError:
            return False
        if _is_loopback(self.host):
            return _is_loopback(host) or host in self.names
        return host == self.host or host in self.names or _is_address(host) or _is_loopback(host)

    def opens(self, token: str) -> bool:
        """Whether this is the token."""
        return self.token is None or hmac.compare_digest(token.encode(), self.token.encode())


class Guard:
    """An ASGI layer that lets through what `doors` allow, and sends headers that keep browsers careful."""

    def __init__(self, app: ASGIApp, doors: AccessPolicy) -> None:
        self.app, self.doors = app, doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def careful(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is not None:
            await _refuse(*refusal, careful)
            return
        await self.app(scope, receive, careful)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.doors.knows(hosts[0]):
            return 421, "This studio is not called that. Open it by the address that it printed."
        if not _from_here(scope, headers, hosts[0]):
            return 403, "Another page may not do that."
        if scope["path"] in OPEN or scope["path"].startswith("/page/"):
            return None
        if not self.doors.opens(_token_of(headers)):
            return 401, "A token is asked for: send it as Authorization: Bearer TOKEN, or sign in on the page."
        return None


def _from_here(scope: Scope, headers: Headers, host: str) -> bool:
    """Whether a request comes from our own page, or from no page at all."""
    site = headers.get("sec-fetch-site", "none")
    if scope["method"] in SAFE:
        # A link elsewhere may lead to the page; nothing else of ours may be used from there.
        return site in ("none", "same-origin") or (scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate")
    origin = headers.get("origin")
    return site in ("none", "same-origin") and (origin is None or origin == f"{scope['scheme']}://{host}")


def _token_of(headers: Headers) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    cookie = SimpleCookie()
    try:
        cookie.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookie[COOKIE].value if COOKIE in cookie else ""


async def _refuse(status: int, why: str, send: Send) -> None:
    body = json.dumps({"error": why}).encode()
    headers: Iterable[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
