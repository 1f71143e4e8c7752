//! A directory for one node: its identity, and what it knows.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dragnet_core::state::{
    Damage, Format, Judges, SAVED_VERSION, Saved as SavedAt, SavedState, StateDirectory, StateError,
};
use libp2p::identity::Keypair;
use serde::{Deserialize, Serialize};

use super::{KnownPeer, Loaded, NodeState};
use crate::network::Libp2p;

/// The file of what is known.
const NODE: &str = "node.state";
/// The file of who this is.
const IDENTITY: &str = "identity";

/// What belongs to this crate in the version of a node's file: to be changed with what `Ask`, `Answer` and
/// `KnownPeer` look like.
const NODE_VERSION: u16 = 2;
const NODE_FORMAT: Format =
    Format { name: *b"libp2p  ", version: (NODE_VERSION as u32) << 16 | SAVED_VERSION as u32 };
const IDENTITY_FORMAT: Format = Format { name: *b"identity", version: 1 };

/// Far more than the tables of a node with default settings take: 65 536 peers and 16 MiB of answers.
const NODE_BYTES_MAX: u64 = 256 << 20;
const IDENTITY_BYTES_MAX: u64 = 64 << 10;

/// A directory that keeps what a node knows and who it is, for as long as this lives nobody else's.
///
/// Files are replaced whole, and readable to their owner alone. A damaged one is set aside
/// (`node.state.damaged-1`), and the node begins without it.
#[derive(Debug)]
pub struct NodeStore {
    directory: StateDirectory,
    judges: Judges<Libp2p>,
}

/// Who a node is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Identity {
    /// Its key.
    pub keypair: Keypair,
    /// Whether it was made just now.
    pub is_new: bool,
    /// What was there, and could not be used.
    pub set_aside: Option<SetAside>,
}

/// What a node knew.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Remembered {
    /// That, if anything was kept.
    pub state: Option<Loaded>,
    /// What was there, and could not be used.
    pub set_aside: Option<SetAside>,
}

/// A file that could not be used, and was moved out of the way.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SetAside {
    /// Which.
    pub path: PathBuf,
    /// What was wrong with it.
    pub damage: Damage,
    /// What it is called now.
    pub now_at: PathBuf,
}

/// What was saved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Saved {
    /// Bytes of the file.
    pub bytes: usize,
    /// Answers in it.
    pub answers: usize,
    /// Answers that are not, since their validator or selector has no name: [`NodeStore::judges`].
    pub answers_left_out: usize,
}

#[derive(Serialize, Deserialize)]
struct SavedNode {
    protocol: Option<String>,
    engine: SavedState<Libp2p>,
    peers: Vec<KnownPeer>,
}

impl SavedNode {
    fn into_loaded(self, away: Option<Duration>, judges: &Judges<Libp2p>) -> Loaded {
        let Self { protocol, engine, peers } = self;
        let (engine, answers_left_out) = engine.into_state(judges);
        Loaded { state: NodeState { protocol, engine, peers }, away, answers_left_out }
    }
}

