//! The parts of the runnable programs on Dragnet.
//!
//! `marketplace` shares and searches the descriptions of software packages. What belongs to any
//! program on Dragnet is in the libraries; here is what this one adds:
//!
//! | module | what it knows |
//! |---|---|
//! | [`package`], [`question`] | what is shared and what is asked, as values and on the wire |
//! | [`catalogue`] | one peer's packages, and its answers |
//! | [`market`] | a search: one's own packages, then the network's, each checked |
//! | [`federation`] | a search of several networks and registries at once |
//! | [`source`] | where packages come from |
//! | [`registry`] | a centralised registry of packages by HTTP: its server, and how it is asked |
//! | [`monitor`], [`top`] | a node seen from outside: its metrics and its state by HTTP; a screen of them |
//! | [`web`] | an HTTP server, which registry and monitor share |
//! | [`state`] | what a node keeps in a directory, for the next time |
//! | [`peer`], [`recording`], [`announce`] | a node in this process; its flight recorder; announcing many keys |
//! | [`commands`], [`demo`] | what the command line does |
//! | [`cli`], [`args`], [`output`], [`table`], [`duration`], [`error`], [`signals`] | the command line itself |

pub mod announce;
pub mod args;
pub mod catalogue;
pub mod cli;
pub mod commands;
pub mod demo;
pub mod duration;
pub mod error;
pub mod federation;
pub mod market;
pub mod monitor;
pub mod output;
pub mod package;
pub mod peer;
pub mod question;
pub mod recording;
pub mod registry;
pub mod signals;
pub mod source;
pub mod state;
pub mod table;
pub mod top;
pub mod web;
