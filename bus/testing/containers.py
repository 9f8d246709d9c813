"""Whether tests may have their services in containers."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from functools import cache


@cache
def docker_answers() -> bool:
    """Whether there is a Docker engine to start containers with, not just its command."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    with suppress(subprocess.TimeoutExpired):
        asked = subprocess.run([docker, "info"], capture_output=True, timeout=10, check=False)  # noqa: S603 - found by which
        return asked.returncode == 0
    return False
