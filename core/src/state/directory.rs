//! A directory in which one process at a time keeps its state.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::string::String;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use std::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::format::{Damage, Format, Saved};

/// Damaged files of one name that are kept; one more replaces the oldest.
const DAMAGED_MAX: u32 = 4;

/// The file whose lock says that the directory is in use.
const LOCK: &str = "lock";

/// A directory for state, for as long as this lives nobody else's.
///
/// Files in it are written beside the old ones, which they replace once they are on the disk: whatever
/// happens meanwhile, one of the two is there, and whole. Threads that share it write one after another.
///
/// ```
/// use dragnet_core::state::{Format, StateDirectory};
/// use std::time::{Duration, SystemTime};
///
/// const SCORES: Format = Format { name: *b"scores  ", version: 1 };
/// # let place = std::env::temp_dir().join(format!("dragnet doc {}", std::process::id()));
/// let directory = StateDirectory::open(&place)?;
/// assert!(directory.load::<Vec<u32>>("scores", SCORES, 1 << 20)?.is_none());
///
/// let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
/// directory.save("scores", SCORES, &vec![7u32, 8], now)?;
/// let saved = directory.load::<Vec<u32>>("scores", SCORES, 1 << 20)?.expect("it has been saved");
/// assert_eq!(saved.value, [7, 8]);
/// # drop(directory);
/// # std::fs::remove_dir_all(place).unwrap();
/// # Ok::<_, dragnet_core::state::StateError>(())
/// ```
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    /// Locked until it is closed.
    _lock: File,
    /// Held while files change: two saves at once would write to one temporary file, and put it in place half
    /// written.
    writing: Mutex<()>,
}

/// Why state is not loaded, or not saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process, or another part of this one, has the directory open.
    #[error("{} is in use by another program: stop that one, or name another directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("{} cannot be {doing}: {source}", path.display())]
    Io {
        /// What could not be done with it.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what was saved: [`set_aside`](StateDirectory::set_aside) makes room for another.
    #[error("{} cannot be used: {damage}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The value cannot be written down.
    #[error("{} cannot be written: {reason}", path.display())]
    Unencodable {
        /// The file.
        path: PathBuf,
        /// What the encoder says.
        reason: String,
    },
    /// It would not be read again: it is not written, and what was there stays.
    #[error("{} would be {bytes} bytes long, and no more than {bytes_max} are read: keep less", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How long it would be.
        bytes: u64,
        /// How long it may be.
        bytes_max: u64,
    },
}

