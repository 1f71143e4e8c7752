//! How a full table makes room.

use super::{NONE, PeerTable};
use crate::network::Network;
use crate::time::Time;

/// Idle peers looked at, at most, before one is forgotten.
const EVICTION_SAMPLE: usize = 8;

impl<N: Network> PeerTable<N> {
    /// Makes room: the place of the least useful of a few idle peers.
    pub(super) fn forget_one(&mut self, now: Time) -> Option<u32> {
        if self.idle.is_empty() {
            return None;
        }
        let mut least: Option<(u64, u32)> = None;
        for _ in 0..EVICTION_SAMPLE {
            let position = self.draw_below(self.idle.len());
            let index = self.idle[position];
            let evidence = self.standings[index as usize].reputation.evidence(now, &self.rules);
            if least.is_none_or(|(least, _)| evidence < least) {
                least = Some((evidence, index));
            }
            // Nobody is less useful than a peer of which nothing is known: in a flood of strangers most are
            // such, and to look at all that are drawn, none of which is in the cache, was most of its cost.
            if evidence == 0 {
                break;
            }
        }
        let (_, index) = least?;
        self.leave_idle(index);
        self.index.remove(self.standings[index as usize].tag, index);
        Some(index)
    }

    pub(super) fn leave_idle(&mut self, index: u32) {
        let position = core::mem::replace(&mut self.identities[index as usize].idle_position, NONE);
        if position == NONE {
            return;
        }
        self.idle.swap_remove(position as usize);
        if let Some(&moved) = self.idle.get(position as usize) {
            self.identities[moved as usize].idle_position = position;
        }
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014): enough to pick whom to look at.
    fn draw_below(&mut self, below: usize) -> usize {
        self.draw = self.draw.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.draw;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * below as u128) >> 64) as usize
    }
}
