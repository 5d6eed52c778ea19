"""How a hook is run, where no program is needed. tests/oci/test_hooks.py runs real ones."""

from __future__ import annotations

import errno
import os
import signal

import pytest

from pysentry.oci.errors import HookError
from pysentry.oci.hooks import PRESTART, run_hooks


def test_a_hook_that_cannot_be_forked_fails_and_leaves_no_signal_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", fork)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with pytest.raises(HookError, match="fork/exec /bin/true: resource temporarily unavailable"):
        run_hooks(PRESTART, [{"path": "/bin/true"}], "{}", "/")
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
