//! What the demo tells at its end.

use std::io;
use std::time::Duration;

use console::style;
use dragnet_core::{PeerReport, Reason};
use libp2p::PeerId;
use serde::Serialize;
use serde_json::json;

use super::network::Network;
use super::plan::{Plan, Role};
use super::searches::{Again, CONFIG, Load, Searched};
use crate::duration::{as_ms, quantile, show};
use crate::output::{Asked, EndingObject, Output};
use crate::table::{Align, Table};

/// All tables and figures.
pub(super) struct Report {
    shown: Vec<Searched>,
    peers: Vec<Judged>,
    times: Times,
    pub(super) summary: Summary,
}

/// What the asker thinks of one peer.
struct Judged {
    name: String,
    role: Role,
    report: PeerReport<PeerId>,
}

/// The sorted times of all searches.
struct Times {
    first: Vec<Duration>,
    total: Vec<Duration>,
    /// Of those that met no failure.
    unhindered: Vec<Duration>,
    /// Of the others.
    hindered: Vec<Duration>,
}

/// The figures: the last line in JSON.
#[derive(Serialize)]
pub(super) struct Summary {
    kind: &'static str,
    nodes: usize,
    packages: usize,
    queries: usize,
    concurrency: usize,
    pub(super) results: usize,
    duplicates_removed: u64,
    peers_barred: usize,
    deadline_reached: usize,
    /// Searches in which a contact failed: mostly with the silent peer, which is waited for.
    met_failures: usize,
    /// Contacts of all searches that outlived their soft timeout, and those begun in their place.
    overdue: u64,
    hedged: u64,
    queries_per_second: f64,
    first_result_p50_ms: Option<f64>,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
    longest_ms: Option<f64>,
    met_no_failure_p50_ms: Option<f64>,
    met_a_failure_p50_ms: Option<f64>,
    /// The load once more, by searches that share.
    again: Repeated,
}

/// The figures of the load once more.
#[derive(Serialize)]
struct Repeated {
    /// Of the searches that one's own packages were not enough for, those that were given a kept answer.
    hit_share: f64,
    /// Of the others, those that joined one under way.
    joined: u64,
    hit_p50_ms: Option<f64>,
    asked_p50_ms: Option<f64>,
    saved_s: f64,
}

impl Report {
    pub(super) fn new(
        plan: &Plan,
        concurrency: usize,
        network: &Network,
        (shown, load, again): (Vec<Searched>, Load, Again),
        peers: Vec<PeerReport<PeerId>>,
    ) -> Self {
        let searches = || shown.iter().chain(&load.searches);
        let times = Times::new(&shown, &load);
        let ms = |times: &[Duration], permille| quantile(times, permille).map(as_ms);
        let summary = Summary {
            kind: "summary",
            nodes: plan.roles.len(),
            packages: plan.packages,
            queries: searches().count(),
            concurrency,
            results: searches().map(|search| search.ending.results).sum(),
            duplicates_removed: searches().map(|search| u64::from(search.ending.duplicates)).sum(),
            peers_barred: peers.iter().filter(|report| report.barred_for.is_some()).count(),
            deadline_reached: searches().filter(|it| it.ending.reason == Reason::DeadlineReached).count(),
            overdue: searches().map(|search| u64::from(search.ending.stats.overdue)).sum(),
            hedged: searches().map(|search| u64::from(search.ending.stats.hedged)).sum(),
            met_failures: searches().filter(|search| search.ending.stats.failed > 0).count(),
            queries_per_second: per_second(load.searches.len(), load.took),
            first_result_p50_ms: ms(&times.first, 500),
            p50_ms: ms(&times.total, 500),
            p95_ms: ms(&times.total, 950),
            p99_ms: ms(&times.total, 990),
            longest_ms: ms(&times.total, 1000),
            met_no_failure_p50_ms: ms(&times.unhindered, 500),
            met_a_failure_p50_ms: ms(&times.hindered, 500),
            again: Repeated::new(&again),
        };
        let peers = judge(network, peers);
        Self { shown, peers, times, summary }
    }

