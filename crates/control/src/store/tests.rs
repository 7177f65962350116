//! The store over real files: what it keeps, what it refuses to open, and what it leaves as it was.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use api::admin::PublicationKind;
use types::TrustDomain;

use super::*;
use crate::fixture::{files, request, revision_of};

fn database(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("control.db")
}

fn refused(dir: &tempfile::TempDir) -> StoreError {
    let before = fs::read(database(dir)).ok();
    let error = Store::open(dir.path()).map(drop).unwrap_err();
    assert!(!error.hint().is_empty() && !error.to_string().ends_with('.'), "{error}");
    assert!(fs::read(database(dir)).ok() == before, "it was changed: {error}");
    error
}

#[test]
fn a_new_store_is_private_and_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for file in ["control.db", "control.db-wal", "control.db-shm"] {
        let mode = fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert!(store.bytes() > 0 && store.try_write().is_ok());
    assert_eq!(store.current().unwrap(), None);
    drop(store);
    assert!(!dir.path().join("control.db-wal").exists(), "a clean end leaves one file");
    let held = Store::open(dir.path()).unwrap();
    assert_eq!(
        held.read(|c| c.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))).unwrap(),
        "wal"
    );
    let writer = held.writer.lock().unwrap();
    let full: i32 = writer.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
    let keys: bool = writer.pragma_query_value(None, "foreign_keys", |row| row.get(0)).unwrap();
    assert_eq!((full, keys), (2, true), "synchronous=FULL, and foreign keys");
}

#[test]
fn what_is_not_a_store_of_ours_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(database(&dir), "this is a text and no database".repeat(100)).unwrap();
    fs::set_permissions(database(&dir), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(refused(&dir), StoreError::Foreign(_)));
    fs::remove_file(database(&dir)).unwrap();
    let other = Connection::open(database(&dir)).unwrap();
    other.execute_batch("CREATE TABLE t (a)").unwrap();
    drop(other);
    fs::set_permissions(database(&dir), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(refused(&dir), StoreError::Foreign(_)));
    fs::remove_file(database(&dir)).unwrap();
    fs::create_dir(database(&dir)).unwrap();
    assert!(matches!(refused(&dir), StoreError::NotAFile(_)));
    fs::remove_dir(database(&dir)).unwrap();
    symlink(dir.path().join("elsewhere"), database(&dir)).unwrap();
    assert!(matches!(refused(&dir), StoreError::NotAFile(_)));
    assert!(!dir.path().join("elsewhere").exists());
}

#[test]
fn a_store_that_others_may_change_or_that_is_not_there_to_be_made_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    fs::set_permissions(database(&dir), fs::Permissions::from_mode(0o640)).unwrap();
    let error = refused(&dir);
    assert!(matches!(error, StoreError::TooOpen { mode: 0o640, .. }));
    assert!(error.hint().contains("chmod 600"));
    let error = Store::open(&dir.path().join("nowhere")).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
}

