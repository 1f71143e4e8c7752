//! How long a peer takes to answer.

use core::time::Duration;

/// The smoothed response time and its variation of RFC 6298, with its gains of 1/8 and 1/4, in
/// microseconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct ResponseTime {
    smoothed_us: u32,
    variation_us: u32,
}

impl ResponseTime {
    /// Counts a measured response time.
    pub(crate) fn observe(&mut self, measured: Duration) {
        // Zero stands for "never seen".
        let measured_us = u32::try_from(measured.as_micros()).unwrap_or(u32::MAX).max(1);
        if self.smoothed_us == 0 {
            self.smoothed_us = measured_us;
            self.variation_us = measured_us / 2;
            return;
        }
        let error_us = self.smoothed_us.abs_diff(measured_us);
        self.variation_us = blend(self.variation_us, error_us, 4);
        self.smoothed_us = blend(self.smoothed_us, measured_us, 8).max(1);
    }

    /// Counts a contact that was given up after so long: its response time is at least that. Without
    /// this, slow peers would never be learned.
    pub(crate) fn observe_at_least(&mut self, waited: Duration) {
        if waited.as_micros() > u128::from(self.smoothed_us) {
            self.observe(waited);
        }
    }

    /// After how long an answer is late: RFC 6298's SRTT + 4 RTTVAR, without its floor of 1 s.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let timeout_us = u64::from(self.smoothed_us) + 4 * u64::from(self.variation_us);
        (self.smoothed_us > 0).then(|| Duration::from_micros(timeout_us))
    }

    /// The smoothed response time and its variation, in microseconds; zero if none was ever measured.
    pub(crate) const fn export(&self) -> (u32, u32) {
        (self.smoothed_us, self.variation_us)
    }

    pub(crate) const fn restored(smoothed_us: u32, variation_us: u32) -> Self {
        Self { smoothed_us, variation_us }
    }

    /// The smoothed response time, once there is one.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        (self.smoothed_us > 0).then(|| Duration::from_micros(self.smoothed_us.into()))
    }
}

/// `old` moved by a `gain`th of the way to `new`.
fn blend(old: u32, new: u32, gain: u64) -> u32 {
    let blended = (u64::from(old) * (gain - 1) + u64::from(new)) / gain;
    u32::try_from(blended).expect("a mean lies between its parts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_measurements_follow_rfc_6298() {
        let mut time = ResponseTime::default();
        assert_eq!(time.smoothed(), None);
        time.observe(Duration::from_micros(800));
        assert_eq!((time.smoothed_us, time.variation_us), (800, 400));
        time.observe(Duration::from_micros(1600));
        // RTTVAR = 3/4 * 400 + 1/4 * 800, SRTT = 7/8 * 800 + 1/8 * 1600
        assert_eq!((time.smoothed_us, time.variation_us), (900, 500));
        assert_eq!(time.timeout(), Some(Duration::from_micros(2_900)));
    }

    #[test]
    fn giving_up_early_teaches_nothing_and_giving_up_late_does() {
        let mut time = ResponseTime::default();
        time.observe(Duration::from_millis(100));
        time.observe_at_least(Duration::from_millis(50));
        assert_eq!(time.smoothed(), Some(Duration::from_millis(100)));
        time.observe_at_least(Duration::from_secs(10));
        assert!(time.smoothed().unwrap() > Duration::from_secs(1));
    }
}