impl NodeStore {
    /// Opens a directory, which is made if it is not there, for its owner alone.
    ///
    /// # Errors
    ///
    /// [`StateError::InUse`] if another program has it open, or what the file system says.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        Ok(Self { directory: StateDirectory::open(path)?, judges: Judges::new() })
    }

    /// Names the validators and selectors of the application's queries, so that their answers can be kept
    /// too.
    #[must_use]
    pub fn judges(mut self, judges: Judges<Libp2p>) -> Self {
        self.judges = judges;
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Who the node is: as kept here, or, if nothing usable is, a new one, which is kept at once.
    ///
    /// # Errors
    ///
    /// What the file system says. A node whose identity cannot be kept would be another the next time.
    pub fn identity(&self) -> Result<Identity, StateError> {
        let kept = self.load_file::<Vec<u8>>(IDENTITY, IDENTITY_FORMAT, IDENTITY_BYTES_MAX)?;
        let set_aside = match kept {
            (Some(SavedAt { value, .. }), set_aside) => match Keypair::from_protobuf_encoding(&value) {
                Ok(keypair) => return Ok(Identity { keypair, is_new: false, set_aside }),
                Err(error) => self.set_aside(IDENTITY, Damage::Unreadable { reason: error.to_string() })?,
            },
            (None, set_aside) => set_aside,
        };
        let keypair = Keypair::generate_ed25519();
        let encoded = keypair.to_protobuf_encoding().expect("an ed25519 key can be written down");
        self.directory.save(IDENTITY, IDENTITY_FORMAT, &encoded, SystemTime::now())?;
        Ok(Identity { keypair, is_new: true, set_aside })
    }

    /// What was saved here last. What cannot be used is set aside, and is no error.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn load(&self) -> Result<Remembered, StateError> {
        let (saved, set_aside) = self.load_file::<SavedNode>(NODE, NODE_FORMAT, NODE_BYTES_MAX)?;
        let state = saved.map(|saved| {
            let away = saved.age(SystemTime::now());
            saved.value.into_loaded(away, &self.judges)
        });
        Ok(Remembered { state, set_aside })
    }

    /// Saves what a node knows, in place of what was saved before, which stays if anything goes wrong.
    ///
    /// # Errors
    ///
    /// [`StateError::TooLarge`] if it takes more than 256 MiB, which is all that is read, or what the file
    /// system says: no room, no permission, no such directory any more.
    pub fn save(&self, state: NodeState) -> Result<Saved, StateError> {
        self.save_up_to(NODE_BYTES_MAX, state)
    }

    fn save_up_to(&self, bytes_max: u64, state: NodeState) -> Result<Saved, StateError> {
        let NodeState { protocol, engine, peers } = state;
        let (engine, answers_left_out) = SavedState::of(engine, &self.judges);
        let answers = engine.answers();
        let saved = SavedNode { protocol, engine, peers };
        let path = || self.path().join(NODE);
        let bytes = NODE_FORMAT
            .encode(&saved, SystemTime::now())
            .map_err(|error| StateError::Unencodable { path: path(), reason: error.reason })?;
        if bytes.len() as u64 > bytes_max {
            return Err(StateError::TooLarge { path: path(), bytes: bytes.len() as u64, bytes_max });
        }
        self.directory.write(NODE, &bytes)?;
        Ok(Saved { bytes: bytes.len(), answers, answers_left_out })
    }

    fn load_file<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        format: Format,
        bytes_max: u64,
    ) -> Result<(Option<SavedAt<T>>, Option<SetAside>), StateError> {
        match self.directory.load(name, format, bytes_max) {
            Ok(saved) => Ok((saved, None)),
            Err(StateError::Damaged { damage, .. }) => Ok((None, self.set_aside(name, damage)?)),
            Err(error) => Err(error),
        }
    }

    fn set_aside(&self, name: &str, damage: Damage) -> Result<Option<SetAside>, StateError> {
        let path = self.path().join(name);
        let now_at = self.directory.set_aside(name)?;
        Ok(now_at.map(|now_at| SetAside { path, damage, now_at }))
    }
}

impl Loaded {
    /// A state as if it had been saved so long ago: for who keeps it otherwise than in a [`NodeStore`].
    pub const fn new(state: NodeState, away: Duration) -> Self {
        Self { state, away: Some(away), answers_left_out: 0 }
    }
}

impl fmt::Display for SetAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, damage, now_at } = self;
        write!(f, "{} cannot be used: {damage}. It is kept as {}", path.display(), now_at.display())
    }
}

/// What bytes of a node's file would be read as, for those who try whether any can do harm.
#[doc(hidden)]
pub fn decode(bytes: &[u8]) -> Result<Loaded, Damage> {
    let saved = NODE_FORMAT.decode::<SavedNode>(bytes)?;
    Ok(saved.value.into_loaded(Some(Duration::ZERO), &Judges::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_loaded_is_not_saved() {
        let place = tempfile::TempDir::new().unwrap();
        let store = NodeStore::open(place.path()).unwrap();
        let saved = store.save(NodeState::default()).unwrap();
        let bytes_max = saved.bytes as u64 - 1;
        let error = store.save_up_to(bytes_max, NodeState::default()).unwrap_err();
        assert!(matches!(error, StateError::TooLarge { bytes, .. } if bytes == bytes_max + 1), "{error}");
        assert!(error.to_string().contains("node.state would be"), "{error}");
        assert!(store.load().unwrap().state.is_some(), "what was saved before stays");
    }
}
