//! A timer of the guest's own: it fires at every multiple of its period, in guest time, once each, and never early. It is
//! part of the guest's state: after a failover it goes on as if nothing had happened.

/// A timer; zero at start.
#[repr(C)]
pub(crate) struct Timer {
    /// How often it has fired.
    fired: u64,
}

impl Timer {
    /// When it fires next.
    pub(crate) const fn next_us(&self, period_us: u64) -> u64 {
        (self.fired + 1) * period_us
    }

    /// Whether it fires now; then it has.
    pub(crate) fn fires(&mut self, period_us: u64, now_us: u64) -> bool {
        let fires = self.next_us(period_us) <= now_us;
        self.fired += u64::from(fires);
        fires
    }

    /// How often it has fired.
    pub(crate) const fn fired(&self) -> u64 {
        self.fired
    }
}
