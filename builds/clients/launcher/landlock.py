"""Landlock: an ordinary process gives up rights for good (Linux 5.13 on; man 7 landlock)."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from builds.clients.launcher import kernel
from builds.clients.launcher.plan import Plan
from builds.clients.launcher.view import DEVICES, view_of

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_GET_VERSION: Final = 1
_RULE_PATH: Final = 1

_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_TRUNCATE: Final = 1 << 14
_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_FILE_RIGHTS: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
# The number of rights over files that a version knows; they are the lowest bits.
_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_TCP: Final = 0b11
_SCOPES: Final = 0b11


def restrict(plan: Plan) -> None:
    """Keep this process and all it starts to the paths of the plan's view.

    From version 4 on it also has no TCP, from 6 on it cannot signal processes outside.
    Raises: OSError where the kernel has no Landlock.
    """
    version = kernel.syscall(
        _CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_GET_VERSION)
    )
    every = (1 << _RIGHTS.get(version, 16)) - 1
    attributes = struct.pack(
        "QQQ", every, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0
    )
    # A kernel takes a longer structure only while what it does not know is zero.
    ruleset = kernel.syscall(
        _CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)
    )
    view = view_of(plan, [])
    for path in (*view.readable, *view.workspace_readable):
        _allow(ruleset, path, _READ & every)
    for path in view.writable:
        _allow(ruleset, path, every)
    for path in DEVICES:
        _allow(ruleset, path, (_READ_FILE | _WRITE_FILE) & every)
    kernel.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    handle = os.open(path, os.O_PATH)
    if not os.path.isdir(path):
        rights &= _FILE_RIGHTS
    rule = struct.pack("=Qi", rights, handle)
    kernel.syscall(
        _ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH), rule, ctypes.c_uint32(0)
    )
    os.close(handle)
