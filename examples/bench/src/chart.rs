//! Lines over two logarithmic axes as SVG: on light and on dark pages, and at the width of a phone.

use std::fmt::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 44.0;

/// Colours that can be told apart by most, on either ground; and each line has a mark of its own.
const STYLE: &str = "\
:root { --ink: #1f2328; --quiet: #59636e; --grid: #d1d9e0; --ground: #ffffff;
  --a: #0969da; --b: #bc4c00; --c: #1a7f37; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f0f6fc; --quiet: #9198a1; --grid: #3d444d; --ground: #0d1117;
    --a: #4493f8; --b: #f0883e; --c: #3fb950; } }
.ground { fill: var(--ground); }
text { font: 13px system-ui, sans-serif; fill: var(--quiet); }
.title { font-size: 15px; font-weight: 600; fill: var(--ink); }
.name { fill: var(--ink); }
.grid { stroke: var(--grid); stroke-width: 1; }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
.a { stroke: var(--a); } .b { stroke: var(--b); } .c { stroke: var(--c); }
.mark { stroke-width: 1.5; }
.mark.a { fill: var(--a); } .mark.b { fill: var(--b); } .mark.c { fill: var(--c); }
";

/// Class names of the lines, in order.
const CLASSES: [&str; 3] = ["a", "b", "c"];

pub(crate) struct Chart {
    pub(crate) title: String,
    /// What the horizontal axis counts.
    pub(crate) x: String,
    /// Of the vertical axis: `ns` or `B`.
    pub(crate) unit: &'static str,
    pub(crate) series: Vec<Series>,
}

/// One line. Points are above zero, from left to right.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// One axis: powers of ten from `low` to `high`, drawn from one place to another.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn around(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (min, max) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(min, max), v| (min.min(v), max.max(v)));
        // A point that is a power of ten but for rounding is to lie on the line.
        let low = (min.log10() + 1e-9).floor();
        let high = (max.log10() - 1e-9).ceil().max(low + 1.0);
        Self { low, high, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value.log10() - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    fn powers(&self) -> impl Iterator<Item = f64> {
        (self.low as i32..=self.high as i32).map(|power| 10f64.powi(power))
    }
}

