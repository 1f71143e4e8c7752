//! The screen: a function of what is known, at any size.

use std::time::Duration;

use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Sparkline, Table};

use super::rates::{Rates, Times};
use crate::duration::show;
use crate::monitor::{PeerLine, QueryLine, Status};

/// From so many columns on, queries and peers stand side by side.
const WIDE: u16 = 130;
/// Rows of a plain picture at most.
const PLAIN_ROWS_MAX: u16 = 60;

/// What is known.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct View {
    /// Whom it is about.
    pub source: String,
    /// What was told last.
    pub status: Option<Status>,
    /// How fast.
    pub rates: Option<Rates>,
    /// Queries started each second, sample by sample, oldest first.
    pub line: Vec<u64>,
    /// Why there is nothing new.
    pub problem: Option<String>,
}

/// Draws it. What has no room is left out: columns first, then the line, then what is under the tables' ends.
pub fn draw(frame: &mut Frame<'_>, view: &View) {
    let area = frame.area();
    let rows = area.height;
    let heads = head(view, area.width, usize::from(rows / 3).max(5));
    let [head, line, tables, foot] = Layout::vertical([
        Constraint::Length(u16::try_from(heads.len()).unwrap_or(u16::MAX).min(rows)),
        Constraint::Length(if rows >= 16 && view.line.len() > 1 { 2 } else { 0 }),
        Constraint::Fill(1),
        Constraint::Length(u16::from(rows >= 6)),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(heads), head);
    draw_line(frame, line, &view.line);
    if let Some(status) = &view.status {
        draw_tables(frame, tables, status);
    }
    let keys = if area.width >= 34 { "q, Esc or Ctrl-C quits" } else { "q quits" };
    frame.render_widget(Paragraph::new(keys).dim(), foot);
}

/// The same as lines of text, without colours or keys.
pub fn plain(view: &View, columns: u16) -> String {
    let listed = view
        .status
        .as_ref()
        .map_or(0, |status| status.queries.len() + status.peers.best.len() + status.peers.worst.len());
    let rows = u16::try_from(listed + 16).unwrap_or(u16::MAX).min(PLAIN_ROWS_MAX);
    let Ok(mut terminal) = Terminal::new(TestBackend::new(columns.max(20), rows));
    let view = View { line: Vec::new(), ..view.clone() };
    let Ok(_) = terminal.draw(|frame| draw(frame, &view));
    let buffer = terminal.backend().buffer();
    let width = usize::from(buffer.area.width);
    let lines = buffer.content.chunks(width).take(usize::from(rows) - 1);
    let lines = lines.map(|cells| cells.iter().map(ratatui::buffer::Cell::symbol).collect::<String>());
    let lines: Vec<String> = lines.map(|line| line.trim_end().to_string()).collect();
    lines.join("\n").trim_end().to_string()
}

/// Who, how much and how fast: as many lines as it takes, or what is most important of each part.
fn head(view: &View, columns: u16, lines_max: usize) -> Vec<Line<'static>> {
    let mut parts = vec![vec![Span::from(view.source.clone()).bold()]];
    let mut lines = Vec::new();
    if let Some(status) = &view.status {
        let (counters, peers) = (&status.counters, &status.peers);
        parts[0].push(Span::from(format!("up {}", brief(millis(status.uptime_ms)))));
        parts.push(vec![
            Span::from(format!("{} live", counters.queries_live)).bold(),
            Span::from(format!("{} ended", counters.queries_finished)),
            Span::from(format!("{} timed out", counters.queries_timed_out)),
            Span::from(format!("{} in flight", counters.contacts_in_flight)),
            Span::from(format!("{} invalid", counters.invalid)),
        ]);
        parts.push(vec![
            Span::from(format!("{} peers", peers.known)).bold(),
            Span::from(format!("{} barred", peers.barred)),
            Span::from(format!("{} in table", peers.routing_table)),
            Span::from(format!("{} connected", peers.connections)),
            Span::from(format!("{} kept answers", counters.cache_entries)),
        ]);
    }
    if let Some(rates) = &view.rates {
        let failed = rates.failed_percent.map(|percent| Span::from(format!("{percent:.0} % fail")));
        let mut fast = vec![
            Span::from(format!("{:.1} queries/s", rates.queries)).bold(),
            Span::from(format!("{:.1} contacts/s", rates.contacts)),
            Span::from(format!("{:.1} results/s", rates.results)),
        ];
        fast.extend(failed);
        parts.push(fast);
        parts.push(
            times("first item", rates.first_item)
                .into_iter()
                .chain(times("response", rates.response_time))
                .collect(),
        );
    }
    let parts: Vec<_> = parts.into_iter().map(|part| wrap(part, columns)).collect();
    let each_max = if parts.iter().map(Vec::len).sum::<usize>() > lines_max { 1 } else { usize::MAX };
    lines.extend(parts.into_iter().flat_map(|part| part.into_iter().take(each_max)));
    match &view.problem {
        Some(problem) => lines.insert(0, Line::from(problem.clone()).style(Style::new().fg(Color::Red))),
        None if view.status.is_none() => lines.push(Line::from("waiting for its status").dim()),
        None => {}
    }
    lines
}

