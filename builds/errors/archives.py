"""Refusals of uploaded source archives."""

from __future__ import annotations

from jobs.errors import Refusal


class ArchiveRefused(Refusal):
    """Base of every reason not to take a source archive; nothing was stored or unpacked."""

    code = "ARCHIVE_INVALID"
    status = 422
    title = "The archive cannot be used."


class ArchiveTooLarge(ArchiveRefused):
    """More bytes than an archive may have."""

    code = "ARCHIVE_TOO_LARGE"
    status = 413
    title = "The archive is larger than a source may be."
    next_step = "Leave out what the site does not need and upload a smaller archive."


class ArchiveInvalid(ArchiveRefused):
    """Not a readable .tar.gz or .zip: another format, cut off, damaged, encrypted."""

    code = "ARCHIVE_INVALID"
    title = "The archive is not a readable .tar.gz or .zip file."
    next_step = "Pack the site again as .tar.gz or .zip, without encryption, and upload it."


class ArchiveUnsafeEntry(ArchiveRefused):
    """An entry that a site has no use for and an attacker has: links, devices, odd paths."""

    code = "ARCHIVE_UNSAFE_ENTRY"
    title = "The archive holds an entry that is not a plain file or directory inside it."
    next_step = "Remove the named entry; only files and directories with relative paths are taken."


class ArchiveTooManyFiles(ArchiveRefused):
    """More entries than a source may have."""

    code = "ARCHIVE_TOO_MANY_FILES"
    title = "The archive holds more files than a source may."
    next_step = "Leave out what the site does not need and upload the archive again."


class ArchiveBomb(ArchiveRefused):
    """Unpacks to more than a source may, absolutely or relative to its size."""

    code = "ARCHIVE_BOMB"
    title = "The archive unpacks to far more than it should."
    next_step = "Leave out large or repetitive files and upload the archive again."
