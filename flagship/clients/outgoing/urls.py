"""Read a URL that a client names; nothing is resolved or called (pure but for the settings)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

from flagship.errors import UrlNotAllowed

LONGEST: Final = 500
# A name with a dot whose last label begins with a letter: no spelling of an address is one.
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads: always https. `path` begins with a slash and has no query."""

    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """The URL without its path, without the port where it is the usual one."""
        return f"https://{self.host}" + ("" if self.port == 443 else f":{self.port}")


def parse_url(url: str) -> Target:
    """Return where a URL leads.

    Only https, a host name in ASCII (IDNA-encoded), a port of OUTGOING_PORTS and a plain path: no
    user or password, no query, no fragment, no literal address in any spelling.
    Raises: UrlNotAllowed with the reason.
    """
    if len(url) > LONGEST or not url.isascii() or not url.isprintable() or " " in url:
        raise _refuse(url, f"it has more than {LONGEST} characters, or others than plain ASCII")
    if not url.lower().startswith("https://"):
        raise _refuse(url, "it does not begin with https://")
    try:
        parts = urlsplit(url)
        port = 443 if parts.port is None else parts.port
    except ValueError:
        raise _refuse(url, "it is not a URL") from None
    host = parts.netloc.rpartition(":")[0] if ":" in parts.netloc else parts.netloc
    host = host.lower()
    if "@" in parts.netloc:
        raise _refuse(url, "it names a user; credentials are not taken")
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise _refuse(url, "its host is not a public name")
    if port not in settings.OUTGOING_PORTS:
        raise _refuse(url, f"port {port} is not one that is called")
    if "?" in url or "#" in url or not _PATH.fullmatch(parts.path):
        raise _refuse(url, "it has more than a host and a plain path")
    return Target(host, port, parts.path or "/")


def _refuse(url: str, reason: str) -> UrlNotAllowed:
    shown = url[:200].encode("ascii", "backslashreplace").decode()
    return UrlNotAllowed(f"The URL is not called: {reason}.", data={"url": shown, "reason": reason})
