"""Files are put in their places whole and durably, also where a file system cannot do all of that."""

from __future__ import annotations

import errno
import os

import pytest
from phloem.runtime.disk import replace_file, sync_folder


def test_a_folder_that_cannot_be_synced_is_none_that_failed(tmp_path, monkeypatch):
    def fsync(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    number = errno.EINVAL
    sync_folder(tmp_path)
    number = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        sync_folder(tmp_path)


def test_a_file_may_have_the_longest_name_there_is(tmp_path):
    path = tmp_path / ("🌿" * 62 + ".md")
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two" and list(tmp_path.iterdir()) == [path]


def test_who_may_read_a_file_may_read_what_replaces_it(tmp_path):
    path = tmp_path / "file"
    replace_file(path, b"one", private=True)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    replace_file(path, b"two")
    assert path.stat().st_mode & 0o777 == 0o644
