"""Fetch one commit and its files, none of its history (gitprotocol-v2(5))."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builds.clients.git.lines import DELIMITER, FLUSH, packet, packets, side_band
from builds.errors import RefInvalid, RepositoryRefused
from flagship.clients.outgoing import Answer, Conversation, Limits, Target

_ADVERTISED_BYTES: Final = 64 * 1024
_REFS_BYTES: Final = 1024 * 1024
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_REF: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}")
_UPLOAD_PACK: Final = "git-upload-pack"
_VERSION: Final = {"Git-Protocol": "version=2"}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A pack on disk and the commit in it. Units: bytes."""

    path: Path
    commit: str
    size_bytes: int


def check_ref(ref: str) -> None:
    """Refuse what is no plain name of a branch or tag, and no commit's 40 digits; empty is HEAD.

    Raises: RefInvalid.
    """
    if ref and (not _REF.fullmatch(ref) or ".." in ref or "//" in ref or ref.endswith((".", "/"))):
        raise RefInvalid(data={"ref": ref[:200].encode("ascii", "backslashreplace").decode()})


def fetch_pack(
    target: Target,
    ref: str,
    into: Path,
    *,
    max_bytes: int,
    timeout_s: float,
    check: Callable[[], None],
) -> Fetched:
    """Fetch the commit that a branch, a tag, a commit's digits or HEAD names, into a file.

    `check` is called between pieces and may raise to end it. Units: bytes of the pack, seconds of
    all of it.
    Raises: AddressNotAllowed, RemoteUnreachable, RemoteAnswerRefused, RepositoryRefused.
    """
    check_ref(ref)
    with Conversation(target, Limits(total_s=timeout_s)) as conversation:
        repository = _Repository(conversation, target.path.rstrip("/"))
        repository.greet()
        commit = ref if _COMMIT.fullmatch(ref) else repository.find(ref)
        size = 0
        with into.open("xb") as file:
            for piece in repository.pack(commit, max_bytes):
                check()
                size += len(piece)
                file.write(piece)
    return Fetched(into, commit, size)


class _Repository:
    """The three questions that a fetch asks."""

    def __init__(self, conversation: Conversation, path: str) -> None:
        self._conversation = conversation
        self._path = path

    def greet(self) -> None:
        """Ask whether there is a repository whose server speaks version 2."""
        path = f"{self._path}/info/refs?service={_UPLOAD_PACK}"
        with self._conversation.ask(
            "GET", path, max_bytes=_ADVERTISED_BYTES, headers=_VERSION
        ) as answer:
            self._expect(answer, "advertisement")
            said = [line for line in packets(answer.chunks) if line is not None]
        if b"version 2" not in {line.strip() for line in said}:
            raise RepositoryRefused("The server does not speak version 2 of git's protocol.")
        if b"object-format=sha256" in {line.strip() for line in said}:
            raise RepositoryRefused("The repository names its objects by SHA-256.")

    def find(self, ref: str) -> str:
        """Return the commit behind a branch, else a tag; HEAD for an empty name."""
        names = [f"refs/heads/{ref}", f"refs/tags/{ref}"] if ref else ["HEAD"]
        prefixes = [packet(f"ref-prefix {name}") for name in names]
        body = packet("command=ls-refs") + DELIMITER + packet("peel")
        body += b"".join(prefixes) + FLUSH
        found: dict[str, str] = {}
        with self._command(body, _REFS_BYTES) as answer:
            for line in packets(answer.chunks):
                words = (line or b"").decode("utf-8", "replace").split()
                if len(words) < 2:
                    continue
                peeled = [word[7:] for word in words[2:] if word.startswith("peeled:")]
                found[words[1]] = peeled[0] if peeled else words[0]
        for name in names:
            if _COMMIT.fullmatch(found.get(name, "")):
                return found[name]
        raise RepositoryRefused(f"The repository has no branch and no tag `{ref or 'HEAD'}`.")

    def pack(self, commit: str, max_bytes: int) -> Iterator[bytes]:
        """Yield the pack of one commit: itself and its files."""
        body = packet("command=fetch") + DELIMITER + packet(f"want {commit}")
        body += packet("deepen 1") + packet("no-progress") + packet("ofs-delta")
        body += packet("done") + FLUSH
        with self._command(body, max_bytes) as answer:
            lines = packets(answer.chunks)
            if b"packfile" not in ((line or b"").strip() for line in lines):
                raise RepositoryRefused("The server sends no pack.")
            yield from side_band(lines)

    @contextmanager
    def _command(self, body: bytes, max_bytes: int) -> Iterator[Answer]:
        headers = {**_VERSION, "Content-Type": f"application/x-{_UPLOAD_PACK}-request"}
        path = f"{self._path}/{_UPLOAD_PACK}"
        with self._conversation.ask(
            "POST", path, max_bytes=max_bytes, headers=headers, body=body
        ) as answer:
            self._expect(answer, "result")
            yield answer

    def _expect(self, answer: Answer, kind: str) -> None:
        if answer.content_type != f"application/x-{_UPLOAD_PACK}-{kind}":
            raise RepositoryRefused("There is no git repository at the URL.")
