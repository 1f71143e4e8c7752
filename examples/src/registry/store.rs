//! Packages in a SQLite file, found by their words.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, params};

use crate::package::Package;
use crate::question::Question;

/// Marks a file as ours (`PRAGMA application_id`): "Drgn".
const APPLICATION_ID: i32 = 0x4472_676e;
/// The layout of its tables (`PRAGMA user_version`).
const LAYOUT: i32 = 1;
/// How long a program that holds the file is waited for when we start.
const PATIENCE_AT_START: Duration = Duration::from_secs(2);
/// The same while others wait for an answer.
const PATIENCE: Duration = Duration::from_millis(100);
/// Packages of a search that are ranked; there may be more that contain its words.
const CANDIDATES_MAX: usize = 1_000;

/// FTS5 (<https://sqlite.org/fts5.html>) keeps the words; its `rowid` is the package's.
const TABLES: &str = "
    CREATE TABLE package (rowid INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
    CREATE VIRTUAL TABLE word USING fts5(name, keywords, categories, description, prefix = '2 3');
";

/// A database of packages.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
    file: PathBuf,
}

/// What is wrong with a database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else has it.
    #[error(
        "the package database `{}` is locked by another program: end that, or name another file with --store",
        file.display()
    )]
    Locked {
        /// Which.
        file: PathBuf,
    },
    /// It was one once, or never.
    #[error(
        "the package database `{}` is damaged ({reason}): put a copy in its place, or remove it and fill it anew",
        file.display()
    )]
    Damaged {
        /// Which.
        file: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A database of another program, which is left as it is.
    #[error("`{}` is a database, but not one of packages: name another file with --store", file.display())]
    Foreign {
        /// Which.
        file: PathBuf,
    },
    /// One of ours, from a later version.
    #[error("the package database `{}` has layout {layout}, and this program knows {LAYOUT}", file.display())]
    Layout {
        /// Which.
        file: PathBuf,
        /// Its layout.
        layout: i32,
    },
    /// No file can be made or read or written there.
    #[error("the package database `{}` cannot be used: {reason}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system says.
        reason: String,
    },
}

impl Store {
    /// Opens a file, or makes it. All of it is checked: a damaged one is noticed now.
    ///
    /// # Errors
    ///
    /// When it is locked, damaged, another program's, or cannot be made.
    pub fn open(file: &Path) -> Result<Self, StoreError> {
        // No URI: a file may be called as it likes.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags).map_err(|error| told(file, &error))?;
        Self::prepare(connection, file)
    }

    /// A database without a file, gone when this is dropped.
    ///
    /// # Errors
    ///
    /// When there is no memory.
    pub fn in_memory() -> Result<Self, StoreError> {
        let file = Path::new(":memory:");
        let connection = Connection::open_in_memory().map_err(|error| told(file, &error))?;
        Self::prepare(connection, file)
    }

    fn prepare(mut connection: Connection, file: &Path) -> Result<Self, StoreError> {
        let error = |error| told(file, &error);
        connection.busy_timeout(PATIENCE_AT_START).map_err(error)?;
        // Strangers choose what is asked, and a damaged file what is answered.
        connection.pragma_update(None, "trusted_schema", false).map_err(error)?;
        let transaction = connection.transaction().map_err(error)?;
        adopt(&transaction, file)?;
        transaction.commit().map_err(error)?;
        connection.busy_timeout(PATIENCE).map_err(error)?;
        Ok(Self { connection: Mutex::new(connection), file: file.to_path_buf() })
    }

