"""
The store's file: one dialler at a time, copies that can be restored, and for each failure
a sentence with the remedy.
"""

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import pytest_twisted
import sqlalchemy as sa
from click.testing import CliRunner, Result
from twisted.internet import reactor as _reactor
from twisted.logger import capturedLogs

from autodial.cli.main import main
from autodial.errors import StoreError
from autodial.model.ids import OperatorId
from autodial.store import (
    backup,
    connections,
    dispositions,
    in_force,
    outbox,
    pauses,
    releases,
    restore,
)
from autodial.store.database import read, write
from autodial.store.file_store import FileStore
from autodial.store.ownership import only_one
from autodial.store.releases import migrate
from autodial.store.tasks import open_count
from autodial.store.trouble import store_error
from tests.integration.conftest import NOON
from tests.integration.store.test_ledger import bring, portal_task

OLDER = "0004"
reactor: Any = _reactor


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "autodial.sqlite"


@pytest.fixture
def store(path: Path) -> Path:
    """A store with one task."""
    migrate(path)
    engine = connections.open_engine(path)

    def run(function: Callable[..., object], *args: object, **kwargs: object) -> object:
        with engine.begin() as connection:
            return function(connection, *args, **kwargs)

    bring(run, portal_task(8017))
    engine.dispose()
    return path


def bytes_of(path: Path) -> bytes:
    """The content of the store: its file, and its -wal file if that is not empty."""
    log = path.with_name(f"{path.name}-wal")
    return path.read_bytes() + (log.read_bytes() if log.exists() else b"")


