//! The tables that people read, ratios first.

use super::{Figures, Report};

pub(super) fn print(report: &Report) {
    let Report { peers, lookups, seed, .. } = report;
    println!("{lookups} lookups among {peers} peers under each policy, seed {seed}\n");
    println!(
        "{:>6} {:>12} {:>17} {:>13}  best fixed",
        "dead", "p95 to 10s", "contacts to 10s", "p95 to best"
    );
    for ratios in &report.ratios {
        let to_best = ratios.p95_to_best.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        println!(
            "{:>6} {:>12.3} {:>17.2} {to_best:>13}  {}",
            percent(ratios.dead),
            ratios.p95_to_10s,
            ratios.contacts_to_10s,
            ratios.best_fixed.unwrap_or("none uses as few contacts"),
        );
    }
    println!(
        "\n{:>16} {:>22} {:>19} {:>16} {:>13} {:>11}",
        "condition", "policy", "contacts to normal", "contacts to 10s", "found change", "p95 to 10s"
    );
    for ratios in &report.slow_ratios {
        println!(
            "{:>16} {:>22} {:>19.2} {:>16.2} {:>13.4} {:>11.3}",
            ratios.condition,
            ratios.policy,
            ratios.contacts_to_normal,
            ratios.contacts_to_10s,
            ratios.found_share_change,
            ratios.p95_to_10s,
        );
    }
    println!(
        "\n{:>16} {:>22} {:>9} {:>9} {:>9} {:>10} {:>7}",
        "condition", "policy", "p50 ms", "p95 ms", "p99 ms", "contacts", "found"
    );
    for row in &report.rows {
        line(&format!("{} dead", percent(row.dead)), row.policy, &row.figures);
    }
    for row in &report.slow_rows {
        line(row.condition, row.policy, &row.figures);
    }
}

fn line(condition: &str, policy: &str, figures: &Figures) {
    let Figures { p50_ms, p95_ms, p99_ms, contacts_per_lookup, found_share } = figures;
    println!(
        "{condition:>16} {policy:>22} {p50_ms:>9.0} {p95_ms:>9.0} {p99_ms:>9.0} {contacts_per_lookup:>10.2} {found_share:>7.4}"
    );
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
