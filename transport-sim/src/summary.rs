//! What a run comes to, in figures.

use std::collections::BTreeMap;
use std::time::Duration;

use dragnet_core::Time;
use serde::Serialize;

use crate::experiment::Experiment;

/// The figures of a run. All but those of wall time are the same for the same scenario and seed.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Peers in the network.
    pub peers: u32,
    /// Clients.
    pub clients: u32,
    /// Queries.
    pub lookups: u64,
    /// Events: sending, arrival, reply and timer are one each.
    pub events: u64,
    /// Events in a second of wall time.
    pub events_per_second: f64,
    /// Contacts in a second of wall time.
    pub contacts_per_second: f64,
    /// Bytes held for each peer, data stored in the network aside.
    pub bytes_per_peer: f64,
    /// Queries that found what they looked for.
    pub found: u64,
    /// Their share.
    pub found_share: f64,
    /// Queries that were given an item that somebody made up, whatever else they were given.
    pub misled: u64,
    /// From start to end of a query, in milliseconds of virtual time.
    pub p50_ms: f64,
    /// The same for all but a twentieth.
    pub p95_ms: f64,
    /// The same for all but a hundredth.
    pub p99_ms: f64,
    /// From start to first item, of the queries that had one.
    pub first_item_p50_ms: f64,
    /// The same for all but a twentieth.
    pub first_item_p95_ms: f64,
    /// The same for all but a hundredth.
    pub first_item_p99_ms: f64,
    /// Requests that a query sent, on average.
    pub contacts_per_lookup: f64,
    /// How queries ended.
    pub reasons: BTreeMap<String, u64>,
    /// How many faults the list has.
    pub faults_listed: usize,
    /// How often each kind struck.
    pub faults: BTreeMap<&'static str, u64>,
    /// Messages lost, whatever the cause.
    pub messages_lost: u64,
    /// The digest of all that happened.
    pub digest: String,
    /// Virtual time that passed.
    pub virtual_seconds: f64,
    /// Wall time of setting the network up.
    pub setup_seconds: f64,
    /// Wall time of the run itself.
    pub wall_seconds: f64,
}

impl Summary {
    /// The figures of a run that took so long, after so long a set-up.
    pub fn new(experiment: &Experiment, setup: Duration, wall: Duration) -> Self {
        let (scenario, sim) = (experiment.scenario(), &experiment.sim);
        let (counts, runs) = (sim.counts(), sim.queries());
        let found = runs.iter().filter(|run| experiment.has_found(run)).count() as u64;
        let totals = Latencies::new(runs.iter().filter_map(|run| run.total()));
        let firsts = Latencies::new(runs.iter().filter_map(|run| run.first_item()));
        let mut reasons = BTreeMap::new();
        for run in runs.iter() {
            let reason = match (&run.outcome, &run.refused) {
                (Some(outcome), _) => outcome.reason.to_string(),
                (None, Some(_)) => "refused".to_owned(),
                (None, None) => "never ended".to_owned(),
            };
            *reasons.entry(reason).or_insert(0) += 1;
        }
        let lookups = runs.len() as u64;
        let seconds = wall.as_secs_f64().max(1e-9);
        Self {
            scenario: scenario.name.clone(),
            seed: scenario.seed,
            peers: sim.peers(),
            clients: scenario.workload.clients,
            lookups,
            events: counts.events(),
            events_per_second: (counts.events() as f64 / seconds).round(),
            contacts_per_second: (counts.sent as f64 / seconds).round(),
            bytes_per_peer: rounded(sim.bytes() as f64 / f64::from(sim.peers())),
            found,
            found_share: found as f64 / lookups.max(1) as f64,
            misled: runs.iter().filter(|run| experiment.is_misled(run)).count() as u64,
            p50_ms: totals.permille_ms(500),
            p95_ms: totals.permille_ms(950),
            p99_ms: totals.permille_ms(990),
            first_item_p50_ms: firsts.permille_ms(500),
            first_item_p95_ms: firsts.permille_ms(950),
            first_item_p99_ms: firsts.permille_ms(990),
            contacts_per_lookup: rounded(counts.sent as f64 / lookups.max(1) as f64),
            reasons,
            faults_listed: sim.faults().len(),
            faults: sim.strikes().iter().collect(),
            messages_lost: counts.lost,
            digest: sim.digest().to_string(),
            virtual_seconds: rounded((sim.now() - Time::ZERO).as_secs_f64()),
            setup_seconds: setup.as_secs_f64(),
            wall_seconds: wall.as_secs_f64(),
        }
    }
}

/// The 95 % confidence interval of a share, so many of so many (Wilson, 1927): one that stays between 0
/// and 1 also for few, and for shares near the ends.
///
/// ```
/// let (low, high) = dragnet_sim::summary::wilson(10, 10);
/// assert!((0.72..0.73).contains(&low) && high > 0.999);
/// ```
pub fn wilson(hits: u64, of: u64) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    if of == 0 {
        return (0.0, 1.0);
    }
    let (hits, of) = (hits as f64, of as f64);
    let share = hits / of;
    let scale = 1.0 + Z * Z / of;
    let middle = (share + Z * Z / (2.0 * of)) / scale;
    let half = Z * (share * (1.0 - share) / of + Z * Z / (4.0 * of * of)).sqrt() / scale;
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

/// Durations in order.
#[derive(Clone, Debug)]
pub struct Latencies {
    sorted: Vec<Duration>,
}

impl Latencies {
    /// Puts durations in order.
    pub fn new(durations: impl Iterator<Item = Duration>) -> Self {
        let mut sorted: Vec<Duration> = durations.collect();
        sorted.sort_unstable();
        Self { sorted }
    }

    /// The durations, shortest first.
    pub fn sorted(&self) -> &[Duration] {
        &self.sorted
    }

    /// The least duration that at least so many thousandths do not exceed, in milliseconds; zero if
    /// there are none.
    pub fn permille_ms(&self, permille: usize) -> f64 {
        let rank = (self.sorted.len() * permille).div_ceil(1000).max(1);
        self.sorted.get(rank - 1).map_or(0.0, |duration| rounded(duration.as_secs_f64() * 1000.0))
    }
}

/// To a thousandth.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let latencies = Latencies::new((1..=100).rev().map(Duration::from_millis));
        let ms = [0, 500, 950, 990, 1000].map(|permille| latencies.permille_ms(permille));
        assert_eq!(ms, [1.0, 50.0, 95.0, 99.0, 100.0]);
        assert_eq!(Latencies::new([].into_iter()).permille_ms(500), 0.0);
    }
}
