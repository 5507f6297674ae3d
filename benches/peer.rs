//! Two endpoints on loopback, each on a thread of its own as in a node: latency of calls, and what
//! messages of a stream cost.

mod common;

use bytes::Bytes;
use cluster::topology::NodeId;
use common::{Cell, Options, Report, Table};
use crabcache::clock;
use crabcache::peer::{Answer, Endpoint, Handler, Options as PeerOptions, Plane, Receiver};
use crabcache::security::{Authority, Identity, Peer};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TIME: Duration = Duration::from_secs(60);
const ECHO: u8 = 1;
const CALLS: u64 = 20_000;
const STREAM_BYTES: u64 = 500_000_000;

/// Echoes calls; takes streams and says when one has ended.
struct Other {
    ended: mpsc::Sender<u64>,
}

impl Handler for Other {
    fn on_datagram(&self, _: &Peer, _: Bytes) {}

    fn on_call(&self, _: &Peer, _: u8, body: Bytes) -> Answer {
        Box::pin(async { Some(body) })
    }

    fn on_stream(&self, _: NodeId, _: u8, mut receiver: Receiver) {
        let ended = self.ended.clone();
        tokio::spawn(async move {
            let mut messages = 0;
            while let Ok(Some(_)) = receiver.next().await {
                messages += 1;
            }
            let _ = ended.send(messages);
        });
    }
}

fn main() {
    let options = Options::read(&[]);
    let authority = Authority::new().expect("an authority");
    let identity = |number| NodeId::new(number).map(|id| authority.identity(id));
    let identities = [1, 2].map(|n| identity(n).expect("a node").expect("an identity"));
    let mut table = Table::new(
        "Two endpoints on loopback, a thread each",
        &["what", "GSO", "result", "CPU of both, µs a message"],
    );
    for gso in [true, false] {
        measure(&options, &identities, gso, &mut table);
    }
    let mut report = Report::new("peer");
    report.table(table);
    report.print(options.json);
}

fn measure(options: &Options, identities: &[Identity; 2], gso: bool, table: &mut Table) {
    let (ended, ends) = mpsc::channel();
    let (runtime, a) = endpoint(&identities[0], gso, ended.clone());
    let (address, addresses) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let id = identities[1].name().node;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (runtime, b) = endpoint(&identities[1], gso, ended);
            let _ = address.send(b.local_address().to_string());
            let _ = runtime.block_on(stopped);
        });
        a.set_peers(vec![(id, addresses.recv().expect("an address"))]);
        let said = if gso { "on" } else { "off" };
        let echo = runtime.block_on(echo(&a, id, options.scaled(CALLS)));
        table.row(vec![Cell::text("echo of 64 B"), Cell::text(said), echo, Cell::Empty]);
        for (bytes, at_once) in [(1024, 1), (1024, 16), (1024, 256), (1 << 20, 4)] {
            let count = options.scaled(STREAM_BYTES).min(2_000_000_000) / bytes as u64;
            let count = if at_once == 1 { count / 5 } else { count };
            let (rate, cpu) = runtime.block_on(stream(&a, id, bytes, at_once, count));
            assert_eq!(ends.recv_timeout(TIME), Ok(count), "all messages arrive");
            let what = format!("stream of {bytes} B, {at_once} at once");
            table.row(vec![Cell::text(what), Cell::text(said), rate, cpu]);
        }
        let _ = stop.send(());
    });
}

fn endpoint(identity: &Identity, gso: bool, ended: mpsc::Sender<u64>) -> (Runtime, Endpoint) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut options = PeerOptions::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Plane::Data);
    options.gso = gso;
    let bind = async { Endpoint::bind(&options, identity, Arc::new(Other { ended })) };
    let endpoint = runtime.block_on(bind).expect("an endpoint");
    (runtime, endpoint)
}

/// One call after the other.
async fn echo(from: &Endpoint, to: NodeId, calls: u64) -> Cell {
    let body = Bytes::from_static(&[7; 64]);
    let mut nanos = Vec::new();
    for _ in 0..calls {
        let before = clock::monotonic_nanos();
        from.call(to, ECHO, body.clone(), TIME).await.expect("an answer");
        nanos.push(clock::monotonic_nanos() - before);
    }
    nanos.sort_unstable();
    let at = |part: usize| nanos[nanos.len() * part / 100] / 1000;
    Cell::text(format!("p50 {} µs, p99 {} µs", at(50), at(99)))
}

/// `count` messages, `at_once` of them between two chances for the endpoint to send.
async fn stream(
    from: &Endpoint,
    to: NodeId,
    bytes: usize,
    at_once: u64,
    count: u64,
) -> (Cell, Cell) {
    let sender = from.open(to, 1, TIME).await.expect("a stream");
    let body = Bytes::from(vec![7; bytes]);
    let (before, cpu) = (clock::monotonic_nanos(), cpu_micros());
    for number in 1..=count {
        sender.send(std::slice::from_ref(&body)).await.expect("room");
        if number.is_multiple_of(at_once) {
            tokio::task::yield_now().await;
        }
    }
    sender.finish().await.expect("arrival");
    let (nanos, cpu) = (clock::monotonic_nanos() - before, cpu_micros() - cpu);
    let rate = count as f64 * bytes as f64 * 1000.0 / nanos as f64;
    (Cell::text(format!("{rate:.0} MB/s")), Cell::Number(cpu as f64 / count as f64, 2))
}

/// Processor time of the process.
fn cpu_micros() -> u64 {
    // SAFETY: `getrusage` fills the struct it is given, for which zeros are a value.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    micros(usage.ru_utime) + micros(usage.ru_stime)
}
