"""Visitors have folders of their own, which nobody else can name, and which do not stay for ever."""

import os
import time

from experiments.page import storage
from experiments.page.limits import Limits
from experiments.page.storage import RECORD, Storage


def made(store: Storage, visitor: str, kind: str, age_hours: float = 0.0):
    folder = store.make(visitor, kind)
    (folder / RECORD).write_text("{}")
    then = time.time() - 3600 * age_hours
    os.utime(folder / RECORD, (then, then))
    return folder


def test_a_visitor_finds_his_own_folders_and_no_others(tmp_path):
    store, mine, other = Storage(tmp_path, 24), storage.new_identifier(), storage.new_identifier()
    folder, foreign = made(store, mine, "draft"), made(store, other, "draft")
    assert store.find(mine, folder.name) == folder
    for name in (foreign.name, f"../{other}/{foreign.name}", "..", "", None, "draft-x"):
        assert store.find(mine, name) is None
    for visitor in ("..", "", f"{mine}/..", mine[:-1]):
        assert store.find(visitor, folder.name) is None and store.all(visitor, "draft") == []


def test_folders_are_listed_by_kind_from_the_last_changed_on(tmp_path):
    store, visitor = Storage(tmp_path, 24), storage.new_identifier()
    old, new, result = (made(store, visitor, *facts) for facts in (("draft", 3), ("draft", 1), ("result", 2)))
    store.make(visitor, "result")  # has no record yet
    assert store.all(visitor, "draft") == [new, old] and store.all(visitor, "result") == [result]


def test_old_folders_are_deleted_unless_they_are_worked_on(tmp_path):
    store, visitor, gone = Storage(tmp_path, 24), storage.new_identifier(), storage.new_identifier()
    old, busy, new = (made(store, visitor, "result", age) for age in (25, 25, 23))
    made(store, gone, "draft", 30)
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / "a-folder-of-others").mkdir()
    assert len(store.delete_old(busy={busy})) == 2
    assert not old.exists() and busy.exists() and new.exists() and not (tmp_path / gone).exists()
    assert (tmp_path / "notes.txt").exists() and (tmp_path / "a-folder-of-others").exists()
    assert store.delete_old(now=time.time() + 2 * 3600) == [busy, new] or not new.exists()
    assert list(tmp_path.glob("*/result-*")) == []


def test_everything_of_a_visitor_is_deleted_and_nothing_else(tmp_path):
    store, mine, other = Storage(tmp_path, 24), storage.new_identifier(), storage.new_identifier()
    made(store, mine, "draft"), made(store, mine, "result")
    kept = made(store, other, "result")
    store.delete_all("..")
    store.delete_all(mine)
    assert not (tmp_path / mine).exists() and kept.exists()


def test_limits_that_are_none_are_told_together():
    assert Limits().problems() == []
    wrong = Limits(megabytes=0, megapixels=101, searches=0, hours=float("nan")).problems()
    assert [line.split()[0] for line in wrong] == ["--megabytes", "--hours", "--megapixels", "--searches"]
