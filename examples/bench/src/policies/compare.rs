//! What the rows come to: ours against the fixed ones.

use serde::Serialize;

use super::{Figures, OURS, Row, SlowRow};

/// Ours at one share of dead peers.
#[derive(Serialize, Clone, PartialEq, Debug)]
pub(super) struct Ratios {
    pub(super) dead: f64,
    /// Our 95th percentile over that of `fixed-10s`, and our contacts over its.
    pub(super) p95_to_10s: f64,
    pub(super) contacts_to_10s: f64,
    /// The best fixed policy, picked with hindsight.
    pub(super) best_fixed: Option<&'static str>,
    /// Our 95th percentile over its.
    pub(super) p95_to_best: Option<f64>,
}

/// One policy in one slow network, against itself in the normal one without dead peers, and against
/// `fixed-10s` in the slow one.
#[derive(Serialize, Clone, PartialEq, Debug)]
pub(super) struct SlowRatios {
    pub(super) condition: &'static str,
    pub(super) policy: &'static str,
    pub(super) contacts_to_normal: f64,
    pub(super) contacts_to_10s: f64,
    pub(super) found_share_change: f64,
    pub(super) p95_to_10s: f64,
}

/// The policy that all others are measured by.
const BASE: &str = "fixed-10s";

/// How far below the highest the found share of a policy may be that counts as good.
const FOUND_SHARE_SLACK: f64 = 0.005;

/// Ours against the others, for each share of dead peers.
pub(super) fn with_fixed(rows: &[Row]) -> Vec<Ratios> {
    let mut all = Vec::new();
    for same in rows.chunk_by(|a, b| a.dead == b.dead) {
        let find = |name| same.iter().find(|row| row.policy == name).map(|row| row.figures);
        let (Some(ours), Some(base)) = (find(OURS), find(BASE)) else { continue };
        let best = best_fixed(same, &ours);
        all.push(Ratios {
            dead: same[0].dead,
            p95_to_10s: ours.p95_ms / base.p95_ms,
            contacts_to_10s: ours.contacts_per_lookup / base.contacts_per_lookup,
            best_fixed: best.map(|row| row.policy),
            p95_to_best: best.map(|row| ours.p95_ms / row.figures.p95_ms),
        });
    }
    all
}

/// The fixed policy with the lowest 95th percentile, of those that use no more contacts than ours and
/// find about as much as the best.
fn best_fixed<'a>(rows: &'a [Row], ours: &Figures) -> Option<&'a Row> {
    let most = rows.iter().map(|row| row.figures.found_share).fold(0.0, f64::max);
    let fixed = rows.iter().filter(|row| row.policy != OURS);
    let good = fixed.filter(|row| {
        row.figures.contacts_per_lookup <= ours.contacts_per_lookup
            && row.figures.found_share >= most - FOUND_SHARE_SLACK
    });
    good.min_by(|a, b| a.figures.p95_ms.total_cmp(&b.figures.p95_ms))
}

/// Each policy in the slow networks against itself in the normal one.
pub(super) fn with_normal(rows: &[Row], slow_rows: &[SlowRow]) -> Vec<SlowRatios> {
    let mut all = Vec::new();
    for SlowRow { condition, policy, figures } in slow_rows {
        let normal = rows.iter().find(|row| row.dead == 0.0 && row.policy == *policy);
        let base = slow_rows.iter().find(|row| row.condition == *condition && row.policy == BASE);
        let (Some(Row { figures: normal, .. }), Some(SlowRow { figures: base, .. })) = (normal, base) else {
            continue;
        };
        all.push(SlowRatios {
            condition,
            policy,
            contacts_to_normal: figures.contacts_per_lookup / normal.contacts_per_lookup,
            contacts_to_10s: figures.contacts_per_lookup / base.contacts_per_lookup,
            found_share_change: figures.found_share - normal.found_share,
            p95_to_10s: figures.p95_ms / base.p95_ms,
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(policy: &'static str, p95_ms: f64, contacts_per_lookup: f64, found_share: f64) -> Row {
        let figures = Figures { p50_ms: 1.0, p95_ms, p99_ms: p95_ms, contacts_per_lookup, found_share };
        Row { dead: 0.0, policy, figures }
    }

    #[test]
    fn the_best_fixed_policy_costs_no_more_and_finds_as_much() {
        let rows = [
            row(BASE, 10_000.0, 30.0, 1.0),
            row("finds too little", 500.0, 30.0, 0.99),
            row("costs too much", 600.0, 40.0, 1.0),
            row("good", 2_000.0, 33.0, 0.996),
            row(OURS, 1_000.0, 33.0, 1.0),
        ];
        let [ratios] = &with_fixed(&rows)[..] else { panic!("one share, one row") };
        assert_eq!((ratios.best_fixed, ratios.p95_to_best), (Some("good"), Some(0.5)));
        assert_eq!((ratios.p95_to_10s, ratios.contacts_to_10s), (0.1, 1.1));
    }

    #[test]
    fn a_slow_row_is_measured_by_its_own_policy_and_by_the_slowest() {
        let rows = [row(BASE, 2_000.0, 30.0, 1.0), row(OURS, 1_000.0, 40.0, 1.0)];
        let slow = |policy, p95_ms, contacts, found| {
            let Row { policy, figures, .. } = row(policy, p95_ms, contacts, found);
            SlowRow { condition: "slow", policy, figures }
        };
        let ratios = with_normal(&rows, &[slow(BASE, 9_000.0, 30.0, 1.0), slow(OURS, 4_500.0, 60.0, 0.5)]);
        let ours = &ratios[1];
        assert_eq!((ours.contacts_to_normal, ours.contacts_to_10s), (1.5, 2.0));
        assert_eq!((ours.found_share_change, ours.p95_to_10s), (-0.5, 0.5));
    }
}