impl StateDirectory {
    /// Opens a directory, which is made if it is not there, for its owner alone.
    ///
    /// # Errors
    ///
    /// [`StateError::InUse`], or what the file system says.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let path = path.into();
        create_private(&path).map_err(|source| failed("made", &path, source))?;
        let lock = path.join(LOCK);
        let file = private()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)
            .map_err(|source| failed("opened", &lock, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _lock: file, writing: Mutex::new(()) }),
            Err(TryLockError::WouldBlock) => Err(StateError::InUse { path }),
            Err(TryLockError::Error(source)) => Err(failed("locked", &lock, source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a file of this name holds; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`StateError::Damaged`] with what is wrong with it, or what the file system says.
    pub fn load<T: DeserializeOwned>(
        &self,
        name: &str,
        format: Format,
        bytes_max: u64,
    ) -> Result<Option<Saved<T>>, StateError> {
        let Some(bytes) = self.read(name, bytes_max)? else { return Ok(None) };
        let damaged = |damage| StateError::Damaged { path: self.path.join(name), damage };
        format.decode(&bytes).map(Some).map_err(damaged)
    }

    /// Writes a file of this name in place of an earlier one, which stays as it is unless all goes well.
    /// Returns how many bytes it has.
    ///
    /// # Errors
    ///
    /// What the file system says: no room, no permission, no such directory any more.
    pub fn save<T: Serialize>(
        &self,
        name: &str,
        format: Format,
        value: &T,
        saved_at: SystemTime,
    ) -> Result<usize, StateError> {
        let path = self.path.join(name);
        let encoded = format.encode(value, saved_at);
        let bytes = encoded.map_err(|error| StateError::Unencodable { path, reason: error.reason })?;
        self.write(name, &bytes)?;
        Ok(bytes.len())
    }

    /// The bytes of a file, if there is one: for what is not in a [`Format`] of ours.
    ///
    /// # Errors
    ///
    /// [`Damage::TooLarge`], or what the file system says.
    pub fn read(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.path.join(name);
        let reading = |source| failed("read", &path, source);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(reading(error)),
        };
        let mut bytes = Vec::new();
        // One more, to see that there is more.
        let bound = bytes_max.saturating_add(1);
        let length = file.metadata().map_err(reading)?.len();
        file.take(bound).read_to_end(&mut bytes).map_err(reading)?;
        if bytes.len() as u64 > bytes_max {
            let bytes = length.max(bytes.len() as u64);
            return Err(StateError::Damaged { path, damage: Damage::TooLarge { bytes, bytes_max } });
        }
        Ok(Some(bytes))
    }

    /// Writes these bytes as [`save`](Self::save) does a value; nobody but the owner can read them.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let temporary = self.path.join(std::format!("{name}.new"));
        let _writing = self.writing();
        // What a crash has left.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("removed", &temporary, error));
            }
            _ => {}
        }
        let mut options = private();
        options.create_new(true).write(true);
        self.write_by(name, &temporary, || options.open(&temporary), bytes)
    }

    /// Renames a file, so that it is out of the way of the next and can be looked at: to
    /// `NAME.damaged-1`, those from before to the next higher numbers up to 4. Returns its new name;
    /// `None` if there is none.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn set_aside(&self, name: &str) -> Result<Option<PathBuf>, StateError> {
        let path = self.path.join(name);
        let _writing = self.writing();
        if !path.try_exists().map_err(|source| failed("found", &path, source))? {
            return Ok(None);
        }
        let numbered = |number| self.path.join(std::format!("{name}.damaged-{number}"));
        for number in (1..DAMAGED_MAX).rev() {
            let earlier = numbered(number);
            match fs::rename(&earlier, numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("renamed", &earlier, error));
                }
                _ => {}
            }
        }
        let aside = numbered(1);
        fs::rename(&path, &aside).map_err(|source| failed("renamed", &path, source))?;
        Ok(Some(aside))
    }

    /// What is on the disk is whole whenever a thread ends, by a panic too.
    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_by(
        &self,
        name: &str,
        temporary: &Path,
        open: impl FnOnce() -> io::Result<File>,
        bytes: &[u8],
    ) -> Result<(), StateError> {
        let path = self.path.join(name);
        let written = open().and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        let replaced = written
            .map_err(|source| failed("written", temporary, source))
            .and_then(|()| fs::rename(temporary, &path).map_err(|source| failed("replaced", &path, source)));
        if let Err(error) = replaced {
            // It takes room, and is no use. That it may not be there is no news.
            let _ = fs::remove_file(temporary);
            return Err(error);
        }
        sync_directory(&self.path).map_err(|source| failed("written", &self.path, source))
    }
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> StateError {
    StateError::Io { doing, path: path.to_path_buf(), source }
}

/// Opens files that nobody but their owner reads.
fn private() -> OpenOptions {
    #[allow(unused_mut, reason = "there is nothing to set elsewhere")]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// That a file has a new name is on the disk when its directory is.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Elsewhere a directory cannot be opened for that.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const FORMAT: Format = Format { name: *b"numbers ", version: 1 };

    /// `/dev/full` is a disk without room.
    #[test]
    fn on_a_full_disk_the_old_file_stays_and_nothing_is_left_over() {
        let place = std::env::temp_dir().join(std::format!("dragnet full {}", std::process::id()));
        let directory = StateDirectory::open(&place).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1);
        directory.save("numbers", FORMAT, &std::vec![1u32, 2], now).unwrap();
        let bytes = FORMAT.encode(&std::vec![3u32; 100], now).unwrap();
        let full = || {
            fs::write(place.join("numbers.new"), b"as far as there was room")?;
            OpenOptions::new().write(true).open("/dev/full")
        };
        let error = directory.write_by("numbers", &place.join("numbers.new"), full, &bytes).unwrap_err();
        assert!(
            matches!(&error, StateError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull),
            "{error}"
        );
        assert!(error.to_string().contains("numbers.new cannot be written: No space"), "{error}");
        let saved = directory.load::<Vec<u32>>("numbers", FORMAT, 1000).unwrap().unwrap();
        assert_eq!(saved.value, [1, 2]);
        drop(directory);
        let mut names: Vec<_> =
            fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["lock", "numbers"]);
        fs::remove_dir_all(place).unwrap();
    }
}
