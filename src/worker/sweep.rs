//! Ends connections that take too long over something: looked for once a second, so that a command
//! costs no timer. Knows no command.

use super::Worker;
use super::clients::Client;
use super::notice::Settings;
use crate::clock;
use crate::limits;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Sweeps for ever.
pub(super) async fn sweep(worker: Rc<Worker>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(limits::SWEEP_MS));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let settings = worker.shared.notice.settings();
        let now = clock::monotonic_nanos();
        let late =
            worker.shared.clients.late(worker.index, |client| overdue(client, &settings, now));
        for (client, reason) in late {
            close(&worker, &client, reason, now);
        }
    }
}

fn close(worker: &Worker, client: &Arc<Client>, reason: &str, now: u64) {
    worker.metrics().connections_timed_out.add(1);
    if let Some(more) = worker.quiet.pass(now) {
        tracing::warn!(id = client.id, peer = %client.peer, more, "closing a connection: {reason}");
    }
    client.abort();
}

/// What the client takes too long over, if anything.
fn overdue(client: &Client, settings: &Settings, now: u64) -> Option<&'static str> {
    let late = |limit: Duration, since: u64| {
        !limit.is_zero() && Duration::from_nanos(now.saturating_sub(since)) > limit
    };
    if !client.is_authenticated() && late(settings.auth, client.opened_nanos) {
        return Some("it did not authenticate in time");
    }
    if client.is_held() {
        return None;
    }
    if client.output_bytes.get() > 0 {
        return late(settings.write, client.sent_nanos.get()).then_some("it takes no answers");
    }
    if client.is_waiting() {
        return None;
    }
    let heard = client.heard_nanos.get();
    if client.query_bytes.get() > 0 {
        return late(settings.partial, heard).then_some("a command of it stands still half-sent");
    }
    late(settings.idle, heard).then_some("it is idle")
}

#[cfg(test)]
mod tests {
    use super::overdue;
    use crate::config::Config;
    use crate::worker::clients::{Clients, Opening};
    use crate::worker::notice::Settings;
    use std::sync::Arc;
    use std::time::Duration;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn each_standstill_has_its_limit() {
        let mut settings = Settings::of(&Config::default());
        settings.idle = Duration::from_secs(300);
        let addr = "127.0.0.1:1".parse().expect("an address");
        let opening =
            Opening { peer: addr, local: addr, fd: 3, worker: 0, nanos: 0, authenticated: false };
        let entry = Arc::new(Clients::new(1)).open(opening, 1).expect("room");
        let client = entry.client();
        let late = |seconds: u64| overdue(client, &settings, seconds * SECOND).is_some();
        assert!(!late(10) && late(11), "authentication");
        client.set_authenticated(true);
        assert!(!late(300) && late(301), "idle");
        client.query_bytes.set(1);
        assert!(!late(30) && late(31), "half a command");
        client.set_waiting(true);
        assert!(!late(1000), "a pause");
        client.output_bytes.set(1);
        client.sent_nanos.set(1000 * SECOND);
        assert!(!late(1060) && late(1061), "answers not taken");
        client.set_held(true);
        assert!(!late(5000), "answers that wait for the disk");
    }
}