fn times(what: &str, times: Times) -> Vec<Span<'static>> {
    match (times.p50, times.p95) {
        (Some(p50), Some(p95)) => {
            vec![Span::from(format!("{what} p50 {}", show(p50))), Span::from(format!("p95 {}", show(p95)))]
        }
        _ => Vec::new(),
    }
}

/// As many on a line as fit.
fn wrap(parts: Vec<Span<'static>>, columns: u16) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    let mut left = 0;
    for part in parts {
        let width = part.width();
        match lines.last_mut() {
            Some(line) if width + 2 <= left => {
                left -= width + 2;
                line.spans.extend([Span::from("  "), part]);
            }
            _ => {
                left = usize::from(columns).saturating_sub(width);
                lines.push(Line::from(part));
            }
        }
    }
    lines
}

fn draw_line(frame: &mut Frame<'_>, area: Rect, line: &[u64]) {
    let shown = &line[line.len().saturating_sub(usize::from(area.width))..];
    frame.render_widget(Sparkline::default().data(shown).style(Style::new().fg(Color::Cyan)), area);
}

fn draw_tables(frame: &mut Frame<'_>, area: Rect, status: &Status) {
    if area.width >= WIDE {
        let [left, middle, right] =
            Layout::horizontal([Constraint::Fill(6), Constraint::Fill(5), Constraint::Fill(5)])
                .spacing(2)
                .areas(area);
        table(frame, left, "QUERIES, OLDEST FIRST", &QUERIES, &status.queries);
        table(frame, middle, "BEST PEERS", &PEERS, &status.peers.best);
        table(frame, right, "WORST PEERS", &PEERS, &status.peers.worst);
        return;
    }
    let wanted = [&status.queries.len(), &status.peers.best.len(), &status.peers.worst.len()];
    let heights = share(area.height, wanted.map(|lines| u16::try_from(*lines).unwrap_or(u16::MAX)));
    let [queries, best, worst] = Layout::vertical(heights.map(Constraint::Length)).areas(area);
    table(frame, queries, "QUERIES, OLDEST FIRST", &QUERIES, &status.queries);
    table(frame, best, "BEST PEERS", &PEERS, &status.peers.best);
    table(frame, worst, "WORST PEERS", &PEERS, &status.peers.worst);
}

/// How many rows each of three tables gets that has so many lines: a part that is fair, and what others leave.
/// A table takes two rows beside its lines; where there is no room for all of them, the last have none.
fn share(rows: u16, lines: [u16; 3]) -> [u16; 3] {
    let shown = usize::from(rows / 4).clamp(1, 3);
    let wanted = lines.map(|lines| lines.saturating_add(2));
    let mut given = [0; 3];
    for (given, wanted) in given.iter_mut().zip(wanted).take(shown) {
        *given = wanted.min(rows / shown as u16);
    }
    for place in 0..shown {
        let left = rows - given.iter().sum::<u16>();
        given[place] += left.min(wanted[place] - given[place]);
    }
    given
}