def set_release(path: Path, release: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE alembic_version SET version_num = ?", (release,))
        db.commit()


# One dialler at a time.


def test_two_processes_on_one_store_are_one_too_many(store: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys; from pathlib import Path; from autodial.store.ownership import only_one\n"
            f"with only_one(Path({str(store)!r})): print('held', flush=True); sys.stdin.read()",
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert b"held\n" == holder.stdout.readline()
        with pytest.raises(StoreError, match=f"process {holder.pid}: .* would call clients twice"):
            FileStore(store, reactor).start()
        shutil.copy(store, store.with_name("copy"))
        with pytest.raises(StoreError, match="another process holds it"):
            restore.restore(store, store.with_name("copy"))
    finally:
        holder.communicate()
    with only_one(store):
        pass  # the end of the process released the store


def test_a_command_works_beside_the_dialler(store: Path) -> None:
    with only_one(store):
        assert 1 == read(store, open_count)


@pytest_twisted.ensureDeferred
async def test_a_stopped_store_is_free_again(path: Path) -> None:
    for _ in range(2):
        running = FileStore(path, reactor)
        running.start()
        assert 0 == await running.run(open_count)
        running.stop()


def test_a_start_that_may_succeed_in_a_while_is_tried_again(
    invoke: Callable[..., Result], store: Path
) -> None:
    """The exit code tells systemd: a full disk, or a restore under way, ends without help."""
    arguments = [sys.executable, "-m", "autodial", "--config", f"{store.parent}/autodial.toml"]
    with only_one(store):
        run = subprocess.run(
            [*arguments, "run", "--as-root"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert (75, True) == (run.returncode, "Stop that one first" in run.stderr)


def test_on_a_full_disk_the_lock_is_held_all_the_same(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the holder's name cannot be written. The error of the start is the store's."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with (
        only_one(store),
        pytest.raises(StoreError, match="another process holds it"),
        only_one(store),
    ):
        pass


# Copies.


def test_a_copy_is_made_while_the_dialler_writes_and_is_its_owner_s(
    store: Path, tmp_path: Path
) -> None:
    engine = connections.open_engine(store)
    with engine.begin() as connection:  # a transaction that is not in the copy
        connection.execute(sa.text("DELETE FROM phones"))
        backup.backup(store, tmp_path / "copy")
    engine.dispose()
    migrate(store)

    assert 0o600 == (tmp_path / "copy").stat().st_mode & 0o777
    with closing(sqlite3.connect(tmp_path / "copy")) as db:
        assert [("ok",)] == db.execute("PRAGMA integrity_check").fetchall()
        assert [(1,)] == db.execute("SELECT count(*) FROM phones").fetchall()
    assert [] == list(tmp_path.glob(".copy*")), "no half-made copy is left"


def test_a_copy_comes_to_its_end_however_busy_the_dialler_is(store: Path, tmp_path: Path) -> None:
    """A copy in steps, without a lock at its end, would start again after each write."""
    with closing(sqlite3.connect(store)) as db:
        db.execute("CREATE TABLE big AS SELECT randomblob(900) AS x FROM events")
        for _ in range(16):
            db.execute("INSERT INTO big SELECT randomblob(900) FROM big")
        db.commit()
    stop = Event()

    def write() -> None:
        with closing(sqlite3.connect(store, timeout=20, isolation_level=None)) as busy:
            while not stop.is_set():
                busy.execute("UPDATE tasks SET title = title || '.'")

    writer = Thread(target=write)
    writer.start()
    copying = Thread(target=backup.backup, args=(store, tmp_path / "copy"), daemon=True)
    copying.start()
    copying.join(30)
    stop.set()
    writer.join()

    assert not copying.is_alive()
    with closing(sqlite3.connect(tmp_path / "copy")) as db:
        assert [("ok",)] == db.execute("PRAGMA integrity_check").fetchall()


def test_half_copies_of_killed_processes_go_at_the_next_start(path: Path) -> None:
    draft = path.with_name(f".{path.name}.x1y2z3")
    draft.write_text("clients' names")
    running = FileStore(path, reactor)
    running.start()
    running.stop()

    assert not draft.exists()


def test_a_copy_is_not_put_where_the_dialler_could_not_read_it(store: Path, tmp_path: Path) -> None:
    """A directory made by root would belong to root."""
    backup.backup(store, tmp_path / "copy")
    with pytest.raises(StoreError, match="is not there: make it"):
        restore.restore(tmp_path / "new/autodial.sqlite", tmp_path / "copy")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_what_root_puts_back_is_the_dialler_s(store: Path, tmp_path: Path) -> None:
    """The store, its lock and the former store belong to the dialler's user."""
    backup.backup(store, tmp_path / "copy")
    place = tmp_path / "var"
    place.mkdir(mode=0o700)
    for path in (place, Path(shutil.copy(store, place))):
        os.chown(path, 4242, 4242)
    for directory in (tmp_path, *tmp_path.parents):
        directory.chmod(directory.stat().st_mode | 0o001)
    restore.restore(place / store.name, tmp_path / "copy")

    assert {4242} == {path.stat().st_uid for path in place.iterdir()}
    assert {0o600} == {path.stat().st_mode & 0o777 for path in place.iterdir()}
    assert 3 == len(list(place.iterdir()))


def test_a_copy_put_back_after_a_crash_is_the_store(store: Path, tmp_path: Path) -> None:
    """
    After a plain copy of the file, SQLite would replay the old -wal into it: the restore is undone,
    or the store is malformed.
    """
    backup.backup(store, tmp_path / "copy")
    # After a crash some changes are in the -wal file only.
    crash = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1])\n"
        "db.execute('PRAGMA wal_autocheckpoint=0')\n"
        "db.execute('DELETE FROM phones'); db.execute('DELETE FROM tasks'); db.commit()\n"
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", crash, str(store)], check=False)
    assert store.with_name("autodial.sqlite-wal").stat().st_size > 0
    before = restore.restore(store, tmp_path / "copy")

    assert 1 == read(store, open_count)
    assert before is not None
    assert before.name.startswith("autodial.sqlite.before-restore-")
    with closing(sqlite3.connect(before)) as db:
        assert [(0,)] == db.execute("SELECT count(*) FROM tasks").fetchall(), "kept, log and all"
    assert 0o600 == store.stat().st_mode & 0o777


@pytest.mark.parametrize("wrong", ["text", "other database", "cut off", "newer", "missing"])
def test_what_is_no_whole_store_is_not_put_back(store: Path, tmp_path: Path, wrong: str) -> None:
    copy = tmp_path / "copy"
    backup.backup(store, copy)
    match wrong:
        case "text":
            copy.write_text("this is not a database, and long enough to look like one" * 99)
        case "other database":
            copy.unlink()
            with closing(sqlite3.connect(copy)) as db:
                db.execute("CREATE TABLE x (y)")
        case "cut off":
            os.truncate(copy, copy.stat().st_size // 2)
        case "newer":
            set_release(copy, "9999")
        case "missing":
            copy.unlink()
    before = bytes_of(store)

    with pytest.raises(StoreError):
        restore.restore(store, copy)
    assert before == bytes_of(store)


def test_an_older_copy_is_put_back_and_upgraded_at_the_start(tmp_path: Path, path: Path) -> None:
    old = tmp_path / "old"
    migrate(old, OLDER)
    restore.restore(path, old)
    with pytest.raises(StoreError, match="of an older program"):
        read(path, open_count)
    migrate(path)

    assert 0 == read(path, open_count)


def test_a_copy_does_not_replace_a_file(store: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("precious")

    with pytest.raises(StoreError, match="exists: name a new file"):
        backup.backup(store, tmp_path / "copy")
    assert "precious" == (tmp_path / "copy").read_text()


@pytest.mark.parametrize("release", ["0001", "0002", "0003", OLDER])
def test_before_an_upgrade_a_copy_is_made(path: Path, release: str) -> None:
    """From each schema so far, an upgrade can be undone."""
    migrate(path, release)
    migrate(path)
    copy = path.with_name(f"autodial.sqlite.before-{release}")

    assert 0o600 == copy.stat().st_mode & 0o777
    with closing(sqlite3.connect(copy)) as db:
        assert [(release,)] == db.execute("SELECT version_num FROM alembic_version").fetchall()
    assert 0 == read(path, open_count)
    migrate(path)
    assert [copy] == list(path.parent.glob("*.before-*")), "and none where nothing is upgraded"


# A store of another program.


def test_a_newer_store_is_a_sentence_and_nothing_is_written_to_it(store: Path) -> None:
    set_release(store, "9999")
    before = bytes_of(store)
    attempts: list[Callable[[], object]] = [
        lambda: migrate(store),
        lambda: read(store, open_count),
        lambda: write(store, lambda db: pauses.resume(db, pauses.EVERYBODY)),
        lambda: FileStore(store, reactor).start(),
    ]
    for attempt in attempts:
        with pytest.raises(StoreError, match="written by a newer program") as refused:
            attempt()
        assert "autodial restore" in str(refused.value)

    assert before == bytes_of(store)


COMMANDS = (
    ["tasks"], ["tasks", "--all"], ["why", "8017"], ["why", "--operator", "101"], ["status"],
    ["pause"], ["resume"], ["do-not-call"], ["do-not-call", "--remove", "+442079460000"],
    ["call-now", "8017"],
    ["show", "8017"], ["operators"], ["presence"], ["outbox"], ["outbox", "--all-again"],
    ["simulate", "--measured", "--date", "2026-11-23"], ["run", "--as-root"],
)  # fmt: skip


@pytest.fixture
def invoke(tmp_path: Path, store: Path) -> Callable[..., Result]:
    configuration = tmp_path / "autodial.toml"
    (tmp_path / "outgoing").mkdir()
    configuration.write_text(
        f"""
[portal]
webhook = "http://127.0.0.1/rest/1/simulated0secret/"
[tasks]
tag = "autodial"
[staff]
departments = [5]
[asterisk]
spool = "{tmp_path}/outgoing"
trunks = [{{name = "carrier1", lines = 9}}]
[fastagi]
secret = "{"0" * 64}"
[store]
path = "{store}"
"""
    )
    configuration.chmod(0o600)

    def tell(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["--config", str(configuration), *arguments])

    return tell


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_tells_a_newer_store_and_leaves_it_alone(
    invoke: Callable[..., Result], store: Path, command: list[str]
) -> None:
    set_release(store, "9999")
    before = bytes_of(store)
    if command[0] == "run":  # which runs a reactor of its own
        arguments = [sys.executable, "-m", "autodial", "--config", f"{store.parent}/autodial.toml"]
        run = subprocess.run(
            [*arguments, *command], capture_output=True, text=True, timeout=60, check=False
        )
        output, code = run.stderr, run.returncode
        assert 78 == code
    else:
        result = invoke(*command)
        output, code = result.output, result.exit_code
        assert 1 == code

    assert "written by a newer program" in output
    assert "Traceback" not in output
    assert before == bytes_of(store)


def test_backup_and_restore_by_command(
    invoke: Callable[..., Result], store: Path, tmp_path: Path
) -> None:
    result = invoke("backup", str(tmp_path / "copy"))
    assert (0, 0o600) == (result.exit_code, (tmp_path / "copy").stat().st_mode & 0o777)
    write(store, lambda db: pauses.pause(db, pauses.EVERYBODY, NOON))
    back = invoke("restore", str(tmp_path / "copy"))

    assert 0 == back.exit_code
    assert "before-restore" in back.output
    assert frozenset() == read(store, lambda db: in_force.paused(db, NOON))
    again = invoke("backup", str(tmp_path / "copy"))
    assert (1, True) == (again.exit_code, "name a new file" in again.output)
    with only_one(store):
        assert "Stop that one first" in invoke("restore", str(tmp_path / "copy")).output


# Failures of the file.


def full(path: Path) -> None:
    """No further page, as on a full disk."""
    engine = connections.open_engine(path)

    @sa.event.listens_for(engine, "connect")
    def _limit(connection: object, _: object) -> None:
        with closing(connection.cursor()) as cursor:  # type: ignore[attr-defined]
            (pages,) = cursor.execute("PRAGMA page_count").fetchone()
            cursor.execute(f"PRAGMA max_page_count = {pages}")

    with engine.begin() as db:
        for n in range(10_000):
            db.execute(sa.text("INSERT INTO flags (name, at) VALUES (:n, :n)"), {"n": f"{n:030d}"})


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    read(path, open_count)


def held(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("BEGIN EXCLUSIVE")
        write(path, lambda connection: pauses.resume(connection, pauses.EVERYBODY))


def not_a_database(path: Path) -> None:
    path.write_text("this is not a database, and long enough to look like one" * 99)
    read(path, open_count)


def of_another_user(path: Path) -> None:
    """Root may do everything, so the call runs as another user."""
    for directory in (path.parent, *path.parent.parents):
        directory.chmod(directory.stat().st_mode | 0o005)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from autodial.store.database import read\n"
        "from autodial.store.tasks import open_count\n"
        "os.setgid(65534); os.setuid(65534); read(Path(sys.argv[1]), open_count)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    if "StoreError" in run.stderr:
        raise StoreError(run.stderr)


@pytest.mark.parametrize(
    ("trouble", "advice"),
    [
        (full, "the disk is full: make room"),
        (damaged, "the file is damaged: .*autodial restore"),
        (held, "another process holds it"),
        (not_a_database, "the file is no database"),
        (of_another_user, "run this as the dialler's user"),
    ],
)
def test_each_trouble_has_its_own_advice(
    store: Path, monkeypatch: pytest.MonkeyPatch, trouble: Callable[[Path], None], advice: str
) -> None:
    monkeypatch.setattr(connections, "BUSY", 0.1)
    monkeypatch.setattr(releases, "BUSY", 0.1)

    with pytest.raises(StoreError, match=f"(?s){advice}"):
        try:
            trouble(store)
        except sa.exc.DatabaseError as error:
            raise store_error(store, error) from error


@pytest_twisted.ensureDeferred
async def test_a_full_disk_while_running_is_the_store_s_own_error(path: Path) -> None:
    """When there is room again, the store works."""
    running = FileStore(path, reactor)
    running.start()

    def limit(db: sa.Connection, more: int) -> None:
        pages = db.exec_driver_sql("PRAGMA page_count").scalar_one()
        db.exec_driver_sql(f"PRAGMA max_page_count = {pages + more}")

    def fill(db: sa.Connection) -> None:
        for n in range(2_000):
            db.execute(sa.text("INSERT INTO flags (name, at) VALUES (:n, :n)"), {"n": f"{n:030d}"})

    await running.run(limit, 0)
    with pytest.raises(StoreError, match="the disk is full"):
        await running.run(fill)
    await running.run(limit, 10_000)
    await running.run(fill)
    running.stop()


@pytest_twisted.ensureDeferred
async def test_a_store_that_is_moved_away_is_noticed(path: Path, tmp_path: Path) -> None:
    running = FileStore(path, reactor)
    running.start()
    assert running.in_place()
    path.rename(tmp_path / "elsewhere")
    assert not running.in_place()
    shutil.copy(tmp_path / "elsewhere", path)
    assert not running.in_place(), "a copy is another file"
    path.unlink()
    (tmp_path / "elsewhere").rename(path)
    assert running.in_place()
    running.stop()


@pytest_twisted.ensureDeferred
async def test_what_a_deleted_store_held_is_saved(path: Path) -> None:
    """When the process ends, its last copy is gone."""
    running = FileStore(path, reactor)
    running.start()
    await running.run(pauses.pause, pauses.EVERYBODY, NOON, "")
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    with capturedLogs() as logs:
        await running.rescue()
    assert 1 == sum("not the file that was opened" in event["log_format"] for event in logs)
    rescued = path.with_name(f"{path.name}.rescued")
    await running.run(pauses.pause, OperatorId(501), NOON, "")
    running.stop()
    restore.restore(path, rescued)

    assert 0o600 == rescued.stat().st_mode & 0o777
    assert {pauses.EVERYBODY, OperatorId(501)} == read(path, lambda db: in_force.paused(db, NOON))


def test_a_log_without_its_store_is_not_begun_anew(store: Path, tmp_path: Path) -> None:
    """
    The store was moved away while a dialler ran: the writes since then are only in the -wal file.
    """
    log = store.with_name(f"{store.name}-wal")
    store.rename(tmp_path / "moved")
    log.write_bytes(b"x" * 4096)

    with pytest.raises(StoreError, match="is gone, and its log"):
        migrate(store)
    assert (False, 4096) == (store.exists(), log.stat().st_size)


def test_after_a_wrong_copy_the_store_is_still_there(store: Path, tmp_path: Path) -> None:
    backup.backup(store, tmp_path / "copy")
    write(store, lambda db: pauses.pause(db, pauses.EVERYBODY, NOON))
    first = restore.restore(store, tmp_path / "copy")
    restore.restore(store, tmp_path / "copy")
    assert first is not None
    restore.restore(store, first)

    assert {pauses.EVERYBODY} == read(store, lambda db: in_force.paused(db, NOON))
    with pytest.raises(StoreError, match="the store itself"):
        restore.restore(store, store)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_a_new_store_is_its_directory_s_owner_s(tmp_path: Path) -> None:
    """A store made by root could not be opened by the dialler."""
    place = tmp_path / "var"
    place.mkdir()
    os.chown(place, 4242, 4242)
    migrate(place / "autodial.sqlite")

    assert 4242 == (place / "autodial.sqlite").stat().st_uid


def test_messages_to_the_portal_survive_the_change_of_terms(path: Path) -> None:
    """The state of each message is translated, and no two messages collide."""
    migrate(path, "0008")
    rows = [
        ("register", 501, "done", "{}"), ("register", 502, "owed", "{}"),
        ("comment", 0, "done", "{}"), ("comment", 11, "owed", '{"word": "done", "user": 501}'),
        ("comment", -8018, "parked", '{"talked_for": 8017}'), ("task", 1_000_000, "sending", "{}"),
        ("status", 0, "void", "{}"),
    ]  # fmt: skip
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "INSERT INTO tasks (id, title, responsible, open, halted, series, reason, needs_word)"
            " VALUES (8017, 'x', 501, 1, 'talked', 3, '', 1)"
        )
        db.execute(
            "INSERT INTO attempts (id, task, n, series, number, tones, client, entity_type, word,"
            " entity_id, operator, extension, held, trunks, state, spooled_at, ended_at, outcome,"
            " expires_at) VALUES ('t8017-1', 8017, 1, 3, '+442079460000', '12', 'x', 'CONTACT',"
            " 'never again', 1, 501, '101', 0, 'a', 'ended', :at, :at, 'talked', :at)",
            {"at": "2026-11-23 12:00:00.000000"},
        )
        db.execute(
            "INSERT INTO never (number, entity_type, entity_id, at, operator, attempt)"
            " VALUES ('+442079460000', 'CONTACT', 1, '2026-11-23 12:00:00.000000', 501, 't8017-1')"
        )
        for kind, target, state, payload in rows:
            task = -target if target < 0 else 8017
            db.execute(
                "INSERT INTO outbox (attempt, task, kind, target, payload, state, created, error)"
                " VALUES ('t8017-1', ?, ?, ?, ?, ?, '2026-11-23 12:00:00.000000', '')",
                (task, kind, target, payload, state),
            )
    migrate(path)

    with closing(sqlite3.connect(path)) as db:
        messages = db.execute(
            "SELECT kind, task, operator, revision, state FROM outbox ORDER BY id"
        ).fetchall()
        assert [
            ("register", 8017, 501, 0, "delivered"), ("register", 8017, 502, 0, "pending"),
            ("comment", 8017, 0, 0, "delivered"), ("comment", 8017, 0, 11, "pending"),
            ("comment", 8018, 0, 0, "dead"), ("task", 8017, 0, 1_000_000, "sending"),
            ("status", 8017, 0, 0, "void"),
        ] == messages  # fmt: skip
        payloads = [json.loads(row[0]) for row in db.execute("SELECT payload FROM outbox")]
        assert {"disposition": "done", "user": 501} == payloads[3]
        whole = "SELECT generation, dtmf, reserved, disposition FROM attempts"
        assert [(3, "12", 0, "never again")] == db.execute(whole).fetchall()
        whole = "SELECT closed_reason, generation, needs_confirmation FROM tasks"
        assert [("talked", 3, 1)] == db.execute(whole).fetchall()
    lines = read(path, dispositions.do_not_call_lines)
    assert ["+442079460000"] == [line.number for line in lines]
    message = write(path, partial(outbox.next_message, now=NOON + timedelta(days=1)))
    assert message is not None and message.operator == 502
