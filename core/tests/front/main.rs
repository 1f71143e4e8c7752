//! The futures front, on a clock of its own and a transport in memory. The driver is polled only when
//! it has been woken, so that a lost wake-up shows: as a test that finds nothing left to wait for.

#![cfg(feature = "futures")]

mod kit;

mod bounds;
mod cached;
#[cfg(feature = "conformance")]
mod conformance;
mod deadlines;
mod embedding;
mod federation;
mod interleavings;
mod observing;
mod queries;
mod saturation;
mod scale;
mod shutdown;
mod state;
mod threads;
mod wake_ups;
