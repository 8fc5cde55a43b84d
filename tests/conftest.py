"""What several test files share."""

import errno
import os
from collections.abc import Callable

import pytest


@pytest.fixture
def fill_disk(monkeypatch) -> Callable[[int], None]:
    """`fill_disk(n)`: from now on the n-th flush, and each after it, finds the disk full."""

    def fill(call: int) -> None:
        count, flush = 0, os.fsync

        def full(handle: int) -> None:
            nonlocal count
            count += 1
            if count >= call:
                raise OSError(errno.ENOSPC, "No space left on device")
            flush(handle)

        monkeypatch.setattr(os, "fsync", full)

    return fill