/// A column: its heading, how wide it is, how soon it is left out, and its cell.
struct Column<T> {
    name: &'static str,
    /// The first takes what the others leave, and is at least so wide.
    width: u16,
    /// The greatest go first. Those with 0 stay.
    rank: u8,
    cell: fn(&T, usize) -> String,
}

const QUERIES: [Column<QueryLine>; 6] = [
    Column { name: "asks", width: 10, rank: 0, cell: |query, width| start(&query.request, width) },
    Column { name: "age", width: 8, rank: 0, cell: |query, _| brief(millis(query.age_ms)) },
    Column { name: "asked", width: 5, rank: 2, cell: |query, _| query.contacts.to_string() },
    Column { name: "failed", width: 6, rank: 3, cell: |query, _| query.failed.to_string() },
    Column {
        name: "found",
        width: 9,
        rank: 1,
        cell: |query, _| format!("{}/{}", query.results, query.max_results),
    },
    Column { name: "id", width: 8, rank: 4, cell: |query, width| query.id.chars().take(width).collect() },
];

const PEERS: [Column<PeerLine>; 7] = [
    // All begin alike.
    Column { name: "peer", width: 8, rank: 0, cell: |peer, width| end(&peer.peer, width) },
    Column { name: "score", width: 5, rank: 0, cell: |peer, _| peer.score.to_string() },
    Column { name: "takes", width: 8, rank: 1, cell: |peer, _| optional(peer.response_time_ms) },
    Column { name: "good", width: 5, rank: 4, cell: |peer, _| format!("{:.0}", peer.successes) },
    Column { name: "failed", width: 6, rank: 2, cell: |peer, _| format!("{:.0}", peer.failures) },
    Column { name: "invalid", width: 7, rank: 5, cell: |peer, _| format!("{:.0}", peer.invalid) },
    Column { name: "barred", width: 8, rank: 3, cell: |peer, _| optional(peer.barred_for_ms) },
];

fn table<T>(frame: &mut Frame<'_>, area: Rect, title: &str, columns: &[Column<T>], lines: &[T]) {
    if area.height == 0 {
        return;
    }
    let [title_area, area] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let heading = Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD);
    frame.render_widget(
        Paragraph::new(start(title, usize::from(title_area.width))).style(heading),
        title_area,
    );
    let columns = fitting(columns, area.width);
    let (first, rest) = columns.split_first().expect("the first stays");
    let taken: u16 = rest.iter().map(|column| column.width + 1).sum();
    let first_width = area.width.saturating_sub(taken).max(1);
    let width_of = |place: usize| if place == 0 { first_width } else { columns[place].width };
    let cell = |place: usize, text: String| {
        let width = usize::from(width_of(place));
        // What is no text is to the right.
        if place == 0 { text } else { format!("{:>width$}", start(&text, width)) }
    };
    let row = |line: &T| {
        let cells = columns.iter().enumerate();
        Row::new(cells.map(|(place, column)| cell(place, (column.cell)(line, usize::from(width_of(place))))))
    };
    let rows = lines.iter().take(usize::from(area.height)).map(row);
    let names = columns.iter().enumerate().map(|(place, column)| cell(place, column.name.to_string()));
    let widths = std::iter::once(&first_width).copied().chain(rest.iter().map(|column| column.width));
    let table =
        Table::new(rows, widths.map(Constraint::Length)).column_spacing(1).header(Row::new(names).dim());
    debug_assert!(first.rank == 0);
    frame.render_widget(table, area);
}

