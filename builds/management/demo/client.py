"""A client of the API, as a customer would write one."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx

from builds.management.demo.failed import DemoFailed

TIMEOUT_S = 20.0
# Silent streams send a heartbeat every 15 s.
STREAM_TIMEOUT_S = 40.0


class Client:
    """Speaks JSON with an API key; whatever is not a success ends the demo."""

    def __init__(self, url: str, api_key: str) -> None:
        self._http = httpx.Client(
            base_url=url,
            timeout=TIMEOUT_S,
            trust_env=False,
            follow_redirects=True,
            headers={"Authorization": f"Bearer {api_key}"},
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """GET a JSON object."""
        return self._json(self._send("GET", path, params=query))

    def items(self, path: str, **query: str | int) -> Iterator[dict[str, Any]]:
        """GET every item of a list, page after page."""
        while True:
            page = self.get(path, **query)
            yield from page["items"]
            if not page.get("nextCursor"):
                return
            query["cursor"] = page["nextCursor"]

    def post(self, path: str, body: dict[str, Any], *, key: str = "") -> dict[str, Any]:
        """POST a JSON object under an Idempotency-Key, a fresh one unless given."""
        return self._json(self.post_raw(path, body, key=key))

    def post_raw(
        self, path: str, body: dict[str, Any] | None = None, *, key: str = ""
    ) -> httpx.Response:
        """As `post`, but return the answer as it came; without a body nothing is sent."""
        return self._send("POST", path, json=body, headers={"Idempotency-Key": key or _new_key()})

    def refused(self, path: str, body: dict[str, Any], *, code: str) -> dict[str, Any]:
        """POST what has to be refused with this error code; return the error."""
        headers = {"Idempotency-Key": _new_key()}
        error = self._json(self._request("POST", path, json=body, headers=headers))
        if error.get("error") != code:
            raise DemoFailed(f"POST {path} was not refused with {code}: {error}")
        return error

    def text(self, path: str) -> str:
        """GET a text, whole."""
        return self._send("GET", path).text

    def events(self, build_id: str) -> Iterator[dict[str, Any]]:
        """GET every event of a build, oldest first."""
        path, after = f"/v1/builds/{build_id}/events", 0
        while True:
            page = self.get(path, after=after)
            yield from page["items"]
            if not page["hasMore"]:
                return
            after = page["lastSeq"]

    def upload(self, path: str, content: bytes) -> dict[str, Any]:
        """POST a .tar.gz archive."""
        headers = {"Content-Type": "application/gzip", "Idempotency-Key": _new_key()}
        return self._json(self._send("POST", path, content=content, headers=headers))

    def follow(self, url: str, timeout_s: float) -> Iterator[dict[str, Any]]:
        """Read a stream of events until its `end`: yields the data of each `line`."""
        until = time.monotonic() + timeout_s
        headers = {"Accept": "text/event-stream"}
        try:
            with self._http.stream("GET", url, headers=headers, timeout=STREAM_TIMEOUT_S) as answer:
                if not answer.is_success:
                    raise DemoFailed(f"GET {url} was answered with {answer.status_code}")
                name = ""
                for line in answer.iter_lines():
                    if time.monotonic() > until:
                        break
                    kind, _, value = line.partition(": ")
                    name = value if kind == "event" else name
                    if kind == "data" and name == "end":
                        return
                    if kind == "data":
                        yield json.loads(value)
        except httpx.HTTPError as error:
            raise DemoFailed(f"GET {url}: {error!r}") from error
        raise DemoFailed(f"{url} had no end within {timeout_s:g} s")

    def page(self, url: str) -> str:
        """GET a published page, as a visitor without a key."""
        try:
            answer = httpx.get(url, timeout=TIMEOUT_S, trust_env=False, follow_redirects=True)
        except httpx.HTTPError as error:
            raise DemoFailed(f"GET {url}: {error!r}") from error
        if answer.status_code != httpx.codes.OK:
            raise DemoFailed(f"GET {url} was answered with {answer.status_code}")
        return answer.text

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer = self._request(method, path, **options)
        if answer.is_success:
            return answer
        raise DemoFailed(f"{method} {path} was answered with {answer.status_code}: {answer.text}")

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise DemoFailed(f"{method} {path}: {error!r}") from error

    @staticmethod
    def _json(answer: httpx.Response) -> dict[str, Any]:
        body = answer.json()
        if not isinstance(body, dict):
            raise DemoFailed(f"{answer.request.url} did not answer with an object")
        return body


def _new_key() -> str:
    return f"demo-{uuid.uuid4().hex}"
