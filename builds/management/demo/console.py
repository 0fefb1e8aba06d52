"""The operator's part: the admin over HTTP, as a browser would use it."""

from __future__ import annotations

import re

import httpx

from builds.management.demo.failed import DemoFailed

TIMEOUT_S = 20.0
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
LETTER = re.compile(r"/admin/jobs/failedjob/(\d+)/change/")


class Console:
    """A logged-in session of the admin."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self._http = httpx.Client(
            base_url=url,
            timeout=TIMEOUT_S,
            trust_env=False,
            headers={"Referer": f"{url}/admin/"},
        )
        self._log_in(username, password)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def find_dead_letter(self, job_id: str) -> int | None:
        """Search the list of dead letters for a job; return the letter's id, if it is there."""
        found = LETTER.search(self._get("/admin/jobs/failedjob/", q=job_id))
        return int(found[1]) if found else None

    def read_dead_letter(self, letter_id: int) -> str:
        """Return the page of one dead letter."""
        return self._get(f"/admin/jobs/failedjob/{letter_id}/change/")

    def requeue(self, letter_id: int) -> None:
        """Press "retry" on a dead letter."""
        page = self.read_dead_letter(letter_id)
        path = f"/admin/jobs/failedjob/{letter_id}/requeue/"
        answer = self._send("POST", path, data={"csrfmiddlewaretoken": _token(page)})
        if not answer.is_redirect:
            raise DemoFailed(f"{path} was answered with {answer.status_code}")

    def _log_in(self, username: str, password: str) -> None:
        path = "/admin/login/?next=/admin/"
        form = {
            "username": username,
            "password": password,
            "csrfmiddlewaretoken": _token(self._get("/admin/login/")),
        }
        if not self._send("POST", path, data=form).is_redirect:
            raise DemoFailed(f"the console does not let {username} in")

    def _get(self, path: str, **query: str) -> str:
        answer = self._send("GET", path, params=query)
        if answer.status_code != httpx.codes.OK:
            raise DemoFailed(f"GET {path} was answered with {answer.status_code}")
        return answer.text

    def _send(self, method: str, path: str, **options: object) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)  # type: ignore[arg-type]
        except httpx.HTTPError as error:
            raise DemoFailed(f"{method} {path}: {error!r}") from error


def _token(page: str) -> str:
    found = TOKEN.search(page)
    if not found:
        raise DemoFailed("a page of the console has no form to send")
    return found[1]