#[test]
fn the_words_of_the_system_become_ours() {
    let path = Path::new("/data/control.db");
    let io = |kind: io::ErrorKind| StoreError::io(path, kind.into());
    assert!(matches!(io(io::ErrorKind::ReadOnlyFilesystem), StoreError::ReadOnly(_)));
    assert!(matches!(io(io::ErrorKind::StorageFull), StoreError::Full(_)));
    assert!(matches!(io(io::ErrorKind::PermissionDenied), StoreError::Open { .. }));
    let sqlite = |code| StoreError::of(path, rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
    assert!(matches!(sqlite(rusqlite::ffi::SQLITE_READONLY), StoreError::ReadOnly(_)));
    assert!(matches!(sqlite(rusqlite::ffi::SQLITE_FULL), StoreError::Full(_)));
    assert!(matches!(sqlite(rusqlite::ffi::SQLITE_BUSY), StoreError::Locked(_)));
    assert!(matches!(sqlite(rusqlite::ffi::SQLITE_CORRUPT), StoreError::Damaged { .. }));
    assert!(matches!(sqlite(rusqlite::ffi::SQLITE_IOERR), StoreError::Failed { .. }));
}

#[test]
fn a_damaged_store_is_refused_wherever_the_damage_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    publish(&store, 1).unwrap();
    drop(store);
    let good = fs::read(database(&dir)).unwrap();
    let mut found = 0;
    for page in 0..good.len() / 4096 {
        let mut bad = good.clone();
        bad[page * 4096 + if page == 0 { 20 } else { 0 }..(page + 1) * 4096].fill(0xa5);
        fs::write(database(&dir), &bad).unwrap();
        match Store::open(dir.path()) {
            Err(StoreError::Damaged { .. } | StoreError::Foreign(_)) => found += 1,
            Err(other) => panic!("page {page}: {other}"),
            Ok(_) => panic!("page {page} was damaged unseen"),
        }
        assert!(fs::read(database(&dir)).unwrap() == bad, "page {page}: it was changed");
    }
    assert!(found > 10, "{found}");
    fs::write(database(&dir), &good[..good.len() / 2]).unwrap();
    assert!(matches!(Store::open(dir.path()).map(drop), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_store_that_another_process_holds_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let other = Connection::open(database(&dir)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = Store::open(dir.path()).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(Store::open(dir.path()).is_ok());
}

const SECOND: &str =
    "ALTER TABLE links ADD COLUMN note TEXT NOT NULL DEFAULT ''; CREATE TABLE more (a INTEGER) STRICT;";

/// The migrations there are, and one more.
fn later(sql: &'static str) -> Vec<&'static str> {
    schema::MIGRATIONS.iter().copied().chain([sql]).collect()
}

#[test]
fn a_store_of_the_first_version_keeps_what_it_knows() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), &schema::MIGRATIONS[..1]).unwrap();
    let id = "a".repeat(64);
    let kept = format!(
        "INSERT INTO revisions VALUES ('{id}');
        INSERT INTO publications (revision, kind, at, operator, why, changes) VALUES ('{id}', 'first', 7, 'local', '', '[]');"
    );
    store.writer.lock().unwrap().execute_batch(&kept).unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    let publications = store.publications(9).unwrap();
    assert_eq!((publications.len(), publications[0].revision.as_str()), (1, id.as_str()));
    assert_eq!((publications[0].approvals.len(), store.proposals().unwrap().len()), (0, 0));
    assert!(dir.path().join("control.db.before-2").exists());
}

#[test]
fn an_older_store_is_copied_and_then_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    publish(&store, 1).unwrap();
    drop(store);
    let known = u32::try_from(schema::MIGRATIONS.len()).unwrap();
    let store = Store::open_with(dir.path(), &later(SECOND)).unwrap();
    let version: u32 = store.read(|c| c.pragma_query_value(None, "user_version", |row| row.get(0))).unwrap();
    assert_eq!(version, known + 1);
    assert_eq!(store.publications(9).unwrap().len(), 1, "what was there is there");
    drop(store);
    // the copy is a whole store of the version before, private, and opens in its place
    let copy = dir.path().join(format!("control.db.before-{version}"));
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let error = refused(&dir);
    assert!(
        matches!(error, StoreError::Newer { found, known: ours, .. } if found == version && ours == known),
        "{error}"
    );
    assert!(error.hint().contains(&format!(".before-{version}")), "{}", error.hint());
    let old = tempfile::tempdir().unwrap();
    fs::copy(&copy, database(&old)).unwrap();
    assert_eq!(Store::open(old.path()).unwrap().publications(9).unwrap().len(), 1);
}

#[test]
fn a_migration_that_fails_leaves_the_store_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    publish(&store, 1).unwrap();
    drop(store);
    let broken = later("CREATE TABLE more (a INTEGER) STRICT; CREATE TABLE revisions (a INTEGER);");
    assert!(Store::open_with(dir.path(), &broken).is_err());
    let store = Store::open(dir.path()).unwrap();
    let more: u32 = store
        .read(|c| c.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'more'", [], |row| row.get(0)))
        .unwrap();
    assert_eq!((more, store.publications(9).unwrap().len()), (0, 1));
    drop(store);
    // the next attempt may replace the copy that this one left
    assert!(Store::open_with(dir.path(), &later(SECOND)).is_ok());
}

#[test]
fn a_store_from_nothing_needs_no_copy_and_a_start_that_was_cut_short_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    // killed after the file was made, and killed within the first transaction
    fs::write(database(&dir), "").unwrap();
    fs::set_permissions(database(&dir), fs::Permissions::from_mode(0o600)).unwrap();
    let cut = Connection::open(database(&dir)).unwrap();
    cut.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(cut);
    assert!(fs::metadata(database(&dir)).unwrap().len() > 0);
    Store::open(dir.path()).unwrap();
    assert!(
        fs::read_dir(dir.path()).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().contains("before"))
    );
}

