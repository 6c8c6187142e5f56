"""Access control, checked for every request before the application sees it.

Pages of other sites cannot reach the studio: unknown Host headers are refused (against DNS rebinding), writing needs
the same origin, and reading is prevented without CORS and by same-origin resource headers.
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

__all__ = ["COOKIE", "AccessMiddleware", "AccessPolicy", "SignInError"]

COOKIE = "impasto-token"
MIN_TOKEN = 16

READING_METHODS = {"GET", "HEAD", "OPTIONS"}
PUBLIC_PATHS = {"/", "/api/session", "/api/health"}
"""Paths that need no token: the page that asks for it, signing in, and the health check."""

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class SignInError(Exception):
    """A wrong token."""


@dataclass(frozen=True)
class AccessPolicy:
    """The host names and the token that the studio accepts.

    Raises `ConfigError` if other machines could reach it without a token.
    """

    host: str = "127.0.0.1"
    token: str | None = None
    names: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    """Addresses or networks of reverse proxies, whose X-Forwarded headers are trusted."""

    def __post_init__(self) -> None:
        for proxy in self.proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                raise ConfigError(
                    f"--behind-proxy {proxy} is no address. Give an IP address, or a network such as 10.0.0.0/8."
                ) from None
        if self.token is None and (self.proxies or not _is_loopback(self.host)):
            option = "--behind-proxy" if self.proxies else f"--host {self.host}"
            raise ConfigError(
                f"{option} opens the studio to other machines. Add a --token of {MIN_TOKEN} characters or more."
            )
        if self.token is not None and not re.fullmatch(rf"[!-~]{{{MIN_TOKEN},}}", self.token):
            raise ConfigError(f"The token is too short or has other characters. Use {MIN_TOKEN} or more of ASCII.")

    def accepts_host(self, host_header: str) -> bool:
        """Return True if a Host header names this studio. With a token, any IP address does."""
        try:
            host = urlsplit(f"//{host_header}").hostname or ""
        except ValueError:
            return False
        if _is_loopback(self.host):
            return _is_loopback(host) or host in self.names
        return host == self.host or host in self.names or _is_address(host) or _is_loopback(host)

    def accepts_token(self, token: str) -> bool:
        """Return True if the token is right, or none is needed."""
        return self.token is None or hmac.compare_digest(token.encode(), self.token.encode())


class AccessMiddleware:
    """ASGI middleware that applies a policy, and adds security headers to every response."""

    def __init__(self, app: ASGIApp, policy: AccessPolicy) -> None:
        self.app, self.policy = app, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is not None:
            await _refuse(*refusal, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Return the status and the message with which a request is refused, or None."""
        hosts = headers.getlist("host")
        advice = ""
        if not self.policy.proxies and ("x-forwarded-for" in headers or "forwarded" in headers):
            advice = " If a proxy forwards requests, start the studio with --behind-proxy and --name."
        if len(hosts) != 1 or not self.policy.accepts_host(hosts[0]):
            return 421, f"Unknown host name. Open the studio at the address that it printed.{advice}"
        if not _is_same_site(scope, headers, hosts[0]):
            return 403, f"Requests from other sites are not allowed. Use the studio's own page.{advice}"
        if scope["path"] in PUBLIC_PATHS or scope["path"].startswith("/page/"):
            return None
        if not self.policy.accepts_token(_find_token(headers)):
            return 401, "A token is needed. Send it as Authorization: Bearer TOKEN, or sign in on the page."
        return None


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


def _is_same_site(scope: Scope, headers: Headers, host: str) -> bool:
    """Return True if a request comes from the studio's own page, or from no page."""
    site = headers.get("sec-fetch-site", "none")
    if scope["method"] in READING_METHODS:
        # Other sites may link to the page, but use nothing else.
        return site in ("none", "same-origin") or (scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate")
    origin = headers.get("origin")
    return site in ("none", "same-origin") and (origin is None or origin == f"{scope['scheme']}://{host}")


def _find_token(headers: Headers) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    cookie = SimpleCookie()
    try:
        cookie.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookie[COOKIE].value if COOKIE in cookie else ""


async def _refuse(status: int, message: str, send: Send) -> None:
    body = json.dumps({"error": message}).encode()
    headers: Iterable[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
