"""The file that is opened is the one that was allowed, whoever moves links about in between."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest
from phloem.runtime import opening
from phloem.runtime.context import Context, Scope, Services
from phloem.runtime.disk import file_digest
from phloem.runtime.errors import InputError, PermissionNeeded, ServiceError
from phloem.runtime.grants import Grant, Permissions
from phloem.runtime.opening import digest_exactly, open_exactly, write_exactly


@pytest.fixture(params=["by parts", "by comparing"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that may be read, and one beside it with a secret; each way of opening in its turn."""
    if request.param == "by comparing":
        monkeypatch.setattr(opening, "_BY_PARTS", False)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "sub" / "a.txt").write_text("fine")
    (tmp_path / "out" / "a.txt").write_text("secret")
    return tmp_path


def refused(call, *arguments) -> int:
    with pytest.raises(OSError) as caught:
        call(*arguments)
    return caught.value.errno or 0


def test_a_file_is_opened_and_hashed(place: Path) -> None:
    with open_exactly(place / "in/sub/a.txt") as file:
        assert file.read() == b"fine"
    assert digest_exactly(place / "in/sub/a.txt") == file_digest(place / "in/sub/a.txt")
    assert digest_exactly(place / "in/none.txt") == ""
    assert refused(open_exactly, place / "in/none.txt") == errno.ENOENT


def test_a_link_that_stands_there_now_is_refused(place: Path) -> None:
    file, folder = place / "in/sub/a.txt", place / "in/sub"
    file.unlink()
    file.symlink_to(place / "out/a.txt")
    assert refused(open_exactly, file) == errno.ELOOP
    assert digest_exactly(file) == ""
    for mode in ("append", "new"):
        with pytest.raises(OSError):
            write_exactly(file, b"x", mode)
    file.unlink()
    folder.rmdir()
    folder.symlink_to(place / "out")
    assert refused(open_exactly, file) == errno.ELOOP
    for mode in ("replace", "append", "new"):
        with pytest.raises(OSError):
            write_exactly(folder / "b.txt", b"x", mode)
    assert (place / "out/a.txt").read_text() == "secret"
    assert not (place / "out/b.txt").exists()


def test_a_link_is_replaced_and_not_written_through(place: Path) -> None:
    file = place / "in/sub/a.txt"
    file.unlink()
    file.symlink_to(place / "out/a.txt")
    if opening._BY_PARTS:
        write_exactly(file, b"new", "replace")
        assert file.read_bytes() == b"new"
        assert not file.is_symlink()
    assert (place / "out/a.txt").read_text() == "secret"


def test_what_is_no_file_is_not_opened(place: Path) -> None:
    os.mkfifo(place / "in/pipe")
    assert refused(open_exactly, place / "in/pipe") == errno.EINVAL
    assert refused(open_exactly, place / "in/sub") == errno.EINVAL
    assert refused(open_exactly, Path("/dev/null")) == errno.EINVAL
    with pytest.raises(OSError):
        write_exactly(place / "in/pipe", b"x", "append")
    assert refused(open_exactly, place / "in/sub/a.txt/b.txt") == errno.ENOTDIR


def test_writing(place: Path) -> None:
    write_exactly(place / "in/new/deep/b.txt", b"1", "new")
    assert refused(write_exactly, place / "in/new/deep/b.txt", b"2", "new") == errno.EEXIST
    write_exactly(place / "in/new/deep/b.txt", b"2", "append")
    assert (place / "in/new/deep/b.txt").read_bytes() == b"12"
    (place / "in/new/deep/b.txt").chmod(0o640)
    write_exactly(place / "in/new/deep/b.txt", b"3", "replace")
    assert (place / "in/new/deep/b.txt").read_bytes() == b"3"
    assert stat.S_IMODE((place / "in/new/deep/b.txt").stat().st_mode) == 0o640
    assert [one.name for one in (place / "in/new/deep").iterdir()] == ["b.txt"]
    with pytest.raises(OSError):
        write_exactly(place / "in/sub", b"x", "replace")
    assert [one.name for one in (place / "in").iterdir() if one.name.startswith(".")] == []


def test_any_name_that_a_file_may_have_can_be_written(place: Path) -> None:
    name = "\U0001d11e" * 60
    assert len(name.encode()) == 240
    write_exactly(place / "in" / name, b"x", "replace")
    assert (place / "in" / name).read_bytes() == b"x"


def test_what_could_not_be_written_whole_leaves_nothing(place: Path) -> None:
    """A second attempt at a new file would take the half for somebody else's."""
    resource, signal = pytest.importorskip("resource"), pytest.importorskip("signal")
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        for mode in ("new", "replace"):
            assert refused(write_exactly, place / "in/b.txt", b"x" * 5000, mode) == errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert [one.name for one in (place / "in").iterdir()] == ["sub"]


def test_a_folder_that_may_only_be_passed_is_passed(tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/sub/a.txt").write_text("fine")
    (tmp_path / "in").chmod(0o111)
    try:
        with open_exactly(tmp_path / "in/sub/a.txt") as file:
            assert file.read() == b"fine"
    finally:
        (tmp_path / "in").chmod(0o755)


def test_whoever_swaps_links_all_the_time_never_gets_the_secret(tmp_path: Path) -> None:
    """Somebody exchanges a folder for a link out of it, over and over, while a node reads and writes."""
    flows, out = tmp_path / "flows", tmp_path / "out"
    (flows / "real").mkdir(parents=True)
    out.mkdir()
    (flows / "real/a.txt").write_text("fine")
    (out / "a.txt").write_text("secret")
    permissions = Permissions([Grant.parse(f"write={flows}")], folder=flows)
    files = Context(Scope("run", Services({}), permissions), "node").files
    over = threading.Event()

    def swap() -> None:
        (flows / "link").symlink_to(out)
        while not over.is_set():
            for target in ("real", "link"):
                try:
                    (flows / target).rename(flows / "now")
                    (flows / "now").rename(flows / target)
                except OSError:
                    continue

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        read = set()
        for _ in range(1500):
            try:
                read.add(files.read("now/a.txt"))
                files.write("now/b.txt", b"x")
            except (InputError, PermissionNeeded, ServiceError):
                continue
    finally:
        over.set()
        swapper.join()
    assert read <= {b"fine"}
    assert sorted(one.name for one in out.iterdir()) == ["a.txt"]


def test_a_swapped_file_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("fine")
    permissions = Permissions(folder=tmp_path)
    allowed = permissions.read("a.txt")
    (tmp_path / "a.txt").unlink()
    (tmp_path / "a.txt").symlink_to("/etc/passwd")
    monkeypatch.setattr(permissions, "read", lambda path: allowed)
    files = Context(Scope("run", Services({}), permissions), "node").files
    with pytest.raises(InputError, match=r"cannot read a\.txt: a link was put in its way after it was allowed"):
        files.read("a.txt")
