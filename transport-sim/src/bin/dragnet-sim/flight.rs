//! `replay` of a driver's recording.

use std::fs::File;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use dragnet_core::{Step, Time};
use dragnet_sim::Ended;
use dragnet_sim::flight::{Flight, FlownContact, FlownQuery};
use dragnet_sim::record::write_whole;
use dragnet_sim::report;
use serde_json::{Value, json};

use crate::args::Replay;

/// What of a recording is there is the same, but not all of it is there.
const CUT_OFF: u8 = 3;

/// Queries that are listed in a terminal.
const LISTED: usize = 50;

/// Columns of a bar in a terminal.
const BAR: usize = 40;

pub(crate) fn replay(args: &Replay) -> Result<ExitCode> {
    let path = args.file.display();
    let file = File::open(&args.file).with_context(|| format!("{path}: cannot be opened"))?;
    let flight = Flight::replay(file).map_err(|error| anyhow!("{path}: {error}"))?;
    let query = args.query.as_deref().map(|named| find(&flight, named)).transpose()?;
    if let Some(page) = &args.report {
        let chosen = args.query.as_deref().map(|named| format!(" --query {named}")).unwrap_or_default();
        let command = format!("dragnet-sim replay {path}{chosen} --report {}", page.display());
        let html = report::flight_html(&flight, query, &command);
        let written = write_whole(page, html.as_bytes());
        written.with_context(|| format!("{}: cannot be written", page.display()))?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&as_json(&flight, query))?);
    } else {
        print(&flight, query);
    }
    if !flight.is_whole() {
        eprintln!("{path}: {}", flight.ending);
    }
    match flight.differs_at {
        Some((number, at)) => {
            eprintln!("not the same: the outputs differ first at input {number}, at {at:?}");
            Ok(ExitCode::FAILURE)
        }
        None if flight.is_whole() => Ok(ExitCode::SUCCESS),
        None => Ok(ExitCode::from(CUT_OFF)),
    }
}

fn find(flight: &Flight, named: &str) -> Result<usize> {
    let queries = flight.queries.len();
    flight.find(named).ok_or_else(|| match queries.checked_sub(1) {
        None => anyhow!("--query {named}: there is no query in the recording"),
        Some(last) => anyhow!("--query {named}: write a number from 0 to {last}, or the beginning of an id"),
    })
}

fn print(flight: &Flight, query: Option<usize>) {
    let (first, last) = flight.span.unwrap_or_default();
    let line = |name: &str, value: &str| println!("{name:>10}  {value}");
    line("node", &plain(&flight.head.local.to_string()));
    line("program", &plain(&flight.head.program));
    if let Some(began) = flight.head.began {
        line("began", &date(began + (first - Time::ZERO)));
    }
    line("span", &show(last - first));
    line("inputs", &flight.inputs.to_string());
    line("file", &format!("{} bytes, {}", flight.bytes, flight.ending));
    if flight.differs_at.is_none() {
        line("outputs", "the recorded ones");
    }
    if flight.is_early() {
        line("missing", "what the engine was told after it: the recording had stopped");
    }
    line("queries", &flight.queries.len().to_string());
    if let Some(number) = query {
        return print_query(number, &flight.queries[number]);
    }
    if flight.queries.is_empty() {
        return;
    }
    println!(
        "\n{:>6}  {:<8}  {:<9}  {:>9}  {:>9}  items  contacts  ended",
        "query", "id", "kind", "at", "took"
    );
    for (number, query) in flight.queries.iter().enumerate().take(LISTED) {
        let took = query.took().map_or_else(String::new, show);
        let at = show(query.started - first);
        println!(
            "{number:>6}  {:<8}  {:<9}  {at:>9}  {took:>9}  {:>5}  {:>8}  {} {}",
            short_id(query),
            plain(&query.kind),
            query.results(),
            query.contacts.len(),
            query.reason(),
            plain(&query.text),
        );
    }
    if flight.queries.len() > LISTED {
        println!("        and {} more", flight.queries.len() - LISTED);
    }
}

/// The waterfall of one query, in a terminal.
fn print_query(number: usize, query: &FlownQuery) {
    let took = query.took().unwrap_or_default();
    println!(
        "\nquery {number}, {} {}: {} items, {} contacts, {} in {}\n",
        plain(&query.kind),
        plain(&query.text),
        query.results(),
        query.contacts.len(),
        query.reason(),
        show(took)
    );
    waterfall(query).for_each(|line| println!("{line}"));
}

/// A line for each contact.
fn waterfall(query: &FlownQuery) -> impl Iterator<Item = String> {
    // A cut may have left a contact that began after all that is known to have ended.
    let times = query.contacts.iter().flat_map(|contact| [Some(contact.began), contact.sent, contact.ended]);
    let end = times.flatten().chain(query.ended).max().unwrap_or(query.started);
    let span = (end - query.started).max(Duration::from_nanos(1));
    let column = move |time: Time| {
        let share = (time - query.started).as_secs_f64() / span.as_secs_f64();
        ((share * BAR as f64) as usize).min(BAR)
    };
    query.contacts.iter().map(move |contact| {
        let (sent, ended) = (contact.sent.unwrap_or(contact.began), contact.ended.unwrap_or(end));
        let (begins, sends, ends) = (column(contact.began), column(sent), column(ended));
        let bar = format!(
            "{}{}{}",
            " ".repeat(begins),
            "·".repeat(sends.saturating_sub(begins)),
            "█".repeat(ends.saturating_sub(sends).max(1))
        );
        let (lane, what) = (lane(contact), ended_as(contact));
        let who = plain(contact.peer.as_deref().unwrap_or("lookup"));
        let who: String = who.chars().skip(who.chars().count().saturating_sub(8)).collect();
        format!("{who:>8} {lane:>5}  {bar:<width$}  {:>9}  {what}", show(ended - sent), width = BAR + 1)
    })
}