/// Those that have room, in their order.
fn fitting<T>(columns: &[Column<T>], width: u16) -> Vec<&Column<T>> {
    let mut fitting: Vec<&Column<T>> = columns.iter().collect();
    while fitting.iter().map(|column| column.width + 1).sum::<u16>() > width + 1 {
        let last = fitting.iter().enumerate().max_by_key(|(_, column)| column.rank);
        match last.filter(|(_, column)| column.rank > 0) {
            Some((place, _)) => fitting.remove(place),
            // Too narrow for anything but the first.
            None => return fitting.into_iter().take(1).collect(),
        };
    }
    fitting
}

/// A number of milliseconds that somebody else has told.
fn millis(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1000.0).unwrap_or_default()
}

/// Short enough for a column: `9.99 ms`, `59.90 s`, `9m20s`, `3h05m`, `12d03h`.
fn brief(duration: Duration) -> String {
    let secs = duration.as_secs();
    let parts = |large, small, large_name, small_name| format!("{large}{large_name}{small:02}{small_name}");
    match secs {
        0..60 => show(duration),
        60..3600 => parts(secs / 60, secs % 60, "m", "s"),
        3600..86_400 => parts(secs / 3600, secs / 60 % 60, "h", "m"),
        _ => parts(secs / 86_400, secs / 3600 % 24, "d", "h"),
    }
}

fn optional(told: Option<f64>) -> String {
    told.map_or_else(String::new, |told| brief(millis(told)))
}

fn start(text: &str, width: usize) -> String {
    console::truncate_str(text, width, "…").into_owned()
}

