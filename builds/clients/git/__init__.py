"""Public git repositories over https: one commit of one, without git's own transports.

We speak the protocol ourselves, so that every byte goes through the guarded client and there is no
command line, no helper, no hook and no configuration that a URL could reach. What comes back is
taken apart by git inside the sandbox, which has no network.
"""

from __future__ import annotations

from builds.clients.git.fetch import Fetched, check_ref, fetch_pack
from builds.clients.git.unpack import Packed, pack_commit

__all__ = ["Fetched", "Packed", "check_ref", "fetch_pack", "pack_commit"]
