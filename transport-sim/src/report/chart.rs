//! Curves and bars as SVG, drawn so that they can still be read at the width of a phone.

use std::fmt::{self, Write as _};

use super::milliseconds;
use crate::summary::Latencies;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 30.0;

/// Points of a curve: enough for any screen.
const POINTS: usize = 200;

/// Cumulative distributions over a logarithmic axis of time, with the 50th, 95th and 99th percentile.
pub(super) fn curves(page: &mut String, curves: &[(&str, &Latencies)]) -> fmt::Result {
    let all = || curves.iter().flat_map(|(_, latencies)| latencies.sorted());
    let (Some(min), Some(max)) = (all().min(), all().max()) else {
        page.push_str("<p class=\"quiet\">Nothing was found, and nothing ended.</p>\n");
        return Ok(());
    };
    let (min, max) = (min.as_secs_f64().max(0.001), max.as_secs_f64().max(0.002));
    let (low, high) = (min.log10(), max.log10().max(min.log10() + 0.1));
    let x = |seconds: f64| LEFT + (seconds.max(min).log10() - low) / (high - low) * (WIDTH - LEFT - RIGHT);
    let y = |share: f64| TOP + (1.0 - share) * (HEIGHT - TOP - BOTTOM);
    open(page, "Share of the queries that were done within a time")?;
    for share in [0.0, 0.25, 0.5, 0.75, 0.95, 1.0] {
        let at = y(share);
        writeln!(
            page,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            WIDTH - RIGHT,
            LEFT - 5.0,
            // The last two lie close together.
            if share == 1.0 { at + 1.0 } else { at + 5.0 },
            share * 100.0,
        )?;
    }
    for seconds in ticks(min, max) {
        let at = x(seconds);
        writeln!(
            page,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 16.0,
            label(seconds),
        )?;
    }
    for (class, latencies) in curves {
        curve(page, class, latencies, x, y)?;
    }
    page.push_str("</svg>\n");
    Ok(())
}

fn curve(
    page: &mut String,
    class: &str,
    latencies: &Latencies,
    x: impl Fn(f64) -> f64,
    y: impl Fn(f64) -> f64,
) -> fmt::Result {
    let sorted = latencies.sorted();
    if sorted.is_empty() {
        return Ok(());
    }
    write!(page, "<polyline class=\"curve {class}\" points=\"")?;
    for n in 0..=POINTS.min(sorted.len()) {
        let rank = (sorted.len() - 1) * n / POINTS.min(sorted.len());
        let share = (rank + 1) as f64 / sorted.len() as f64;
        write!(page, "{:.1},{:.1} ", x(sorted[rank].as_secs_f64()), y(share))?;
    }
    page.push_str("\"/>\n");
    for permille in [500, 950, 990] {
        let ms = latencies.permille_ms(permille);
        let (cx, cy) = (x(ms / 1000.0), y(permille as f64 / 1000.0));
        writeln!(
            page,
            "<circle class=\"dot {class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3.5\"><title>p{}: {}</title></circle>",
            permille / 10,
            milliseconds(ms),
        )?;
    }
    Ok(())
}

/// How many queries took how many contacts.
pub(super) fn histogram(page: &mut String, counts: impl Iterator<Item = u32> + Clone) -> fmt::Result {
    const BARS: u32 = 30;
    let max = counts.clone().max().unwrap_or(0);
    let width = (max + 1).div_ceil(BARS).max(1);
    let mut bars = vec![0u64; (max / width + 1) as usize];
    counts.for_each(|count| bars[(count / width) as usize] += 1);
    let most = bars.iter().copied().max().unwrap_or(0).max(1);
    let step = (WIDTH - LEFT - RIGHT) / bars.len() as f64;
    let height = HEIGHT * 0.6;
    writeln!(
        page,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Queries by their number of contacts\">"
    )?;
    for (n, count) in bars.iter().enumerate() {
        let tall = (height - TOP - BOTTOM) * *count as f64 / most as f64;
        let (from, to) = (n as u32 * width, (n as u32 + 1) * width - 1);
        let range = if from == to { from.to_string() } else { format!("{from} to {to}") };
        writeln!(
            page,
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\">\
             <title>{range} contacts: {count} queries</title></rect>",
            LEFT + n as f64 * step + 0.5,
            height - BOTTOM - tall,
            (step - 1.0).max(1.0),
        )?;
    }
    for part in 0..=4u32 {
        let at = f64::from(part) / 4.0;
        let value = (f64::from(max + 1) * at) as u32;
        writeln!(
            page,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>",
            LEFT + f64::from(value / width) * step + if value > max { 0.0 } else { step / 2.0 },
            height - BOTTOM + 16.0,
        )?;
    }
    writeln!(
        page,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{most}</text>\
         <line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\n</svg>",
        LEFT - 5.0,
        TOP + 8.0,
        WIDTH - RIGHT,
        height - BOTTOM,
        height - BOTTOM,
    )
}

fn open(page: &mut String, label: &str) -> fmt::Result {
    writeln!(page, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">")
}

/// 1, 2 and 5 of every power of ten within a range; only the powers if it is wide.
fn ticks(min: f64, max: f64) -> Vec<f64> {
    let decades = (max / min).log10();
    let factors: &[f64] = if decades > 2.5 {
        &[1.0]
    } else if decades > 1.2 {
        &[1.0, 3.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    let powers = (min.log10().floor() as i32)..=(max.log10().ceil() as i32);
    let all = powers.flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)));
    all.filter(|tick| (min..=max).contains(tick)).collect()
}

fn label(seconds: f64) -> String {
    if seconds < 0.999 { format!("{:.0} ms", seconds * 1000.0) } else { format!("{seconds:.0} s") }
}
