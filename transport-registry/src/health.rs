//! How the registries are doing, for people and monitors.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::url::RegistryUrl;

/// What is known of one registry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RegistryHealth {
    /// Answers that could be read.
    pub answered: u64,
    /// Those of them that were here already, and of which the registry said that nothing had changed.
    pub unchanged: u64,
    /// Items in answers that could not be used.
    pub invalid_items: u64,
    /// Requests that failed. Those that were released are not among them.
    pub failed: u64,
    /// Why the last one did.
    pub last_error: Option<Error>,
    /// Whether that was the last thing heard of it.
    pub is_failing: bool,
}

/// Tells how the registries of a [`RegistryTransport`](crate::RegistryTransport) are doing, at any time and
/// from anywhere: the transport itself belongs to its driver.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<Board>>);

#[derive(Debug)]
struct Board {
    registries: HashMap<RegistryUrl, Noted>,
    /// Counts what is noted.
    now: u64,
    registries_max: usize,
}

#[derive(Debug, Default)]
struct Noted {
    health: RegistryHealth,
    last: u64,
}

impl Health {
    pub(crate) fn new(registries_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Board { registries: HashMap::new(), now: 0, registries_max })))
    }

    /// What is known of a registry; `None` if nothing is, or no longer.
    pub fn of(&self, registry: &RegistryUrl) -> Option<RegistryHealth> {
        self.board().registries.get(registry).map(|noted| noted.health.clone())
    }

    /// What is known of all, by URL.
    pub fn all(&self) -> Vec<(RegistryUrl, RegistryHealth)> {
        let board = self.board();
        let mut all: Vec<_> =
            board.registries.iter().map(|(url, noted)| (url.clone(), noted.health.clone())).collect();
        drop(board);
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    pub(crate) fn note(&self, registry: &RegistryUrl, note: impl FnOnce(&mut RegistryHealth)) {
        self.board().note(registry, note);
    }

    /// Nothing under the lock panics halfway: what a panicking thread left is whole.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board {
    fn note(&mut self, registry: &RegistryUrl, note: impl FnOnce(&mut RegistryHealth)) {
        if self.registries_max == 0 {
            return;
        }
        self.now += 1;
        if !self.registries.contains_key(registry) && self.registries.len() >= self.registries_max {
            let oldest = self.registries.iter().min_by_key(|(_, noted)| noted.last);
            if let Some(url) = oldest.map(|(url, _)| url.clone()) {
                self.registries.remove(&url);
            }
        }
        let noted = self.registries.entry(registry.clone()).or_default();
        noted.last = self.now;
        note(&mut noted.health);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_not_heard_of_for_longest_is_forgotten() {
        let health = Health::new(2);
        let url = |n: u8| RegistryUrl::parse(&format!("http://r{n}/")).unwrap();
        for n in [1, 2, 1, 3] {
            health.note(&url(n), |health| health.answered += 1);
        }
        let all: Vec<_> = health.all().into_iter().map(|(url, health)| (url, health.answered)).collect();
        assert_eq!(all, [(url(1), 2), (url(3), 1)]);
        assert_eq!(health.of(&url(2)), None);
    }
}
