"""Linux calls that the standard library does not have."""

from __future__ import annotations

import ctypes
import os
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWNET: Final = 0x40000000

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2

_libc: Final = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Change a trait of this process. Raises: OSError."""
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0))


def unshare(flags: int) -> None:
    """Leave namespaces for new ones. Raises: OSError."""
    _check(_libc.unshare(flags))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system, or change a mount. Raises: OSError naming the target."""
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()
    )
    _check(result, target)


def unmount(target: str, flags: int) -> None:
    """Take a mount away. Raises: OSError."""
    _check(_libc.umount2(target.encode(), flags), target)


def pivot_root(new_root: str, old_root: str) -> None:
    """Make a mount the root of this namespace. Raises: OSError."""
    _check(_libc.pivot_root(new_root.encode(), old_root.encode()), new_root)


def syscall(number: int, *arguments: object) -> int:
    """Make a system call that libc has no function for. Raises: OSError."""
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    _check(result)
    return result


def _check(result: int, name: str | None = None) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