    /// Prints it all, the figures last.
    pub(super) fn print(&self, output: Output) -> io::Result<()> {
        self.print_searches(output)?;
        self.print_figures(output)?;
        self.print_peers(output)?;
        output.object(&self.summary)
    }

    fn print_searches(&self, output: Output) -> io::Result<()> {
        let left = ["search", "reason"];
        let headings =
            ["search", "found", "dupl", "asked", "failed", "overdue", "hedged", "first", "total", "reason"];
        let align = |heading| if left.contains(&heading) { Align::Left } else { Align::Right };
        let mut table = Table::new(headings.map(|heading| (heading, align(heading))));
        for Searched { term, ending, .. } in &self.shown {
            let stats = &ending.stats;
            table.row([
                console::truncate_str(term, 16, "…").into_owned(),
                ending.results.to_string(),
                ending.duplicates.to_string(),
                stats.contacted.to_string(),
                stats.failed.to_string(),
                stats.overdue.to_string(),
                stats.hedged.to_string(),
                stats.first_item.map_or_else(|| "-".to_string(), show),
                show(stats.total),
                short(ending.reason).to_string(),
            ]);
            output.object(&EndingObject::new("search", Asked::Search(term), ending))?;
        }
        output.heading("The searches shown")?;
        output.text(table.render(output.width()).trim_end())
    }

    fn print_figures(&self, output: Output) -> io::Result<()> {
        let Summary { queries, concurrency, results, duplicates_removed, .. } = self.summary;
        let at =
            |times: &[Duration], permille| quantile(times, permille).map_or_else(|| "-".to_string(), show);
        let total = |permille| at(&self.times.total, permille);
        output.heading(format_args!("All {queries} searches, {concurrency} at once"))?;
        let mut table = Table::new([("", Align::Left), ("", Align::Left)]);
        table.row([
            "throughput".to_string(),
            format!("{:.0} searches a second", self.summary.queries_per_second),
        ]);
        table.row(["results".to_string(), format!("{results}, {duplicates_removed} duplicates removed")]);
        table.row(["first result".to_string(), format!("p50 {}", at(&self.times.first, 500))]);
        table.row([
            "whole search".to_string(),
            format!("p50 {}, p95 {}, p99 {}, longest {}", total(500), total(950), total(990), total(1000)),
        ]);
        let Summary { overdue, hedged, .. } = self.summary;
        table.row([
            "overdue".to_string(),
            format!("{overdue} contacts, {hedged} others begun in their place"),
        ]);
        let waited = show(CONFIG.request_timeout);
        let met = self.summary.met_failures;
        table.row(["met no failure".to_string(), format!("p50 {}", at(&self.times.unhindered, 500))]);
        table.row([
            "met a failure".to_string(),
            format!(
                "p50 {} ({met} searches; a silent peer costs at most {waited})",
                at(&self.times.hindered, 500)
            ),
        ]);
        let timeout = show(CONFIG.timeout);
        table.row([
            "deadline".to_string(),
            format!("{timeout}, reached by {}", self.summary.deadline_reached),
        ]);
        let Repeated { hit_share, hit_p50_ms, saved_s, .. } = self.summary.again;
        let p50 = hit_p50_ms.map(|ms| format!(", p50 {}", show(Duration::from_secs_f64(ms / 1000.0))));
        table.row([
            "the same again".to_string(),
            format!(
                "{:.0} % from kept answers{}, {saved_s:.1} s saved",
                hit_share * 100.0,
                p50.unwrap_or_default()
            ),
        ]);
        output.text(table.render(output.width()).trim_end())
    }

