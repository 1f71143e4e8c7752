//! One query's contacts, each a bar from sent to answered.

use std::fmt::{self, Write as _};
use std::time::Duration;

use dragnet_core::{Step, Time};

use super::{Escaped, milliseconds};
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
    let reason = run.outcome.as_ref().map_or("still running".to_owned(), |o| o.reason.to_string());
    let fall = Fall {
        heading: format!("The contacts of query {number}"),
        reason,
        results: run.found.len(),
        started: run.started,
        end,
        rows: contacts.iter().map(|contact| row(experiment, number, contact)).collect(),
    };
    fall.write(page)
}

fn row(experiment: &Experiment, number: usize, contact: &TracedContact) -> Row {
    let shared = contact.peer.key().distance(experiment.key(number)).leading_zeros();
    let lane = if contact.step == Step::Fetch { "F" } else { "" };
    let name = contact.peer.to_string();
    Row {
        short: name[..6].to_owned(),
        name: format!("peer {name}"),
        lane: format!("{lane}{shared}"),
        began: contact.sent,
        sent: None,
        ended: contact.ended,
        how: contact.how,
        why: String::new(),
    }
}

/// One query's contacts, of wherever it was asked.
pub(super) struct Fall {
    pub(super) heading: String,
    pub(super) reason: String,
    pub(super) results: usize,
    pub(super) started: Time,
    pub(super) end: Time,
    pub(super) rows: Vec<Row>,
}

/// A contact.
pub(super) struct Row {
    pub(super) short: String,
    pub(super) name: String,
    pub(super) lane: String,
    pub(super) began: Time,
    /// When it left the transport's own queue, if that was later and is known.
    pub(super) sent: Option<Time>,
    pub(super) ended: Option<Time>,
    pub(super) how: Ended,
    /// Why it failed, if that is known.
    pub(super) why: String,
}

impl Fall {
    pub(super) fn write(&self, page: &mut String) -> fmt::Result {
        let Self { heading, reason, results, started, end, rows } = self;
        let span = (*end - *started).max(Duration::from_millis(1));
        let waits = rows.iter().any(|row| row.sent.is_some());
        let waited = if waits { "<span><i class=\"key waited\"></i>not sent yet</span>" } else { "" };
        writeln!(
            page,
            "<section>\n<h2>{}</h2>\n\
             <p class=\"quiet\">{} contacts in {}; it ended: {reason}; items: {results}. The number is how many leading \
             bits the peer shares with the target: the more, the nearer. F is the fetch lane.</p>\n\
             <p class=\"legend\"><span><i class=\"key items\"></i>✓ items</span><span><i class=\"key replied\"></i>• \
             replied</span><span><i class=\"key failed\"></i>✗ failed</span><span><i class=\"key released\"></i>… let \
             go</span>{waited}</p>\n<div class=\"fall\">",
            Escaped(heading),
            rows.len(),
            milliseconds(span.as_secs_f64() * 1000.0),
        )?;
        writeln!(
            page,
            "<span></span><span class=\"axis\"><b>0</b><b>{}</b><b>{}</b></span>",
            milliseconds(span.as_secs_f64() * 500.0),
            milliseconds(span.as_secs_f64() * 1000.0),
        )?;
        for row in rows.iter().take(ROWS) {
            self.write_row(page, row, span)?;
        }
        page.push_str("</div>\n");
        if rows.len() > ROWS {
            writeln!(page, "<p class=\"quiet\">and {} more</p>", rows.len() - ROWS)?;
        }
        page.push_str("</section>\n");
        Ok(())
    }

    fn write_row(&self, page: &mut String, row: &Row, span: Duration) -> fmt::Result {
        let (class, sign, became) = match row.how {
            Ended::Replied { items: 0 } => ("replied", '•', "replied"),
            Ended::Replied { .. } => ("items", '✓', "replied with items"),
            Ended::Failed => ("failed", '✗', "failed"),
            Ended::Released | Ended::UnderWay => ("released", '…', "let go"),
        };
        let to = row.ended.unwrap_or(self.end);
        let part = |time: Time| (time - self.started).as_secs_f64() / span.as_secs_f64() * 100.0;
        let sent = row.sent.unwrap_or(row.began);
        let took = row.ended.map_or(span, |ended| ended - sent);
        let name = Escaped(&row.name);
        write!(
            page,
            "<span class=\"who\" title=\"{name}\">{sign} <code>{}</code> {}</span><span class=\"track\">",
            Escaped(&row.short),
            Escaped(&row.lane),
        )?;
        if sent > row.began {
            let (from, waited) = (part(row.began), sent - row.began);
            write!(
                page,
                "<i class=\"waited\" style=\"left:{from:.2}%;width:{:.2}%\" title=\"{name}: sent after {}\"></i>",
                (part(sent) - from).max(0.4),
                milliseconds(waited.as_secs_f64() * 1000.0),
            )?;
        }
        writeln!(
            page,
            "<i class=\"{class}\" style=\"left:{:.2}%;width:{:.2}%\" title=\"{name}: {became} after {}{}\"></i></span>",
            part(sent),
            (part(to) - part(sent)).max(0.4),
            milliseconds(took.as_secs_f64() * 1000.0),
            Escaped(&row.why),
        )
    }
}

/// A query whose time is that of the 95th percentile.
fn typical(runs: &[QueryRun]) -> Option<usize> {
    let mut order: Vec<usize> = (0..runs.len()).filter(|n| runs[*n].total().is_some()).collect();
    order.sort_by_key(|n| runs[*n].total());
    order.get(order.len() * 95 / 100).copied()
}
