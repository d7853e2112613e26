"""Memory is short where a limit of the process is near, and nowhere else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.memory import SPARE_MEGABYTES, is_short

LIMITED = """
import os, resource, sys
from bench.memory import is_short

used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + {megabytes} * 2**20,) * 2)
sys.exit(is_short())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory in use from /proc")
@pytest.mark.parametrize(
    ("megabytes", "short"), [(1, True), (SPARE_MEGABYTES // 2, True), (8 * SPARE_MEGABYTES, False)]
)
def test_memory_is_short_where_a_limit_is_near(megabytes: int, short: bool) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED.format(megabytes=megabytes)], check=False)
    assert done.returncode == int(short)


def test_memory_is_not_short_without_a_limit() -> None:
    assert not is_short()