    /// Puts packages in, each in the place of one with its id.
    ///
    /// # Errors
    ///
    /// When the file is locked, damaged, full or read-only; then nothing has changed.
    pub fn put<'a>(&self, packages: impl IntoIterator<Item = &'a Package>) -> Result<(), StoreError> {
        put_all(&mut self.connection(), packages).map_err(|error| told(&self.file, &error))
    }

    /// How many packages there are.
    ///
    /// # Errors
    ///
    /// When the file is locked or damaged.
    pub fn len(&self) -> Result<usize, StoreError> {
        let count =
            self.connection().query_row("SELECT count(*) FROM package", [], |row| row.get::<_, i64>(0));
        count
            .map(|count| usize::try_from(count).unwrap_or_default())
            .map_err(|error| told(&self.file, &error))
    }

    /// Whether there is none.
    ///
    /// # Errors
    ///
    /// When the file is locked or damaged.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.len()? == 0)
    }

    /// The best answers to a question, the best first. Waits for the file, but not for long.
    ///
    /// # Errors
    ///
    /// When the file is locked or damaged.
    pub fn search(&self, question: &Question, limit: usize) -> Result<Vec<Package>, StoreError> {
        let candidates =
            candidates(&self.connection(), &words(question)).map_err(|error| told(&self.file, &error))?;
        let read = |body: Vec<u8>| {
            Package::decode(&body)
                .map_err(|error| StoreError::Damaged { file: self.file.clone(), reason: error.to_string() })
        };
        let mut found = Vec::new();
        for body in candidates {
            let package = read(body)?;
            if let Some(rank) = question.rank(&package) {
                found.push((rank, package.id(), package));
            }
        }
        found.sort_by(|(a, a_id, _), (b, b_id, _)| (a, a_id).cmp(&(b, b_id)));
        Ok(found.into_iter().take(limit).map(|(.., package)| package).collect())
    }

    /// A search that panicked has changed nothing.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the tables in a new file, and checks those of an old one.
fn adopt(transaction: &Transaction<'_>, file: &Path) -> Result<(), StoreError> {
    let error = |error| told(file, &error);
    let damaged = |reason| StoreError::Damaged { file: file.to_path_buf(), reason };
    let pragma =
        |name: &str| transaction.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(error);
    let is_new = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
        .map_err(error)?
        == 0;
    let (application, layout) = (pragma("application_id")?, pragma("user_version")?);
    if is_new && application == 0 && layout == 0 {
        transaction.execute_batch(TABLES).map_err(error)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(error)?;
        return transaction.pragma_update(None, "user_version", LAYOUT).map_err(error);
    }
    if application != APPLICATION_ID {
        return Err(StoreError::Foreign { file: file.to_path_buf() });
    }
    if layout != LAYOUT {
        return Err(StoreError::Layout { file: file.to_path_buf(), layout });
    }
    // FTS5's own check is a part of it.
    let found: String =
        transaction.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(error)?;
    if found != "ok" {
        return Err(damaged(found));
    }
    // That each package has its words.
    let alone = "SELECT (SELECT count(*) FROM package) - (SELECT count(*) FROM word)";
    match transaction.query_row(alone, [], |row| row.get::<_, i64>(0)).map_err(error)? {
        0 => Ok(()),
        _ => Err(damaged("packages and words do not belong together".to_string())),
    }
}

fn put_all<'a>(
    connection: &mut Connection,
    packages: impl IntoIterator<Item = &'a Package>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    packages.into_iter().try_for_each(|package| put(&transaction, package))?;
    transaction.commit()
}