/// The end of a text, with a sign that it is not all.
fn end(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_string();
    }
    let kept: String = text.chars().skip(length + 1 - width.max(1)).collect();
    format!("…{kept}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::{Counters, PeersStatus};

    fn view() -> View {
        let query = |n: u32| QueryLine {
            id: format!("{n:08}-1111-4111-8111-111111111111"),
            request: "search async runtime".to_string(),
            age_ms: 1_000_000.0 / f64::from(n + 1),
            contacts: 12 * n,
            replied: 9,
            failed: 3,
            results: n,
            max_results: 20,
        };
        let peer = |n: u16| PeerLine {
            peer: format!("12D3KooWGRUgKGhwZc8pVHyYbDqQDLtVcvfKhNqNWZPtkEXKz{n:04}"),
            score: 1000 - 10 * n,
            successes: 41.0,
            failures: f64::from(n),
            invalid: 0.0,
            response_time_ms: Some(12.34),
            barred_for_ms: (n > 90).then_some(540_000.0),
        };
        let counters = Counters { queries_live: 30, queries_finished: 1234, ..Counters::default() };
        let best = (0..30).map(peer).collect();
        let worst = (90..95).rev().map(peer).collect();
        let peers = PeersStatus { known: 300, barred: 4, routing_table: 120, connections: 17, best, worst };
        let status = Status {
            peer: "12D3KooW".to_string(),
            uptime_ms: 3_725_000.0,
            queries: (0..30).map(query).collect(),
            peers,
            counters,
            ..Status::default()
        };
        let times = Times { p50: Some(Duration::from_millis(12)), p95: Some(Duration::from_millis(480)) };
        let rates = Rates {
            queries: 41.5,
            contacts: 310.0,
            results: 120.25,
            failed_percent: Some(7.4),
            first_item: times,
            response_time: times,
        };
        let line = (0..60).collect();
        View {
            source: "127.0.0.1:9090".to_string(),
            status: Some(status),
            rates: Some(rates),
            line,
            problem: None,
        }
    }

    fn screen(view: &View, columns: u16, rows: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| draw(frame, view)).unwrap();
        let cells = terminal.backend().buffer().content.chunks(usize::from(columns).max(1));
        let lines = cells.map(|cells| cells.iter().map(ratatui::buffer::Cell::symbol).collect::<String>());
        lines.map(|line| line.trim_end().to_string()).collect()
    }

    #[track_caller]
    fn has(screen: &[String], part: &str) {
        assert!(screen.iter().any(|line| line.contains(part)), "no {part:?} in\n{}", screen.join("\n"));
    }

    #[test]
    fn eighty_columns_show_every_figure_and_all_but_the_last_columns() {
        let screen = screen(&view(), 80, 40);
        for part in [
            "127.0.0.1:9090  up 1h02m",
            "30 live  1234 ended",
            "300 peers  4 barred  120 in table  17 connected",
            "41.5 queries/s  310.0 contacts/s  120.2 results/s  7 % fail",
            "first item p50 12.0 ms  p95 480 ms",
            "search async runtime",
            "00000000",
            "16m40s",
            "QUERIES, OLDEST FIRST",
            "BEST PEERS",
            "WORST PEERS",
            "score",
            "9m00s",
            "q, Esc or Ctrl-C quits",
            "█",
        ] {
            has(&screen, part);
        }
    }

    #[test]
    fn forty_columns_leave_columns_out_and_no_table() {
        let screen = screen(&view(), 40, 24);
        for part in
            ["41.5 queries/s", "16m40s", "BEST PEERS", "WORST PEERS", "score", "1000", "q, Esc or Ctrl-C"]
        {
            has(&screen, part);
        }
        assert!(
            !screen.iter().any(|line| line.contains("00000000-")),
            "the id has no room\n{}",
            screen.join("\n")
        );
    }

    #[test]
    fn twenty_columns_show_what_matters_most() {
        let screen = screen(&view(), 20, 24);
        for part in [
            "127.0.0.1:9090",
            "30 live",
            "300 peers",
            "41.5 queries/s",
            "search asy…",
            "16m40s",
            "1000",
            "q quits",
        ] {
            has(&screen, part);
        }
        let uncut = screen.iter().all(|line| line.chars().count() <= 20);
        assert!(uncut, "{}", screen.join("\n"));
    }

    #[test]
    fn two_hundred_columns_set_the_tables_side_by_side() {
        let screen = screen(&view(), 200, 40);
        let heading = screen.iter().find(|line| line.contains("QUERIES, OLDEST")).unwrap();
        assert!(heading.contains("BEST PEERS") && heading.contains("WORST PEERS"), "{heading}");
        has(&screen, "invalid");
        has(&screen, "00000001");
    }

    #[test]
    fn no_size_is_too_small() {
        let views = [view(), View::default(), View { problem: Some("gone".to_string()), ..view() }];
        for view in &views {
            for (columns, rows) in [0, 1, 2, 3, 5, 8, 13, 19, 20, 21]
                .into_iter()
                .flat_map(|columns| (0..=18).map(move |rows| (columns, rows)))
            {
                screen(view, columns, rows);
            }
        }
        has(&screen(&view(), 20, 1), "127.0.0.1:9090");
    }

    #[test]
    fn a_problem_stands_above_what_was_told_last() {
        let view = View { problem: Some("127.0.0.1:9090 cannot be reached".to_string()), ..view() };
        let screen = screen(&view, 80, 30);
        assert!(screen[0].contains("cannot be reached"), "{screen:?}");
        has(&screen, "41.5 queries/s");
        has(&self::screen(&View::of("x".to_string()), 80, 5), "waiting for its status");
    }

    #[test]
    fn a_plain_picture_has_all_lines_and_no_keys() {
        let text = plain(&view(), 80);
        assert!(
            text.contains("41.5 queries/s") && text.contains("WORST PEERS") && text.contains("9m00s"),
            "{text}"
        );
        assert!(!text.contains("quits") && !text.contains('\x1b') && !text.ends_with('\n'), "{text}");
        assert_eq!(plain(&View::of("x".to_string()), 80), "x\nwaiting for its status");
    }

    #[test]
    fn what_a_stranger_tells_moves_no_cursor() {
        let mut view = view();
        let status = view.status.as_mut().unwrap();
        status.queries[0].request = "a\x1b[2J\nb".to_string();
        status.queries[0].age_ms = f64::NAN;
        status.uptime_ms = -1.0;
        status.peers.best[0].response_time_ms = Some(f64::MAX);
        let text = plain(&view, 200);
        assert!(!text.contains('\x1b') && text.contains("[2J"), "{text}");
    }
}
