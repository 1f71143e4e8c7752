//! What ends the program early, and with which exit code.

use std::io;
use std::process::ExitCode;

use dragnet_core::StartError;
use dragnet_core::front::DriverGone;
use dragnet_libp2p::{BootstrapError, CommandError, NodeError, PublishError};

use crate::args::ArgumentError;
use crate::question::QuestionError;
use crate::source::SourceError;

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
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// A search that is none.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// No packages.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A key or a value that is none.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// A query that does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Something that was not published.
    #[error("`{what}` was not published: {source}")]
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
    /// 3 when no peer could be reached, 2 for everything else; and 0 when whoever read the output has
    /// seen enough.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Bootstrap(BootstrapError::NoAnswer(_) | BootstrapError::NoAddresses)
            | Self::Publish { source: PublishError::NoPeers, .. } => ExitCode::from(3),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            _ => ExitCode::from(2),
        }
    }

    /// Whether there is anything to tell.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