fn put(transaction: &Transaction<'_>, package: &Package) -> rusqlite::Result<()> {
    let id = package.id();
    let known: Option<i64> = transaction
        .prepare_cached("SELECT rowid FROM package WHERE id = ?1")?
        .query_row([&id], |row| row.get(0))
        .optional()?;
    if let Some(row) = known {
        transaction.prepare_cached("DELETE FROM word WHERE rowid = ?1")?.execute([row])?;
        transaction.prepare_cached("DELETE FROM package WHERE rowid = ?1")?.execute([row])?;
    }
    let body = package.encode();
    transaction
        .prepare_cached("INSERT INTO package (id, body) VALUES (?1, ?2)")?
        .execute(params![id, body.as_ref()])?;
    let row = transaction.last_insert_rowid();
    let Package { name, keywords, categories, description, .. } = package;
    transaction
        .prepare_cached(
            "INSERT INTO word (rowid, name, keywords, categories, description) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![row, name, keywords.join("\n"), categories.join("\n"), description])?;
    Ok(())
}

/// The bodies of packages that contain these words, more or less the best first.
fn candidates(connection: &Connection, words: &str) -> rusqlite::Result<Vec<Vec<u8>>> {
    let most = i64::try_from(CANDIDATES_MAX).unwrap_or(i64::MAX);
    if words.is_empty() {
        let mut all = connection.prepare_cached("SELECT body FROM package ORDER BY id LIMIT ?1")?;
        return all.query_map([most], |row| row.get(0))?.collect();
    }
    let mut found = connection.prepare_cached(
        "SELECT body FROM word JOIN package ON package.rowid = word.rowid
         WHERE word MATCH ?1 ORDER BY bm25(word, 10.0, 5.0, 5.0, 1.0) LIMIT ?2",
    )?;
    found.query_map(params![words, most], |row| row.get(0))?.collect()
}

/// A question as FTS5 has it: more is found than [`Question::rank`] accepts, and nothing less. Empty when
/// there is no letter in it that FTS5 keeps.
fn words(question: &Question) -> String {
    let terms = question.terms().iter().map(|term| (None, term.as_str()));
    let labels = [("categories", question.category()), ("keywords", question.tag())];
    let labels = labels.into_iter().filter_map(|(column, label)| Some((Some(column), label?)));
    let parts = terms.chain(labels).filter(|(_, text)| text.contains(char::is_alphanumeric));
    let part = |(column, text): (Option<&str>, &str)| {
        // In quotes it is a text and no expression; the asterisk finds what begins so.
        let text = format!("\"{}\" *", text.replace('"', "\"\"").replace('\0', " "));
        column.map_or_else(|| text.clone(), |column| format!("{column} : {text}"))
    };
    parts.map(part).collect::<Vec<_>>().join(" AND ")
}

fn told(file: &Path, error: &rusqlite::Error) -> StoreError {
    let (file, reason) = (file.to_path_buf(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked { file },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged { file, reason },
        // A table is not there, or not what it was: only a damaged file says so.
        None | Some(ErrorCode::Unknown | ErrorCode::TypeMismatch) => StoreError::Damaged { file, reason },
        Some(_) => StoreError::File { file, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::package::tests::package;

    fn packages() -> Vec<Package> {
        let mut packages = vec![
            package("async-io", &["timer", "Async"], &["asynchronous"]),
            package("async_task-2", &["async"], &["concurrency"]),
            package("futures", &["async"], &["development-tools::testing"]),
            package("serde", &["encoding"], &["no-std::no-alloc"]),
            package("é-Ünï", &["größe", "c++"], &[]),
            package("C", &["x*\"y"], &[]),
        ];
        packages[3].description = None;
        packages
    }

    fn store() -> Store {
        let store = Store::in_memory().unwrap();
        store.put(&packages()).unwrap();
        store
    }

    fn question(terms: &[&str], category: Option<&str>, tag: Option<&str>) -> Question {
        Question::new(terms, category, tag).unwrap()
    }

    #[test]
    fn it_finds_what_a_peer_with_the_same_packages_finds() {
        let (store, peer) = (store(), packages().into_iter().collect::<Catalogue>());
        let mut found = 0;
        for terms in [
            &["async"] as &[_],
            &["async", "io"],
            &["async-io"],
            &["ASYNC_task-2"],
            &["tas"],
            &["ab"],
            &["about", "async"],
            &["timer"],
            &["ünï"],
            &["e"],
            &["größe"],
            &["c++"],
            &["c"],
            &["++"],
            &["x*\"y"],
            &["\"\""],
            &["*"],
            &["OR"],
            &["name:async"],
            &["^async"],
            &["NEAR(a b)"],
            &["a)b("],
            &["-"],
            &["\0"],
            &["async\0io"],
            &["nothing"],
        ] {
            for (category, tag) in [
                (None, None),
                (Some("development-tools"), None),
                (Some("no-std"), None),
                (Some("async"), None),
                (None, Some("async")),
                (Some("concurrency"), Some("async")),
                (Some("\""), Some("c++")),
            ] {
                let question = question(terms, category, tag);
                let names = |packages: Vec<Package>| packages.iter().map(Package::id).collect::<Vec<_>>();
                let here = names(store.search(&question, 10).unwrap());
                assert_eq!(
                    here,
                    names(peer.search(&question, 10).into_iter().cloned().collect()),
                    "{question:?}"
                );
                found += here.len();
            }
        }
        assert!(found > 30, "{found}");
        assert_eq!(store.search(&question(&[], None, Some("async")), 2).unwrap().len(), 2);
    }

    #[test]
    fn a_package_takes_the_place_of_one_with_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("packages.sqlite");
        let store = Store::open(&file).unwrap();
        store.put(&packages()).unwrap();
        store.put(&packages()).unwrap();
        let mut changed = package("serde", &["other"], &[]);
        changed.description = Some("Quite different".to_string());
        store.put([&changed]).unwrap();
        assert_eq!(store.len().unwrap(), packages().len());
        assert_eq!(store.search(&question(&["serde"], None, None), 9).unwrap(), [changed]);
        assert!(store.search(&question(&["encoding"], None, None), 9).unwrap().is_empty());
        // And the file is whole.
        drop(store);
        Store::open(&file).unwrap();
    }

    #[test]
    fn what_is_in_a_file_is_there_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("packages.sqlite");
        Store::open(&file).unwrap().put(&packages()).unwrap();
        let again = Store::open(&file).unwrap();
        assert_eq!(again.len().unwrap(), packages().len());
        assert_eq!(again.search(&question(&["serde"], None, None), 9).unwrap()[0].name, "serde");
    }

    /// What opening a file says that something was done to.
    fn refused(spoil: impl FnOnce(&Path)) -> StoreError {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("packages.sqlite");
        Store::open(&file).unwrap().put(&packages()).unwrap();
        spoil(&file);
        let error = Store::open(&file).unwrap_err();
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
        error
    }

    fn sql(file: &Path, text: &str) {
        Connection::open(file).unwrap().execute_batch(text).unwrap();
    }

    #[test]
    fn a_damaged_file_is_noticed_when_it_is_opened() {
        let error = refused(|file| std::fs::write(file, b"no database, but long enough for one").unwrap());
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        // Cut in the middle.
        let error = refused(|file| {
            let bytes = std::fs::read(file).unwrap();
            std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        });
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        // A page in the middle overwritten.
        let error = refused(|file| {
            let mut bytes = std::fs::read(file).unwrap();
            bytes[4096..8192].fill(0xa5);
            std::fs::write(file, bytes).unwrap();
        });
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        // Whole, but its words are those of other packages.
        let error = refused(|file| sql(file, "UPDATE word_content SET c0 = 'another' WHERE id = 1"));
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        let error = refused(|file| sql(file, "DELETE FROM package WHERE rowid = 1"));
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        let error = refused(|file| sql(file, "DROP TABLE package"));
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }

    #[test]
    fn a_database_of_another_program_is_left_alone() {
        let error = refused(|file| {
            std::fs::remove_file(file).unwrap();
            sql(file, "CREATE TABLE mail (text)");
        });
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
        let error = refused(|file| sql(file, "PRAGMA user_version = 2"));
        assert!(matches!(error, StoreError::Layout { layout: 2, .. }), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Store::open(&folder.path().join("no/such/folder")).unwrap_err();
        assert!(matches!(error, StoreError::File { .. }), "{error}");
        let error = Store::open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::File { .. }), "{error}");
    }
}
