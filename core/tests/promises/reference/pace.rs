//! What the network has been like, and what follows for how long and how many.

use std::time::Duration;

use dragnet_core::{Histogram, QueryConfig, Step};

use super::peers::Peer;

#[derive(Default)]
pub(super) struct Conditions {
    times: Histogram,
    /// The median, the 95th and the 99.9th percentile, as they were when last read.
    typical: Option<[Duration; 3]>,
    /// What contacts waited before they were sent, and its 95th percentile.
    waits: Histogram,
    wait: Duration,
    /// The share of contacts that became overdue, in 65 536ths.
    overdue_share: i64,
}

impl Conditions {
    pub(super) fn sent(&mut self, wait: Duration) {
        if wait >= Duration::from_millis(1) && record(&mut self.waits, wait) {
            self.wait = Duration::from_nanos(self.waits.quantile(950).expect("there are some"));
        }
    }

    pub(super) fn replied(&mut self, response_time: Duration) {
        if record(&mut self.times, response_time) {
            let quantile =
                |permille| Duration::from_nanos(self.times.quantile(permille).expect("there are some"));
            self.typical = Some([500, 950, 999].map(quantile));
        }
    }

    /// Reads all percentiles, as an engine does that begins with what was written down.
    pub(super) fn read_again(&mut self) {
        let read = |times: &Histogram, permille| {
            let is_enough = times.count() >= 8;
            is_enough.then(|| Duration::from_nanos(times.quantile(permille).expect("there are some")))
        };
        self.wait = read(&self.waits, 950).unwrap_or(Duration::ZERO);
        let [median, late, longest] = [500, 950, 999].map(|permille| read(&self.times, permille));
        self.typical = median.and_then(|median| Some([median, late?, longest?]));
    }

    pub(super) fn was_overdue(&mut self, is_overdue: bool) {
        let target = if is_overdue { 65_536 } else { 0 };
        self.overdue_share += (target - self.overdue_share) / 32;
    }

    pub(super) fn fan_out(&self, config: &QueryConfig) -> usize {
        if !config.adaptive_fan_out {
            return config.fan_out;
        }
        let useful = (65_536 - self.overdue_share).max(65_536 / 4) as usize;
        ((config.fan_out * 65_536 + useful / 2) / useful).min(65_535)
    }

    pub(super) fn soft_timeout(&self, config: &QueryConfig, peer: &Peer, is_sent: bool) -> Duration {
        if !config.adaptive_timeout {
            return config.soft_timeout;
        }
        // One that has not been set may be the longest there is.
        self.late_after(config, peer).saturating_add(if is_sent { Duration::ZERO } else { self.wait })
    }

    fn late_after(&self, config: &QueryConfig, peer: &Peer) -> Duration {
        let Some([median, late, _]) = self.typical else { return config.soft_timeout };
        let late = match peer.own_timeout() {
            _ if peer.mostly_fails() => median,
            Some(own) => own.min(late),
            None => late,
        };
        late + Duration::from_millis(10)
    }

    /// What a stranger is expected to take, if a walk is to prefer who is expected to take less.
    pub(super) fn preferred(&self, config: &QueryConfig) -> Option<Duration> {
        self.typical.filter(|_| config.adaptive_timeout).map(|[median, ..]| median)
    }

    pub(super) fn lost_after(&self, config: &QueryConfig, step: Step, is_sent: bool) -> Option<Duration> {
        let [_, late, longest] = self.typical.filter(|_| config.adaptive_timeout)?;
        let lost = if step == Step::Fetch { longest.max(4 * late) } else { 2 * late };
        let wait = if is_sent { Duration::ZERO } else { self.wait };
        Some(lost + Duration::from_millis(10) + wait)
    }
}

/// Counts a time; whether the percentiles are read again.
fn record(times: &mut Histogram, time: Duration) -> bool {
    times.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let count = times.count();
    count == 8 || count > 8 && count.is_multiple_of(16)
}