/// A text from a file, as a terminal may show it: what would move its cursor or change its colours, or the
/// order of the letters, is spelt out.
fn plain(text: &str) -> String {
    let is_order =
        |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_order(c) { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    plain
}

fn lane(contact: &FlownContact) -> String {
    match (contact.step, contact.shared_bits) {
        (Step::Fetch, _) => "fetch".to_owned(),
        (Step::Route(_), Some(bits)) => bits.to_string(),
        (Step::Route(_), None) => String::new(),
    }
}

fn ended_as(contact: &FlownContact) -> String {
    match (contact.how, contact.failure) {
        (Ended::Replied { items: 0 }, _) => "replied".to_owned(),
        (Ended::Replied { items }, _) => format!("{items} items"),
        (Ended::Failed, Some(failure)) => format!("failed: {failure:?}"),
        (Ended::Failed, None) => "failed".to_owned(),
        (Ended::Released, _) => "let go".to_owned(),
        _ => "under way".to_owned(),
    }
}

fn short_id(query: &FlownQuery) -> String {
    query.id.map_or_else(String::new, |id| id.to_string()[..8].to_owned())
}

fn show(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    if ms < 1000.0 { format!("{ms:.1} ms") } else { format!("{:.2} s", ms / 1000.0) }
}

/// A time since the Unix epoch as a date, by Hinnant's algorithm for the civil calendar.
fn date(since: Duration) -> String {
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

fn as_json(flight: &Flight, query: Option<usize>) -> Value {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let queries = flight.queries.iter().enumerate().map(|(number, query)| {
        json!({
            "number": number,
            "id": query.id.map(|id| id.to_string()),
            "kind": query.kind,
            "text": query.text,
            "started_ns": query.started.as_nanos(),
            "took_ns": query.took().map(nanos),
            "reason": query.reason(),
            "results": query.results(),
            "contacts": query.contacts.len(),
            "failed": query.outcome.as_ref().map(|outcome| outcome.stats.failed),
        })
    });
    let queries: Vec<Value> = queries.collect();
    let contacts =
        query.map(|number| flight.queries[number].contacts.iter().map(contact_json).collect::<Vec<_>>());
    json!({
        "node": flight.head.local.to_string(),
        "program": flight.head.program,
        "began_unix_ms": flight.head.began.map(|began| u64::try_from(began.as_millis()).unwrap_or(u64::MAX)),
        "inputs": flight.inputs,
        "bytes": flight.bytes,
        "is_whole": flight.is_whole(),
        "ending": flight.ending.to_string(),
        "inputs_are_missing_after_it": flight.is_early(),
        "outputs_are_the_recorded_ones": flight.differs_at.is_none(),
        "first_difference": flight.differs_at.map(|(number, at)| json!({"input": number, "at_ns": at.as_nanos()})),
        "queries": queries,
        "contacts": contacts,
    })
}

fn contact_json(contact: &FlownContact) -> Value {
    json!({
        "peer": contact.peer,
        "lane": lane(contact),
        "began_ns": contact.began.as_nanos(),
        "sent_ns": contact.sent.map(|sent| sent.as_nanos()),
        "ended_ns": contact.ended.map(|ended| ended.as_nanos()),
        "how": ended_as(contact),
    })
}

#[cfg(test)]
mod tests {
    use dragnet_core::front::FrontConfig;
    use dragnet_core::record::{RecordConfig, Recorder};
    use dragnet_sim::{Request, Sim, SimConfig, SimNet, all_sound};

    use super::*;

    #[test]
    fn the_waterfall_of_a_recording_stays_within_its_columns_wherever_that_was_cut() {
        let config = RecordConfig::default().with_block_bytes(1).with_blocks_waiting_max(10_000);
        let (recorder, writer) = Recorder::<SimNet>::new(config, [3; 16]);
        let mut sim = Sim::new(SimConfig::new(300).with_seed(11)).expect("good settings");
        let client = sim.recorded_front(FrontConfig::default(), None, recorder);
        let asked = Request::Search(dragnet_core::Key::of(b"what")).query().shared_validator(all_sound());
        sim.ask(client, Time::from_millis(5), asked);
        sim.run();
        drop(sim);
        let mut file = Vec::new();
        writer.run(&mut file).expect("memory takes it");
        let mut drawn = 0;
        for length in (0..file.len()).step_by(40) {
            let Ok(flight) = Flight::replay(&file[..length]) else { continue };
            for mut query in flight.queries {
                let lines: Vec<String> = waterfall(&query).collect();
                assert!(lines.iter().all(|line| line.chars().count() < 120), "{lines:#?}");
                drawn += lines.len();
                // What a damaged one might say: all at once, or backwards.
                query.started = query.started + Duration::from_secs(1);
                query.contacts.iter_mut().for_each(|contact| contact.sent = Some(Time::ZERO));
                assert!(waterfall(&query).all(|line| line.chars().count() < 120));
            }
        }
        assert!(drawn > 100, "{drawn} lines");
    }

    #[test]
    fn a_text_from_a_file_leaves_the_terminal_as_it_is() {
        assert_eq!(plain("a\u{1b}[2Jb\r\nc\u{9b}d\u{202e}é"), "a\\u{1b}[2Jb\\r\\nc\\u{9b}d\\u{202e}é");
    }

    #[test]
    fn a_date_is_that_of_the_calendar() {
        assert_eq!(date(Duration::ZERO), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(Duration::from_secs(951_782_400 + 3_661)), "2000-02-29 01:01:01 UTC");
        assert_eq!(date(Duration::from_secs(1_709_164_800)), "2024-02-29 00:00:00 UTC");
    }
}
