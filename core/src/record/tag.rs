//! What the first byte of a record says, and other small codes.

use super::wire::{Malformed, Taken};
use crate::network::Failure;

pub(super) const TICK: u8 = 0;
pub(super) const START: u8 = 1;
pub(super) const SENT: u8 = 2;
pub(super) const REPLY: u8 = 3;
pub(super) const FAILURE: u8 = 4;
pub(super) const PROGRESS: u8 = 5;
pub(super) const DONE: u8 = 6;
pub(super) const CANCEL: u8 = 7;
pub(super) const CANCEL_REFRESHES: u8 = 8;
pub(super) const BAR: u8 = 9;
/// No input: the names given so far are given anew from here on.
pub(super) const FORGET: u8 = 15;
/// Set in the byte of a record that ends with the verdicts of validators and selectors.
pub(super) const HAS_VERDICTS: u8 = 0x80;

pub(super) const fn of_failure(failure: Failure) -> u8 {
    match failure {
        Failure::Unreachable => 0,
        Failure::Closed => 1,
        Failure::Refused => 2,
        Failure::Unsupported => 3,
        Failure::TimedOut => 4,
        Failure::Invalid => 5,
        Failure::Local => 6,
    }
}

pub(super) const fn to_failure(code: u8) -> Taken<Failure> {
    Ok(match code {
        0 => Failure::Unreachable,
        1 => Failure::Closed,
        2 => Failure::Refused,
        3 => Failure::Unsupported,
        4 => Failure::TimedOut,
        5 => Failure::Invalid,
        6 => Failure::Local,
        _ => return Err(Malformed("an unknown failure")),
    })
}
