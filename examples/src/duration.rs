//! Durations as people write and read them.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}` is no duration: write a number and a unit, such as 300ms, 5s, 1.5s or 2m")]
pub struct DurationError {
    text: String,
}

/// Reads `300ms`, `5s`, `1.5s`, `2m`, `1h`.
///
/// # Errors
///
/// When it is anything else, nothing, or more than a year.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    const YEAR_SECS: f64 = 366.0 * 24.0 * 3600.0;
    let error = || DurationError { text: text.to_string() };
    let trimmed = text.trim();
    let end = trimmed.find(|letter: char| letter.is_ascii_alphabetic()).ok_or_else(error)?;
    let (number, unit) = trimmed.split_at(end);
    let unit_secs = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(error()),
    };
    let secs = number.trim().parse::<f64>().map_err(|_| error())? * unit_secs;
    if secs > 0.0 && secs <= YEAR_SECS { Ok(Duration::from_secs_f64(secs)) } else { Err(error()) }
}

/// Three digits or so: `0.42 ms`, `12.3 ms`, `450 ms`, `1.25 s`, `9 min 20 s`.
pub fn show(duration: Duration) -> String {
    let ms = as_ms(duration);
    if ms < 9.995 {
        format!("{ms:.2} ms")
    } else if ms < 99.95 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else if ms < 60_000.0 {
        format!("{:.2} s", ms / 1000.0)
    } else {
        let secs = duration.as_secs();
        format!("{} min {} s", secs / 60, secs % 60)
    }
}

/// Milliseconds, with three digits after the point.
pub fn as_ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The least of the values that at least `permille` thousandths of them do not exceed (the nearest
/// rank); `None` without values. `sorted` must be.
pub fn quantile(sorted: &[Duration], permille: usize) -> Option<Duration> {
    let rank = (sorted.len() * permille.min(1000)).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        let ms = |text| parse(text).map(|duration| duration.as_millis());
        assert_eq!(ms("300ms"), Ok(300));
        assert_eq!(ms("5s"), Ok(5000));
        assert_eq!(ms(" 1.5 s "), Ok(1500));
        assert_eq!((ms("2m"), ms("1h")), (Ok(120_000), Ok(3_600_000)));
        for wrong in ["", "5", "s", "5 parsecs", "-1s", "0s", "infs", "nans", "1e9h", "5ss"] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
    }

    #[test]
    fn durations_are_shown_in_three_digits() {
        let shown = [(420, "0.42 ms"), (12_340, "12.3 ms"), (450_400, "450 ms"), (1_254_000, "1.25 s")];
        for (micros, text) in shown {
            assert_eq!(show(Duration::from_micros(micros)), text);
        }
        assert_eq!(show(Duration::from_secs(560)), "9 min 20 s");
        assert_eq!(show(Duration::from_micros(9_999)), "10.0 ms");
    }

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let ms: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let at = |permille| quantile(&ms, permille).map(|value| value.as_millis());
        assert_eq!([at(500), at(950), at(990), at(1000), at(0)], [100, 190, 198, 200, 1].map(Some));
        assert_eq!(quantile(&[], 500), None);
    }
}
