//! What the users see of a reporter: the one encoder, and the one notification.

use netlink::{Writer, attr, cmd};

use super::Reporter;

impl Reporter {
    /// `devlink_nl_health_reporter_fill`
    pub(super) fn fill(&self, w: &mut Writer<'_>) -> netlink::Result {
        self.devlink.put_handle(w)?;
        if let Some(port) = self.port {
            w.put_u32(attr::PORT_INDEX, port)?;
        }
        let state = self.state();
        w.nest(attr::HEALTH_REPORTER, |w| {
            w.put_str(attr::HEALTH_REPORTER_NAME, self.name())?;
            w.put_u8(attr::HEALTH_REPORTER_STATE, state.health as u8)?;
            w.put_u64(attr::HEALTH_REPORTER_ERR_COUNT, state.error_count)?;
            w.put_u64(attr::HEALTH_REPORTER_RECOVER_COUNT, state.recovery_count)?;
            if self.ops.recover.is_some() {
                w.put_u64(attr::HEALTH_REPORTER_GRACEFUL_PERIOD, state.graceful_period)?;
                w.put_u64(attr::HEALTH_REPORTER_BURST_PERIOD, state.burst_period)?;
                let auto_recover = u8::from(state.auto_recover);
                w.put_u8(attr::HEALTH_REPORTER_AUTO_RECOVER, auto_recover)?;
            }
            if let Some(dump) = &state.dump {
                w.put_u64(attr::HEALTH_REPORTER_DUMP_TS, dump.taken.as_ms())?;
                w.put_u64(attr::HEALTH_REPORTER_DUMP_TS_NS, dump.taken_wall_ns)?;
            }
            if self.ops.dump.is_some() {
                w.put_u8(attr::HEALTH_REPORTER_AUTO_DUMP, u8::from(state.auto_dump))?;
            }
            Ok(())
        })
    }

    /// Tells that the reporter's state has changed.
    pub(super) fn notify(&self) {
        if self.devlink.notify_need() {
            self.devlink
                .notify_send(self.port, cmd::HEALTH_REPORTER_RECOVER, |w| self.fill(w));
        }
    }
}
