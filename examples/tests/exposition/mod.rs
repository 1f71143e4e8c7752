//! A strict reader of the OpenMetrics text format, as far as a node uses it.

#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What a scrape says: its families in order, and the value of every series.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    families: Vec<Family>,
    series: BTreeMap<String, f64>,
}

#[derive(Debug, Default)]
struct Family {
    name: String,
    kind: String,
    /// Each series of it: the name with its suffix, its labels but for `le`, its `le`, and its value.
    series: Vec<(String, String, Option<f64>, f64)>,
}

impl Exposition {
    /// Reads a scrape, or says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let body = text.strip_suffix("# EOF\n").ok_or("no `# EOF` at the end")?;
        let mut exposition = Self::default();
        let mut lines = body.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) = about(line, "# HELP ")?;
            if help.is_empty() || !help.ends_with('.') {
                return Err(format!("the help of {name} is no sentence"));
            }
            let (typed, kind) = about(lines.next().unwrap_or_default(), "# TYPE ")?;
            if typed != name {
                return Err(format!("the type of {typed} after the help of {name}"));
            }
            let mut family = Family { name: name.to_string(), kind: kind.to_string(), series: Vec::new() };
            if let Some(unit) = lines.next_if(|line| line.starts_with("# UNIT ")) {
                let (of, unit) = about(unit, "# UNIT ")?;
                if of != name || !name.ends_with(&format!("_{unit}")) {
                    return Err(format!("{name} does not end in its unit, {unit}"));
                }
            } else if name.ends_with("_seconds") || name.ends_with("_bytes") {
                return Err(format!("{name} has no unit"));
            }
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                exposition.take(&mut family, line)?;
            }
            family.check()?;
            if exposition.families.iter().any(|other| other.name == family.name) {
                return Err(format!("{name} is there twice"));
            }
            exposition.families.push(family);
        }
        Ok(exposition)
    }

    fn take(&mut self, family: &mut Family, line: &str) -> Result<(), String> {
        let (series, value) = line.rsplit_once(' ').ok_or(format!("no value: {line}"))?;
        let number: f64 = value.parse().map_err(|_| format!("no number: {line}"))?;
        if self.series.insert(series.to_string(), number).is_some() {
            return Err(format!("{series} is there twice"));
        }
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').ok_or(format!("open: {line}"))?),
            None => (series, ""),
        };
        let mut le = None;
        let mut rest = Vec::new();
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (key, value) = label.split_once('=').ok_or(format!("no label: {line}"))?;
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let value = value.ok_or(format!("no quotes: {line}"))?;
            match key {
                "le" if value == "+Inf" => le = Some(f64::INFINITY),
                "le" => le = Some(value.parse().map_err(|_| format!("no bound: {line}"))?),
                _ => rest.push(label),
            }
        }
        let suffix = name.strip_prefix(family.name.as_str()).ok_or(format!("{name} in {}", family.name))?;
        family.series.push((suffix.to_string(), rest.join(","), le, number));
        Ok(())
    }

    /// The value of a series, by its name and labels as they are written.
    #[track_caller]
    pub(crate) fn value(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("no {series}"))
    }

    /// The names of all series.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.families
            .iter()
            .flat_map(|family| family.series.iter().map(|(suffix, ..)| format!("{}{suffix}", family.name)))
            .collect()
    }
}

impl Family {
    fn check(&self) -> Result<(), String> {
        let Self { name, kind, series } = self;
        let of = |wanted: &str| series.iter().filter(|(suffix, ..)| suffix == wanted).collect::<Vec<_>>();
        let allowed: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_count", "_sum"],
            _ => return Err(format!("{name} is a {kind}")),
        };
        if series.is_empty() || series.iter().any(|(suffix, ..)| !allowed.contains(&suffix.as_str())) {
            return Err(format!("{name} is a {kind} and has {series:?}"));
        }
        if series.iter().any(|(_, _, le, value)| *value < 0.0 || (le.is_some() && kind != "histogram")) {
            return Err(format!("{name} is a {kind} and has {series:?}"));
        }
        if kind != "histogram" {
            return Ok(());
        }
        let buckets: Vec<(f64, f64)> =
            of("_bucket").into_iter().filter_map(|(_, _, le, value)| Some(((*le)?, *value))).collect();
        if !buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1) {
            return Err(format!("the buckets of {name} do not rise: {buckets:?}"));
        }
        let counts: Vec<f64> = of("_count").iter().map(|(.., value)| *value).collect();
        if buckets.last() != counts.first().map(|count| (f64::INFINITY, *count)).as_ref()
            || of("_sum").len() != 1
        {
            return Err(format!("{name} has not as many in all its buckets as it counts"));
        }
        Ok(())
    }
}

fn about<'a>(line: &'a str, what: &str) -> Result<(&'a str, &'a str), String> {
    let rest = line.strip_prefix(what).ok_or(format!("`{line}` where `{what}` belongs"))?;
    rest.split_once(' ').ok_or(format!("nothing in `{line}`"))
}

/// Every text of a document, with the key that it stands under.
pub(crate) fn walk(value: &Value, see: &mut impl FnMut(&str, &str)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if let Value::String(text) = value {
                    see(key, text);
                }
                walk(value, see);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, see)),
        _ => {}
    }
}

/// The metrics of ours that an expression names.
pub(crate) fn metrics_of(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("dragnet_")).map(str::to_string).collect()
}

#[test]
fn what_is_no_exposition_is_refused() {
    let good = "# HELP a_seconds It.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\na_seconds_sum 1.0\n\
                a_seconds_count 2\na_seconds_bucket{le=\"1.0\"} 1\na_seconds_bucket{le=\"+Inf\"} 2\n# EOF\n";
    assert_eq!(Exposition::parse(good).map(|all| all.value("a_seconds_count")), Ok(2.0));
    for (part, other) in [
        ("# EOF\n", ""),
        ("# HELP a_seconds It.\n", ""),
        ("# TYPE a_seconds", "# TYPE b_seconds"),
        ("# UNIT a_seconds seconds\n", ""),
        ("le=\"1.0\"} 1", "le=\"1.0\"} 3"),
        ("le=\"+Inf\"} 2", "le=\"+Inf\"} 1"),
        ("a_seconds_count 2", "a_seconds_total 2"),
        ("a_seconds_sum 1.0\n", "a_seconds_sum 1.0\na_seconds_sum 1.0\n"),
        ("a_seconds_sum 1.0", "a_seconds_sum one"),
    ] {
        let bad = good.replacen(part, other, 1);
        assert!(bad != good && Exposition::parse(&bad).is_err(), "{bad}");
    }
}
