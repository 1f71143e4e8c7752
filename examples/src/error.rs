//! What ends the program early, and with which exit code.

use std::io;
use std::process::ExitCode;

use dragnet_core::StartError;
use dragnet_core::front::DriverGone;
use dragnet_core::record::WriteError;
use dragnet_libp2p::{BootstrapError, CommandError, NodeError, PublishError};

use crate::args::ArgumentError;
use crate::federation::FederationError;
use crate::monitor::RemoteError;
use crate::question::QuestionError;
use crate::registry::StoreError;
use crate::source::SourceError;
use crate::web::ServerError;

/// The exit code when the program itself failed, as BSD's `sysexits` has it.
const FAILED: u8 = 70;

/// How a command that came to its end ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Something was found, or done: 0.
    Found,
    /// Nothing was found: 1.
    Nothing,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Found => Self::SUCCESS,
            Exit::Nothing => Self::FAILURE,
        }
    }
}

/// Why a command did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A bad address, a bad protocol name, an occupied port.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Nobody is there.
    #[error("{}", why_alone(.0))]
    Bootstrap(#[from] BootstrapError),
    /// A search that is none.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// No packages.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Sources that cannot be asked.
    #[error(transparent)]
    Federation(#[from] FederationError),
    /// A directory that cannot be used for what a node keeps.
    #[error(transparent)]
    State(#[from] dragnet_libp2p::state::StateError),
    /// No database of packages.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A server that does not listen.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A recording that cannot be begun.
    #[error(transparent)]
    Record(#[from] WriteError),
    /// No node that could be watched.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A key or a value that is none.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// A query that does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Something that was not published.
    #[error("`{what}` was not published: {}", why_unpublished(source))]
    Publish {
        /// What.
        what: String,
        /// Why.
        source: PublishError,
    },
    /// A node that has ended before its time.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A node that has ended before its time.
    #[error(transparent)]
    Gone(#[from] DriverGone),
    /// Tasks that did not end with the nodes.
    #[error("something still ran after every node was stopped: please report it")]
    TasksLeft,
    /// The output went away or is full.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// The exit code: 1 when nothing came of it in time, 2 for bad use, 3 when no peer could be reached,
    /// 70 when the program itself failed; and 0 when whoever read the output has seen enough.
    pub fn code(&self) -> u8 {
        match self {
            Self::Bootstrap(BootstrapError::NoAnswer(_) | BootstrapError::NoAddresses)
            | Self::Publish { source: PublishError::NoPeers, .. }
            | Self::Remote(_) => 3,
            Self::Publish { source: PublishError::TimedOut, .. } => 1,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Node(NodeError::Noise(_))
            | Self::Bootstrap(_)
            | Self::Start(StartError::Busy { .. } | StartError::ShutDown)
            | Self::Publish { source: PublishError::Busy { .. } | PublishError::ShutDown, .. }
            | Self::Command(_)
            | Self::Gone(_)
            | Self::TasksLeft
            | Self::Output(_) => FAILED,
            Self::Node(_)
            | Self::Question(_)
            | Self::Source(_)
            | Self::Federation(_)
            | Self::Store(_)
            | Self::State(_)
            | Self::Server(_)
            | Self::Record(_)
            | Self::Argument(_)
            | Self::Start(_)
            | Self::Publish { .. } => 2,
        }
    }

    /// Whether there is anything to tell.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Why nobody was reached, and what can be done about it from the command line.
fn why_alone(error: &BootstrapError) -> String {
    match error {
        BootstrapError::NoAddresses => "no address of a peer is known: name one with --boot".to_string(),
        other => other.to_string(),
    }
}

/// Why something was not published, and what can be done about it from the command line.
fn why_unpublished(error: &PublishError) -> String {
    match error {
        PublishError::ValueTooLarge { bytes, max } => {
            format!("the value has {bytes} bytes, and may have {max}: put a shorter one")
        }
        PublishError::StoreFull { what, max } => {
            format!("one peer publishes at most {max} {what}: share less, or run several peers")
        }
        PublishError::NoPeers => "no peer answered: name one that runs with --boot".to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpublished(source: PublishError) -> Error {
        Error::Publish { what: "/a/b".to_string(), source }
    }

    #[test]
    fn exit_codes_tell_bad_use_from_bad_luck_and_from_our_failures() {
        for (error, code) in [
            (unpublished(PublishError::TimedOut), 1),
            (unpublished(PublishError::ValueTooLarge { bytes: 9, max: 8 }), 2),
            (Error::Question(QuestionError::Empty), 2),
            (Error::Node(NodeError::Protocol { name: "kad".to_string() }), 2),
            (unpublished(PublishError::NoPeers), 3),
            (Error::Bootstrap(BootstrapError::NoAddresses), 3),
            (unpublished(PublishError::Busy { max: 1024 }), 70),
            (unpublished(PublishError::ShutDown), 70),
            (Error::Bootstrap(BootstrapError::Busy), 70),
            (Error::Start(StartError::ShutDown), 70),
            (Error::Command(CommandError::Busy), 70),
            (Error::Gone(DriverGone), 70),
            (Error::TasksLeft, 70),
            (Error::Output(io::ErrorKind::StorageFull.into()), 70),
            (Error::Output(io::ErrorKind::BrokenPipe.into()), 0),
        ] {
            assert_eq!(error.code(), code, "{error}");
        }
    }

    #[test]
    fn no_message_names_a_setting_that_only_a_library_has() {
        for error in [
            unpublished(PublishError::ValueTooLarge { bytes: 9, max: 8 }),
            unpublished(PublishError::StoreFull { what: "keys", max: 8 }),
            unpublished(PublishError::NoPeers),
            Error::Bootstrap(BootstrapError::NoAddresses),
        ] {
            let text = error.to_string();
            for setting in ["Config::", "Limits::", "bootstrap", "add_address", "`boot`"] {
                assert!(!text.contains(setting), "{text}");
            }
        }
    }
}