    fn print_peers(&self, output: Output) -> io::Result<()> {
        let right = ["score", "answers", "failed", "invalid", "response"];
        let headings = ["peer", "role", "score", "answers", "failed", "invalid", "response", "barred"];
        let align = |heading| if right.contains(&heading) { Align::Right } else { Align::Left };
        let mut table = Table::new(headings.map(|heading| (heading, align(heading))));
        for Judged { name, role, report } in &self.peers {
            table.row([
                name.clone(),
                coloured(*role),
                format!("{}.{}", report.score / 10, report.score % 10),
                count(report.successes_milli),
                count(report.failures_milli),
                count(report.invalid_milli),
                report.response_time.map_or_else(|| "-".to_string(), show),
                report.barred_for.map_or_else(String::new, |time| format!("{} more", show(time))),
            ]);
            output.object(&json!({
                "kind": "peer",
                "name": name,
                "role": role.to_string(),
                "peer": report.peer.to_string(),
                "score": report.score,
                "answers_milli": report.successes_milli,
                "failures_milli": report.failures_milli,
                "invalid_milli": report.invalid_milli,
                "response_time_ms": report.response_time.map(as_ms),
                "barred_for_s": report.barred_for.map(|time| time.as_secs()),
            }))?;
        }
        output.heading("What the asker thinks of its peers (score of 100; 50 for a stranger)")?;
        output.text(table.render(output.width()).trim_end())
    }
}

impl Repeated {
    fn new(again: &Again) -> Self {
        // One's own packages are enough for some, which ask nobody.
        let needs_others = |search: &&Searched| search.ending.is_cached || search.ending.stats.contacted > 0;
        let (kept, asked): (Vec<&Searched>, Vec<&Searched>) =
            again.searches.iter().filter(needs_others).partition(|search| search.ending.is_cached);
        let all = kept.len() + asked.len();
        let p50 = |searches: &[&Searched]| {
            let mut took: Vec<Duration> = searches.iter().map(|search| search.took).collect();
            took.sort();
            quantile(&took, 500).map(as_ms)
        };
        Self {
            hit_share: if all == 0 { 0.0 } else { kept.len() as f64 / all as f64 },
            joined: again.joined,
            hit_p50_ms: p50(&kept),
            asked_p50_ms: p50(&asked),
            saved_s: again.saved.as_secs_f64(),
        }
    }
}

impl Times {
    fn new(shown: &[Searched], load: &Load) -> Self {
        let searches = || shown.iter().chain(&load.searches);
        let sorted = |mut times: Vec<Duration>| {
            times.sort();
            times
        };
        let (hindered, unhindered): (Vec<&Searched>, Vec<&Searched>) =
            searches().partition(|search| search.ending.stats.failed > 0);
        let took = |searches: Vec<&Searched>| sorted(searches.iter().map(|search| search.took).collect());
        Self {
            first: sorted(searches().filter_map(|search| search.ending.stats.first_item).collect()),
            total: sorted(searches().map(|search| search.took).collect()),
            unhindered: took(unhindered),
            hindered: took(hindered),
        }
    }
}

/// The best first.
fn judge(network: &Network, peers: Vec<PeerReport<PeerId>>) -> Vec<Judged> {
    let node = |peer: &PeerId| network.nodes.iter().find(|node| node.peer == *peer);
    let judged = |report: PeerReport<PeerId>| {
        let node = node(&report.peer)?;
        Some(Judged { name: node.name.clone(), role: node.role, report })
    };
    let mut judged: Vec<Judged> = peers.into_iter().filter_map(judged).collect();
    judged.sort_by(|a, b| b.report.score.cmp(&a.report.score).then_with(|| a.name.cmp(&b.name)));
    judged
}

fn per_second(count: usize, time: Duration) -> f64 {
    if count == 0 { 0.0 } else { (count as f64 / time.as_secs_f64() * 10.0).round() / 10.0 }
}

/// A decayed count, to one digit.
fn count(milli: u64) -> String {
    format!("{}.{}", milli / 1000, milli % 1000 / 100)
}

fn coloured(role: Role) -> String {
    match role {
        Role::Asker | Role::Honest => role.to_string(),
        Role::Liar => style(role).red().to_string(),
        Role::Silent | Role::Stopped => style(role).yellow().to_string(),
    }
}

const fn short(reason: Reason) -> &'static str {
    match reason {
        Reason::EnoughResults => "enough",
        Reason::Converged => "converged",
        Reason::Exhausted => "exhausted",
        Reason::DeadlineReached => "deadline",
        Reason::Cancelled => "cancelled",
        _ => "other",
    }
}
