//! The page of a recording of a driver.

use std::fmt::{self, Write as _};
use std::time::Duration;

use dragnet_core::Step;

use super::waterfall::{Fall, Row};
use super::{Escaped, milliseconds, thousands};
use crate::flight::{Flight, FlownContact, FlownQuery};

/// Queries that are listed.
const LISTED: usize = 200;

/// Draws a recording: what it is, the contacts of one query, or of the slowest, and the list of all of them.
/// `command` draws the page again.
pub fn flight_html(flight: &Flight, query: Option<usize>, command: &str) -> String {
    let mut page = String::new();
    write(&mut page, flight, query, command).expect("a string takes all that is written");
    page
}

fn write(page: &mut String, flight: &Flight, query: Option<usize>, command: &str) -> fmt::Result {
    let local = flight.head.local.to_string();
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{local}: Dragnet recording</title>\n<style>\n{style}</style>\n</head>\n<body>\n\
         <header>\n<h1>A node's recording</h1>\n<p>Of <code>{local}</code>, by {program}. Draw it again with</p>\n\
         <pre>{command}</pre>\n",
        local = Escaped(&local),
        style = include_str!("style.css"),
        program =
            Escaped(if flight.head.program.is_empty() { "an unnamed program" } else { &flight.head.program }),
        command = Escaped(command),
    )?;
    verdict(page, flight)?;
    page.push_str("</header>\n<main>\n");
    tiles(page, flight)?;
    let shown = query.or_else(|| flight.slowest());
    if let Some(number) = shown {
        fall(number, &flight.queries[number]).write(page)?;
    }
    list(page, flight, shown)?;
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

fn verdict(page: &mut String, flight: &Flight) -> fmt::Result {
    match flight.differs_at {
        None => writeln!(
            page,
            "<p class=\"quiet\">Replayed: the outputs of all {} inputs are the recorded ones. The file is {}.</p>",
            thousands(flight.inputs),
            Escaped(&flight.ending.to_string()),
        ),
        Some((number, at)) => writeln!(
            page,
            "<p class=\"broken\">Replayed: the outputs differ from the recorded ones first at input {number}, at {at:?}. \
             The file is {}.</p>",
            Escaped(&flight.ending.to_string()),
        ),
    }
}

fn tiles(page: &mut String, flight: &Flight) -> fmt::Result {
    let span = flight.span.map_or(Duration::ZERO, |(first, last)| last - first);
    let queries = &flight.queries;
    let found = queries.iter().filter(|query| query.results() > 0).count();
    let contacts: usize = queries.iter().map(|query| query.contacts.len()).sum();
    let tiles = [
        ("queries", thousands(queries.len() as u64)),
        ("found something", thousands(found as u64)),
        ("contacts", thousands(contacts as u64)),
        ("inputs", thousands(flight.inputs)),
        ("time", milliseconds(span.as_secs_f64() * 1000.0)),
        ("bytes", thousands(flight.bytes)),
    ];
    page.push_str("<dl class=\"tiles\">\n");
    for (name, value) in tiles {
        writeln!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    page.push_str("</dl>\n");
    Ok(())
}

fn fall(number: usize, query: &FlownQuery) -> Fall {
    let last = query.contacts.iter().flat_map(|contact| [Some(contact.began), contact.ended]).flatten().max();
    let text = if query.text.is_empty() { String::new() } else { format!(" \u{201c}{}\u{201d}", query.text) };
    Fall {
        heading: format!("Query {number}: {}{text}", query.kind),
        reason: query.reason(),
        results: query.results(),
        started: query.started,
        end: query.ended.or(last).unwrap_or(query.started),
        rows: query.contacts.iter().map(row).collect(),
    }
}

fn row(contact: &FlownContact) -> Row {
    let (name, short) = match &contact.peer {
        // The end of an id: many begin alike.
        Some(name) => (name.clone(), name.chars().skip(name.chars().count().saturating_sub(6)).collect()),
        None => ("a lookup left to the transport".to_owned(), "lookup".to_owned()),
    };
    let lane = match (contact.step, contact.shared_bits) {
        (Step::Fetch, _) => "F".to_owned(),
        (Step::Route(_), Some(bits)) => bits.to_string(),
        (Step::Route(_), None) => String::new(),
    };
    Row {
        short,
        name,
        lane,
        began: contact.began,
        sent: contact.sent,
        ended: contact.ended,
        how: contact.how,
        why: contact.failure.map(|failure| format!(": {failure:?}")).unwrap_or_default(),
    }
}

fn list(page: &mut String, flight: &Flight, shown: Option<usize>) -> fmt::Result {
    page.push_str(
        "<section>\n<h2>Queries</h2>\n<div class=\"wide\"><table>\n<tr><th>number</th><th>what</th><th>ended</th>\
         <th>items</th><th>contacts</th><th>failed</th><th>took</th></tr>\n",
    );
    for (number, query) in flight.queries.iter().enumerate().take(LISTED) {
        let failed = query.outcome.as_ref().map_or(0, |outcome| outcome.stats.failed);
        let took = query.took().map_or_else(String::new, |took| milliseconds(took.as_secs_f64() * 1000.0));
        let class = if shown == Some(number) { " class=\"chosen\"" } else { "" };
        let text: String = query.text.chars().take(40).collect();
        writeln!(
            page,
            "<tr{class}><td>{number}</td><td>{} {}</td><td>{}</td><td>{}</td><td>{}</td><td>{failed}</td><td>{took}</td></tr>",
            Escaped(&query.kind),
            Escaped(&text),
            query.reason(),
            query.results(),
            query.contacts.len(),
        )?;
    }
    page.push_str("</table></div>\n");
    if flight.queries.len() > LISTED {
        writeln!(page, "<p class=\"quiet\">and {} more</p>", flight.queries.len() - LISTED)?;
    }
    page.push_str("</section>\n");
    Ok(())
}
