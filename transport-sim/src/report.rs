//! The picture of a run: one HTML file that needs nothing else.

mod chart;
mod flight;
mod waterfall;

use std::fmt::{self, Write as _};

pub use flight::flight_html;

use crate::experiment::Experiment;
use crate::judge::Broken;
use crate::summary::{Latencies, Summary};

/// What a report shows beside the run itself.
#[derive(Clone, Debug, Default)]
pub struct Show<'a> {
    /// The command that makes the same run again.
    pub command: &'a str,
    /// The number of the query whose contacts are shown; without, one that took as long as the 95th
    /// percentile.
    pub query: Option<usize>,
    /// Promises that were not kept.
    pub broken: &'a [Broken],
}

/// Draws the report. The contacts of a query are shown if the run kept a trace.
pub fn html(experiment: &Experiment, summary: &Summary, show: &Show<'_>) -> String {
    let mut page = String::new();
    write(&mut page, experiment, summary, show).expect("a string takes all that is written");
    page
}

fn write(page: &mut String, experiment: &Experiment, summary: &Summary, show: &Show<'_>) -> fmt::Result {
    let name = Escaped(&summary.scenario);
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{name}, seed {seed}: Dragnet simulation</title>\n<style>\n{style}</style>\n</head>\n<body>\n\
         <header>\n<h1>{name}</h1>\n<p>Reproduce with seed <b>{seed}</b>:</p>\n<pre>{command}</pre>\n\
         <p class=\"quiet\">Digest <code>{digest}</code>: the same command prints the same.</p>\n</header>\n<main>\n",
        seed = summary.seed,
        style = include_str!("report/style.css"),
        command = Escaped(show.command),
        digest = summary.digest,
    )?;
    tiles(page, summary)?;
    promises(page, show.broken)?;
    latencies(page, experiment, summary)?;
    contacts(page, experiment, summary)?;
    bars(page, "How the queries ended", "queries", summary.reasons.iter().map(|(k, v)| (k.as_str(), *v)))?;
    let title = format!("Faults: {} listed, and how often each kind struck", summary.faults_listed);
    bars(page, &title, "strikes", summary.faults.iter().map(|(k, v)| (*k, *v)))?;
    waterfall::write(page, experiment, show.query)?;
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

fn tiles(page: &mut String, summary: &Summary) -> fmt::Result {
    let tiles = [
        ("peers", thousands(u64::from(summary.peers))),
        ("queries", thousands(summary.lookups)),
        ("found", percent(summary.found_share)),
        ("median", milliseconds(summary.p50_ms)),
        ("95th percentile", milliseconds(summary.p95_ms)),
        ("contacts a query", format!("{:.1}", summary.contacts_per_lookup)),
        ("messages lost", thousands(summary.messages_lost)),
        ("virtual time", format!("{:.1} s", summary.virtual_seconds)),
        ("events", thousands(summary.events)),
        ("events a second", thousands(summary.events_per_second as u64)),
    ];
    page.push_str("<dl class=\"tiles\">\n");
    for (name, value) in tiles {
        writeln!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    page.push_str("</dl>\n");
    Ok(())
}

fn promises(page: &mut String, broken: &[Broken]) -> fmt::Result {
    if broken.is_empty() {
        return Ok(());
    }
    const SHOWN: usize = 20;
    writeln!(page, "<section class=\"broken\"><h2>{} broken promises</h2><ul>", broken.len())?;
    for broken in broken.iter().take(SHOWN) {
        writeln!(page, "<li>{}</li>", Escaped(&broken.to_string()))?;
    }
    if broken.len() > SHOWN {
        writeln!(page, "<li>and {} more</li>", broken.len() - SHOWN)?;
    }
    page.push_str("</ul></section>\n");
    Ok(())
}

fn latencies(page: &mut String, experiment: &Experiment, summary: &Summary) -> fmt::Result {
    let runs = experiment.sim.queries();
    let firsts = Latencies::new(runs.iter().filter_map(|run| run.first_item()));
    let totals = Latencies::new(runs.iter().filter_map(|run| run.total()));
    page.push_str("<section>\n<h2>How long it took</h2>\n");
    chart::curves(page, &[("first", &firsts), ("total", &totals)])?;
    page.push_str(
        "<table>\n<tr><th></th><th>half within</th><th>95 % within</th><th>99 % within</th></tr>\n",
    );
    let rows = [
        (
            "first",
            "first item",
            summary.first_item_p50_ms,
            summary.first_item_p95_ms,
            summary.first_item_p99_ms,
        ),
        ("total", "whole query", summary.p50_ms, summary.p95_ms, summary.p99_ms),
    ];
    for (class, name, p50, p95, p99) in rows {
        if class == "first" && firsts.sorted().is_empty() {
            continue;
        }
        let [p50, p95, p99] = [p50, p95, p99].map(milliseconds);
        writeln!(
            page,
            "<tr><th><i class=\"key {class}\"></i>{name}</th><td>{p50}</td><td>{p95}</td><td>{p99}</td></tr>"
        )?;
    }
    page.push_str("</table>\n</section>\n");
    Ok(())
}

fn contacts(page: &mut String, experiment: &Experiment, summary: &Summary) -> fmt::Result {
    let runs = experiment.sim.queries();
    let contacts = runs.iter().filter_map(|run| run.outcome.as_ref()).map(|o| o.stats.contacted);
    writeln!(page, "<section>\n<h2>Contacts a query: {:.1} on average</h2>", summary.contacts_per_lookup)?;
    chart::histogram(page, contacts)?;
    page.push_str("</section>\n");
    Ok(())
}

/// A table of counts, each with a bar.
fn bars<'a>(
    page: &mut String,
    title: &str,
    what: &str,
    counts: impl Iterator<Item = (&'a str, u64)> + Clone,
) -> fmt::Result {
    let max = counts.clone().map(|(_, count)| count).max().unwrap_or(0).max(1);
    writeln!(page, "<section>\n<h2>{}</h2>", Escaped(title))?;
    if counts.clone().next().is_none() {
        page.push_str("<p class=\"quiet\">Nothing.</p>\n");
    }
    page.push_str("<div class=\"bars\">\n");
    for (name, count) in counts {
        writeln!(
            page,
            "<span>{}</span><span class=\"track\"><i style=\"width:{:.2}%\"></i></span>\
             <span class=\"count\" title=\"{count} {what}\">{}</span>",
            Escaped(name),
            count as f64 / max as f64 * 100.0,
            thousands(count),
        )?;
    }
    page.push_str("</div>\n</section>\n");
    Ok(())
}

/// Text that stands for itself in HTML.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

/// A number with thin spaces between its thousands.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn milliseconds(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.0} ms") } else { format!("{:.2} s", ms / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_numbers_are_written_for_people_and_browsers() {
        assert_eq!(Escaped("<a b='1'>&\"").to_string(), "&lt;a b=&#39;1&#39;&gt;&amp;&quot;");
        assert_eq!(thousands(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((thousands(0), thousands(999)), ("0".to_owned(), "999".to_owned()));
        assert_eq!((milliseconds(12.4), milliseconds(1_234.0)), ("12 ms".to_owned(), "1.23 s".to_owned()));
    }
}