fn publish(store: &Store, at: u64) -> Result<api::admin::Publication, NotDone<&'static str>> {
    let sources = request(&files()).files;
    let new = NewPublication {
        revision: revision_of(&files()).id(),
        sources: Some(&sources),
        kind: PublicationKind::First,
        at: Timestamp::from_seconds(at),
        operator: "local",
        why: "",
        changes: Vec::new(),
        approved: None,
    };
    store.publish(&new, |_| Ok(()))
}

#[test]
fn what_is_not_recorded_is_not_kept_and_what_is_not_kept_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let kinds =
        |store: &Store| store.read(|c| c.query_row("SELECT count(*) FROM kinds", [], |r| r.get::<_, u32>(0))).unwrap();
    let insert = "INSERT INTO kinds (caller, service, method, template, answer, check_name, reason)
        VALUES ('', '', '', '', 'deny', '', '')";
    let not = store.act(|t| t.execute(insert, []), |_| Err("full"));
    assert!(matches!(not, Err(NotDone::Record("full"))) && kinds(&store) == 0);
    // a foreign key that is looked at only when the transaction is kept
    let broken = |t: &Transaction<'_>| {
        t.execute(insert, [])?;
        t.execute_batch("PRAGMA defer_foreign_keys = ON; INSERT INTO counts VALUES (1, 999, 1)")
    };
    let mut recorded = 0;
    let not = store.act(broken, |()| {
        recorded += 1;
        Ok::<(), &str>(())
    });
    assert!(matches!(not, Err(NotDone::NotKept(_))) && recorded == 1 && kinds(&store) == 0);
    store.act(|t| t.execute(insert, []), |_| Ok::<(), &str>(())).unwrap();
    assert_eq!(kinds(&store), 1);
}

#[test]
fn a_store_without_room_says_so_and_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let pages: u32 = held(&store.writer).pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    held(&store.writer).pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    let mut sources = request(&files()).files;
    sources.insert("big".to_owned(), "x".repeat(1_000_000));
    let new = NewPublication {
        revision: revision_of(&files()).id(),
        sources: Some(&sources),
        kind: PublicationKind::First,
        at: Timestamp::default(),
        operator: "local",
        why: "",
        changes: Vec::new(),
        approved: None,
    };
    let not = store.publish(&new, |_| -> Result<(), ()> { panic!("it must not be recorded") });
    assert!(matches!(not, Err(NotDone::Store(StoreError::Full(_)))));
    assert_eq!(store.current().unwrap(), None);
}

#[test]
fn a_kept_revision_comes_back_and_a_changed_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let id = revision_of(&files()).id();
    assert!(matches!(store.load(id), Err(StoreError::Gone(_))));
    publish(&store, 1).unwrap();
    publish(&store, 2).unwrap();
    assert_eq!(store.load(id).unwrap().id(), id);
    assert_eq!(store.revisions_named(&id.short()).unwrap(), [id]);
    assert!(store.file(id, "admin.cedar").unwrap().contains("local-impersonates"));
    assert_eq!(store.file(id, "nothing"), None);
    let current = store.current().unwrap().unwrap();
    assert_eq!((current.number, current.at), (2, Timestamp::from_seconds(2)));
    let since = |at: u64| store.current_since(id, Timestamp::from_seconds(at)).unwrap();
    assert_eq!(
        (since(0), since(1), since(9)),
        (None, Some(Timestamp::from_seconds(1)), Some(Timestamp::from_seconds(2)))
    );
    for (edit, what) in [("text || ' '", "a comment more"), ("'nonsense'", "no revision at all")] {
        let sql = format!("UPDATE texts SET text = {edit} WHERE text LIKE '%local-impersonates%' OR text = 'nonsense'");
        store.write(|t| t.execute(&sql, [])).unwrap();
        assert!(matches!(store.load(id), Err(StoreError::Changed(_))), "{what}");
    }
}

#[test]
fn the_epoch_cannot_go_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.write(|t| t.execute("UPDATE signals SET epoch = 5", [])).unwrap();
    assert!(store.write(|t| t.execute("UPDATE signals SET epoch = 4", [])).is_err());
    let organisation = TrustDomain::parse("example.internal").unwrap();
    assert_eq!(store.signals(&organisation).unwrap().epoch(), 5);
    let bad = "INSERT INTO revocations VALUES ('nonsense', '', '', 0, NULL, 1, '')";
    store.write(|t| t.execute(bad, [])).unwrap();
    assert!(store.signals(&organisation).is_err(), "what cannot be read must not be left out");
}
