//! The futures front.

mod clock;
mod transport;

pub use clock::{Clock, SystemClock};
pub use transport::{Contact, Event, Lookup, Transport};