impl Chart {
    /// Writes it as a file, making the folder if there is none.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        std::fs::write(file, self.svg()).with_context(|| format!("cannot write {}", file.display()))
    }

    pub(crate) fn svg(&self) -> String {
        let mut page = String::new();
        self.draw(&mut page).expect("a string takes all");
        page
    }

    fn draw(&self, page: &mut String) -> fmt::Result {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Axis::around(points().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let y = Axis::around(points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
        writeln!(
            page,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{} against {}\">\n<style>\n{STYLE}</style>\n\
             <rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\n\
             <text class=\"title\" x=\"{}\" y=\"22\">{}</text>",
            self.title, self.x, RIGHT, self.title,
        )?;
        self.legend(page)?;
        self.grid(page, &x, &y)?;
        for (series, class) in self.series.iter().zip(CLASSES) {
            self.line(page, series, class, &x, &y)?;
        }
        page.push_str("</svg>\n");
        Ok(())
    }

    fn legend(&self, page: &mut String) -> fmt::Result {
        let mut left = RIGHT;
        for (series, class) in self.series.iter().zip(CLASSES) {
            writeln!(
                page,
                "<line class=\"line {class}\" x1=\"{left}\" x2=\"{}\" y1=\"42\" y2=\"42\"/>",
                left + 22.0
            )?;
            mark(page, class, left + 11.0, 42.0, None)?;
            writeln!(page, "<text class=\"name\" x=\"{}\" y=\"46.5\">{}</text>", left + 28.0, series.name)?;
            // Letters of this size are 7 wide, about.
            left += 28.0 + series.name.len() as f64 * 7.2 + 18.0;
        }
        Ok(())
    }

    fn grid(&self, page: &mut String, x: &Axis, y: &Axis) -> fmt::Result {
        for power in y.powers() {
            let at = y.at(power);
            writeln!(
                page,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 7.0,
                at + 4.5,
                with_unit(power, self.unit),
            )?;
        }
        for power in x.powers() {
            let at = x.at(power);
            writeln!(
                page,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{}\">{}</text>",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 17.0,
                // The last would stick out.
                if at > WIDTH - RIGHT - 1.0 { "end" } else { "middle" },
                count(power),
            )?;
        }
        writeln!(
            page,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 8.0,
            self.x,
        )
    }

    fn line(&self, page: &mut String, series: &Series, class: &str, x: &Axis, y: &Axis) -> fmt::Result {
        if series.points.is_empty() {
            return Ok(());
        }
        write!(page, "<polyline class=\"line {class}\" points=\"")?;
        for (across, up) in &series.points {
            write!(page, "{:.1},{:.1} ", x.at(*across), y.at(*up))?;
        }
        page.push_str("\"/>\n");
        for &(across, up) in &series.points {
            let title =
                format!("{}, {} {}: {}", series.name, count(across), self.x, with_unit(up, self.unit));
            mark(page, class, x.at(across), y.at(up), Some(&title))?;
        }
        Ok(())
    }
}

/// A disc, a square or a triangle.
fn mark(page: &mut String, class: &str, x: f64, y: f64, title: Option<&str>) -> fmt::Result {
    let title = title.map_or_else(String::new, |title| format!("<title>{title}</title>"));
    match class {
        "a" => {
            writeln!(page, "<circle class=\"mark a\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\">{title}</circle>")
        }
        "b" => writeln!(
            page,
            "<rect class=\"mark b\" x=\"{:.1}\" y=\"{:.1}\" width=\"6.4\" height=\"6.4\">{title}</rect>",
            x - 3.2,
            y - 3.2,
        ),
        _ => writeln!(
            page,
            "<path class=\"mark {class}\" d=\"M{:.1} {:.1} l4 7.2 h-8 z\">{title}</path>",
            x,
            y - 4.4,
        ),
    }
}

/// 1 000 as `1 000`, and a million as `1 M`.
fn count(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{} M", n / 1e6),
        n if n >= 1e3 => format!("{} k", n / 1e3),
        n => format!("{n}"),
    }
}

fn with_unit(value: f64, unit: &str) -> String {
    let (scale, unit) = match (unit, value) {
        ("ns", v) if v >= 1e9 => (1e9, "s"),
        ("ns", v) if v >= 1e6 => (1e6, "ms"),
        ("ns", v) if v >= 1e3 => (1e3, "µs"),
        ("B", v) if v >= 1e6 => (1e6, "MB"),
        ("B", v) if v >= 1e3 => (1e3, "kB"),
        _ => (1.0, unit),
    };
    let scaled = value / scale;
    // Powers of ten without a fraction, and what was measured with two digits at least.
    if scaled.fract() == 0.0 || scaled >= 100.0 {
        format!("{scaled:.0} {unit}")
    } else {
        format!("{scaled:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_ten_lie_on_the_ends_of_an_axis() {
        let axis = Axis::around([100.0, 1_000_000.0].into_iter(), 0.0, 400.0);
        assert_eq!([100.0, 1_000.0, 1_000_000.0].map(|n| axis.at(n).round()), [0.0, 100.0, 400.0]);
        assert_eq!(axis.powers().collect::<Vec<_>>(), [1e2, 1e3, 1e4, 1e5, 1e6]);
    }

    #[test]
    fn every_point_is_drawn_and_named() {
        let series = |name: &str, points| Series { name: name.to_owned(), points };
        let chart = Chart {
            title: "Time".to_owned(),
            x: "live queries".to_owned(),
            unit: "ns",
            series: vec![
                series("ours", vec![(100.0, 900.0), (1_000_000.0, 2_500.0)]),
                series("none", vec![]),
            ],
        };
        let svg = chart.svg();
        for title in ["ours, 100 live queries: 900 ns", "ours, 1 M live queries: 2.5 µs"] {
            assert!(svg.contains(&format!("<title>{title}</title>")), "{title} in {svg}");
        }
        assert_eq!(svg.matches("<polyline").count(), 1);
    }
}
