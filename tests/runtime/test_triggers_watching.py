"""What counts as a change of a watched file: however it is saved, whether it is there yet, and whoever wrote it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from phloem.runtime.triggers import watching
from phloem.runtime.triggers.watching import Watch

Change = Callable[[Path], object]


def wait_for(paths: list[Path], change: Callable[[Watch], object], *, most: float = 20.0) -> list[Path]:
    """What a watch of `paths` finds changed by `change`; TimeoutError if it finds nothing for so long."""

    async def whole() -> list[Path]:
        watch = Watch()
        watch.aim(paths)
        before = watch.snapshot()
        waiting = asyncio.ensure_future(watch.change(before))
        try:
            await asyncio.sleep(0.2)
            await asyncio.to_thread(change, watch)
            return await asyncio.wait_for(waiting, most)
        finally:
            await watch.close()

    return asyncio.run(whole())


def save(path: Path, text: str = "new") -> None:
    """As many editors do: written beside, and put in its place."""
    beside = path.with_name("." + path.name + ".swp")
    beside.write_text(text)
    beside.replace(path)


def save_with_backup(path: Path) -> None:
    path.rename(path.with_name(path.name + "~"))
    path.write_text("new")


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("newer"),
        lambda path: path.open("a").close() or path.write_text("old\nmore"),
        save,
        save_with_backup,
        lambda path: path.unlink(),
        lambda path: os.utime(path, (1, 1)),
    ],
    ids=["written", "appended", "replaced", "backed up", "removed", "touched"],
)
def test_a_file_has_changed_however_it_is_saved(tmp_path, change):
    path = tmp_path / "a.txt"
    path.write_text("old")
    assert wait_for([path], lambda _: change(path)) == [path]


def test_a_file_that_is_not_there_yet_is_waited_for_and_so_is_its_folder(tmp_path):
    path = tmp_path / "in" / "deep" / "a.txt"

    def make(_: Watch) -> None:
        path.parent.mkdir(parents=True)
        path.write_text("a")

    assert wait_for([path], make) == [path]


def test_what_is_in_a_folder_counts_but_not_what_is_hidden_or_left_by_editors(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / ".git").mkdir()

    def change(_: Watch) -> None:
        for name in (".hidden", "a.txt~", ".a.txt.swp", ".git/index", "b.tmp"):
            (folder / name).write_text("x")
        (folder / "sub" / "new.txt").write_text("x")

    assert wait_for([folder], change) == [folder / "sub" / "new.txt"]


def test_a_link_is_followed_and_may_be_set_anew(tmp_path):
    target, other, link = tmp_path / "t" / "a.txt", tmp_path / "b.txt", tmp_path / "link.txt"
    target.parent.mkdir()
    target.write_text("a")
    other.write_text("other")
    link.symlink_to(target)
    assert wait_for([link], lambda _: target.write_text("changed")) == [link]

    def turn(_: Watch) -> None:
        link.unlink()
        link.symlink_to(other)

    assert wait_for([link], turn) == [link]


@pytest.mark.slow
def test_what_a_run_wrote_itself_has_not_changed_until_someone_else_changes_it(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")

    def write(watch: Watch) -> None:
        path.write_text("by the run")
        watch.wrote(path)

    with pytest.raises(TimeoutError):
        wait_for([path], write, most=0.6)

    def write_and_edit(watch: Watch) -> None:
        write(watch)
        path.write_text("by a person")

    assert wait_for([path], write_and_edit) == [path]
    link = tmp_path / "link.txt"
    link.symlink_to(path)
    with pytest.raises(TimeoutError):
        wait_for([link], write, most=0.6)


@pytest.mark.slow
def test_what_a_run_is_just_writing_has_not_changed(tmp_path, monkeypatch):
    """It is told that it was written when that is done, which may be after the first notice of it."""
    monkeypatch.setattr(watching, "QUIET", 0.6)
    path = tmp_path / "out.txt"
    path.write_text("old")

    def write(watch: Watch) -> None:
        path.write_text("by the run")
        time.sleep(0.4)
        watch.wrote(path)

    with pytest.raises(TimeoutError):
        wait_for([path], write, most=2.0)


def test_of_a_folder_what_is_the_programs_own_does_not_count(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub" / "journal").mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder)
    with (folder / "out.log").open("w") as log:
        watch = Watch(own=[tmp_path / "link" / "sub" / "journal", folder / "x.recording"], streams=[log.fileno()])
        watch.paths = frozenset({folder, tmp_path / "link"})
        before = watch.snapshot()
        log.write("a")
        log.flush()
        (folder / "sub" / "journal" / "a.db").write_text("a")
        (folder / "x.recording").write_text("a")
        assert watch.changed(before) == []
        (folder / "sub" / "x.recording").write_text("a")
        assert watch.changed(before) == [folder / "sub" / "x.recording", tmp_path / "link" / "sub" / "x.recording"]
    named = Watch(own=[folder / "x.recording"])
    named.paths = frozenset({folder / "x.recording"})
    assert list(named.snapshot()) == [folder / "x.recording"], "what is named counts all the same"


def test_a_burst_of_changes_is_one(tmp_path):
    paths = [tmp_path / name for name in "abc"]

    async def whole() -> list[Path]:
        watch = Watch()
        watch.aim(paths)
        before = watch.snapshot()

        async def burst() -> None:
            for round in range(6):
                paths[round % 3].write_text("x" * round)
                await asyncio.sleep(0.02)

        try:
            bursting = asyncio.ensure_future(burst())
            found = await asyncio.wait_for(watch.change(before), 20)
            assert bursting.done()
            assert watch.changed(watch.snapshot()) == []
            return found
        finally:
            await watch.close()

    assert asyncio.run(whole()) == paths


def test_without_any_notice_it_is_looked_all_the_same(tmp_path, monkeypatch):
    async def deaf(self: Watch, *folders: object) -> None:
        await asyncio.sleep(100)

    monkeypatch.setattr(Watch, "_notice", deaf)
    monkeypatch.setattr(watching, "LOOK_EVERY", 0.05)
    path = tmp_path / "a.txt"
    assert wait_for([path], lambda _: path.write_text("a")) == [path]
