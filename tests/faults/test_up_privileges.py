"""PostgreSQL under root: in containers, below private directories, with a strict umask."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.ups import ROOT, is_root

# What a container's root usually holds: everything but the capability made for this.
CONTAINER = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+sys_chroot"
SCRIPT = """
import sys
from pathlib import Path
from flagship.management.embedded import EmbeddedServers, Home
home = Home(Path(sys.argv[1]))
home.prepare()
servers = EmbeddedServers.for_home(home, postgres=True, valkey=True)
try:
    for server in servers.running.values():
        server.start()
    status = Path(f"/proc/{servers.postgres.process.pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    print(fields["Uid"].split()[0], int(fields["CapEff"], 16), int(fields["CapBnd"], 16))
finally:
    servers.stop()
"""
NOTHING, DAC_OVERRIDE, DAC_READ_SEARCH = 0, 1 << 1, 1 << 2

pytestmark = pytest.mark.skipif(not is_root(), reason="only root runs PostgreSQL as somebody else")


@pytest.mark.parametrize(
    ("container", "mode", "umask", "kept"),
    [
        (False, 0o700, 0o022, DAC_READ_SEARCH),
        (False, 0o755, 0o077, DAC_READ_SEARCH),
        (True, 0o700, 0o022, DAC_OVERRIDE),
    ],
)
def test_postgres__as_root__runs_as_another_with_the_least_capability(
    tmp_path: Path, container: bool, mode: int, umask: int, kept: int
) -> None:
    directory = tmp_path / "checkout"
    directory.mkdir()
    directory.chmod(mode)
    limits = ["setpriv", f"--bounding-set={CONTAINER}", f"--inh-caps={CONTAINER}"]
    done = subprocess.run(
        [*(limits if container else []), sys.executable, "-c", SCRIPT, str(directory / "home")],
        cwd=ROOT,
        preexec_fn=lambda: os.umask(umask),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    uid, effective, bounding = map(int, done.stdout.split())
    assert uid != 0
    assert effective == bounding == kept
    # No permission was opened for it.
    assert directory.stat().st_mode & 0o777 == mode
