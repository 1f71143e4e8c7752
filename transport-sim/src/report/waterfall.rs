//! One query's contacts, each a bar from sent to answered.

use std::fmt::{self, Write as _};
use std::time::Duration;

use dragnet_core::{Step, Time};

use super::milliseconds;
use crate::experiment::Experiment;
use crate::log::QueryRun;
use crate::trace::{Ended, TracedContact};

/// Rows that are shown; a query seldom has more.
const ROWS: usize = 300;

/// Writes the waterfall of the query chosen, or of one at the 95th percentile.
pub(super) fn write(page: &mut String, experiment: &Experiment, chosen: Option<usize>) -> fmt::Result {
    let runs = experiment.sim.queries();
    let Some(number) = chosen.or_else(|| typical(&runs)) else { return Ok(()) };
    let Some(run) = runs.get(number) else { return Ok(()) };
    let Some(id) = run.id else { return Ok(()) };
    let contacts: Vec<TracedContact> = experiment.sim.with_trace(|trace| trace.of(id).copied().collect());
    if contacts.is_empty() {
        return Ok(());
    }
    let end = run.total().map_or_else(|| experiment.sim.now(), |total| run.started + total);
    let span = (end - run.started).max(Duration::from_millis(1));
    let reason = run.outcome.as_ref().map_or("still running".to_owned(), |o| o.reason.to_string());
    writeln!(
        page,
        "<section>\n<h2>The contacts of query {number}</h2>\n\
         <p class=\"quiet\">{} contacts in {}; it ended: {reason}; items: {}. The number is how many leading \
         bits the peer shares with the target: the more, the nearer. F is the fetch lane.</p>\n\
         <p class=\"legend\"><span><i class=\"key items\"></i>✓ items</span><span><i class=\"key replied\"></i>• \
         replied</span><span><i class=\"key failed\"></i>✗ failed</span><span><i class=\"key released\"></i>… let \
         go</span></p>\n<div class=\"fall\">",
        contacts.len(),
        milliseconds(span.as_secs_f64() * 1000.0),
        run.found.len(),
    )?;
    writeln!(
        page,
        "<span></span><span class=\"axis\"><b>0</b><b>{}</b><b>{}</b></span>",
        milliseconds(span.as_secs_f64() * 500.0),
        milliseconds(span.as_secs_f64() * 1000.0),
    )?;
    for contact in contacts.iter().take(ROWS) {
        row(page, experiment, number, run.started, (end, span), contact)?;
    }
    page.push_str("</div>\n");
    if contacts.len() > ROWS {
        writeln!(page, "<p class=\"quiet\">and {} more</p>", contacts.len() - ROWS)?;
    }
    page.push_str("</section>\n");
    Ok(())
}

fn row(
    page: &mut String,
    experiment: &Experiment,
    number: usize,
    started: Time,
    (end, span): (Time, Duration),
    contact: &TracedContact,
) -> fmt::Result {
    let (class, sign, became) = match contact.how {
        Ended::Replied { items: 0 } => ("replied", '•', "replied"),
        Ended::Replied { .. } => ("items", '✓', "replied with items"),
        Ended::Failed => ("failed", '✗', "failed"),
        Ended::Released | Ended::UnderWay => ("released", '…', "let go"),
    };
    let to = contact.ended.unwrap_or(end);
    let part = |time: Time| (time - started).as_secs_f64() / span.as_secs_f64() * 100.0;
    let (from, to) = (part(contact.sent), part(to));
    let shared = contact.peer.key().distance(experiment.key(number)).leading_zeros();
    let lane = if contact.step == Step::Fetch { "F" } else { "" };
    let took = contact.ended.map_or(span, |ended| ended - contact.sent);
    writeln!(
        page,
        "<span class=\"who\" title=\"peer {peer}\">{sign} <code>{short}</code> {lane}{shared}</span>\
         <span class=\"track\"><i class=\"{class}\" style=\"left:{from:.2}%;width:{:.2}%\" \
         title=\"{peer}: {became} after {}\"></i></span>",
        (to - from).max(0.4),
        milliseconds(took.as_secs_f64() * 1000.0),
        peer = contact.peer,
        short = &contact.peer.to_string()[..6],
    )
}

/// A query whose time is that of the 95th percentile.
fn typical(runs: &[QueryRun]) -> Option<usize> {
    let mut order: Vec<usize> = (0..runs.len()).filter(|n| runs[*n].total().is_some()).collect();
    order.sort_by_key(|n| runs[*n].total());
    order.get(order.len() * 95 / 100).copied()
}
