//! Who is connected: what CLIENT LIST and KILL, the sweep and the limit on clients go by. Touched
//! when a connection opens or closes and by administrators; commands only store a few numbers in
//! the entry of their own connection. Knows no command and no socket.

use super::rounds::Ender;
use super::session::Pending;
use crate::command::spec::CommandId;
use crate::limits;
use cluster::group_set::GroupSet;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// A connection as others see it. Its own worker writes, everybody reads.
#[derive(Debug)]
pub struct Client {
    /// Its number, never used twice.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
    /// Number of the socket.
    pub fd: i32,
    /// The worker it lives on.
    worker: AtomicUsize,
    /// Monotonic nanoseconds when it connected.
    pub opened_nanos: u64,
    /// What it says about itself.
    pub names: Mutex<Names>,
    pulse: Pulse,
    authenticated: AtomicBool,
    waiting: AtomicBool,
    no_evict: AtomicBool,
    no_touch: AtomicBool,
    ender: Mutex<Option<Ender>>,
    /// An answer that is not there yet. Here because it is rare, and connections are small.
    pub(super) pending: Mutex<Option<Box<Pending>>>,
    /// The groups that it wrote to and of which WAIT has not said that there are copies enough, one
    /// bit each. Here for the same reason; written by its worker alone.
    pub(super) wrote: OnceLock<Box<[AtomicU64; GroupSet::WORDS]>>,
}

/// What changes while a connection is served. One cache line of its own: with thousands of
/// connections each line that a command touches has to come from far away.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Pulse {
    /// Monotonic nanoseconds when bytes came from it last.
    pub heard_nanos: Meter,
    /// Monotonic nanoseconds when it took bytes last, or was first asked to.
    pub sent_nanos: Meter,
    /// Bytes of an unfinished command.
    pub query_bytes: Meter,
    /// Bytes of answers it has not taken yet.
    pub output_bytes: Meter,
    /// 2 or 3.
    pub protocol: Meter,
    /// Number of the last command plus one; 0 before the first.
    command: AtomicUsize,
    /// It is to end, whatever it is doing.
    ended: AtomicBool,
    held: AtomicBool,
}

impl Deref for Client {
    type Target = Pulse;

    #[inline]
    fn deref(&self) -> &Pulse {
        &self.pulse
    }
}

/// A number that one thread writes and all may read.
#[derive(Debug, Default)]
pub struct Meter(AtomicU64);

impl Meter {
    /// Replaces it.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// What it is now.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a client says about itself.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub library: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub library_version: Vec<u8>,
}

macro_rules! flag {
    ($get:ident, $set:ident, $field:ident, $doc:literal) => {
        #[doc = concat!("Whether ", $doc, ".")]
        pub fn $get(&self) -> bool {
            self.$field.load(Ordering::Relaxed)
        }

        #[doc = concat!("Notes whether ", $doc, ".")]
        pub fn $set(&self, yes: bool) {
            self.$field.store(yes, Ordering::Relaxed);
        }
    };
}

impl Client {
    flag!(is_authenticated, set_authenticated, authenticated, "it may do more than authenticate");
    flag!(is_waiting, set_waiting, waiting, "it waits for a pause or a sleep to end");
    flag!(is_held, set_held, held, "its answers wait for the disk, not for it");
    flag!(is_no_evict, set_no_evict, no_evict, "CLIENT NO-EVICT is on");
    flag!(is_no_touch, set_no_touch, no_touch, "CLIENT NO-TOUCH is on");

    /// The worker it lives on.
    pub fn worker(&self) -> usize {
        self.worker.load(Ordering::Relaxed)
    }

    /// The command it sent last.
    pub fn last_command(&self) -> Option<CommandId> {
        let number = self.command.load(Ordering::Relaxed).checked_sub(1)?;
        CommandId::all().nth(number)
    }

    /// Notes a command.
    #[inline]
    pub fn set_last_command(&self, id: CommandId) {
        self.command.store(id.index() + 1, Ordering::Relaxed);
    }

    /// Ends the connection from outside, whatever it is doing.
    pub fn abort(&self) {
        let ender = self.ender.lock();
        if !self.pulse.ended.swap(true, Ordering::Relaxed)
            && let Some(ender) = &*ender
        {
            ender.end();
        }
    }

    /// Whether somebody has ended it.
    #[inline]
    pub(super) fn is_ended(&self) -> bool {
        self.pulse.ended.load(Ordering::Relaxed)
    }

    /// Sets how [`Client::abort`] reaches it: where it lives now.
    pub(super) fn set_ender(&self, now: Ender) {
        let mut ender = self.ender.lock();
        if self.is_ended() {
            now.end();
        }
        *ender = Some(now);
    }
}

/// What is known of a connection when it opens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) fd: i32,
    pub(super) worker: usize,
    pub(super) nanos: u64,
    pub(super) authenticated: bool,
}

type ById = BTreeMap<u64, Arc<Client>>;

/// A client's place in the list, given up when this is dropped, wherever the connection is then:
/// on a worker, or between two.
#[derive(Debug)]
pub(super) struct Entry {
    clients: Arc<Clients>,
    client: Arc<Client>,
}

impl Entry {
    /// Whose it is.
    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Moves it among those of another worker.
    pub(super) fn transfer(&self, to: usize) {
        self.clients.transfer(&self.client, to);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.clients.close(&self.client);
    }
}

/// All connections, by worker.
#[derive(Debug)]
pub struct Clients {
    last_id: AtomicU64,
    count: AtomicUsize,
    by_worker: Box<[Mutex<ById>]>,
}

impl Clients {
    /// Nobody yet, for so many workers.
    pub fn new(workers: usize) -> Clients {
        Clients {
            last_id: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            by_worker: (0..workers).map(|_| Mutex::default()).collect(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// All, in the order they came; each once, whoever is moving to another worker meanwhile.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> =
            self.lock_all().iter().flat_map(|clients| clients.values().cloned()).collect();
        all.sort_unstable_by_key(|client| client.id);
        all
    }

    /// The lists of all workers at one moment. In ascending order, as `transfer` locks.
    fn lock_all(&self) -> Vec<MutexGuard<'_, ById>> {
        self.by_worker.iter().map(Mutex::lock).collect()
    }

    /// Those of one worker that `judge` has something against.
    pub(super) fn late(
        &self,
        worker: usize,
        judge: impl Fn(&Client) -> Option<&'static str>,
    ) -> Vec<(Arc<Client>, &'static str)> {
        let clients = self.by_worker[worker].lock();
        clients.values().filter_map(|c| judge(c).map(|reason| (c.clone(), reason))).collect()
    }

    /// Whether a client of a worker has not taken all its answers.
    pub(super) fn any_behind(&self, worker: usize) -> bool {
        self.by_worker[worker].lock().values().any(|client| client.output_bytes.get() > 0)
    }

    /// Lets a client in, unless there are `clients_max` already.
    pub(super) fn open(self: &Arc<Self>, opening: Opening, clients_max: usize) -> Option<Entry> {
        let room = |n: usize| (n < clients_max.min(limits::CLIENTS_MAX)).then_some(n + 1);
        self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        let client = Arc::new(Client {
            id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            peer: opening.peer,
            local: opening.local,
            fd: opening.fd,
            worker: AtomicUsize::new(opening.worker),
            opened_nanos: opening.nanos,
            names: Mutex::default(),
            pulse: Pulse::default(),
            authenticated: AtomicBool::new(opening.authenticated),
            waiting: AtomicBool::new(false),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            ender: Mutex::default(),
            pending: Mutex::default(),
            wrote: OnceLock::new(),
        });
        client.heard_nanos.set(opening.nanos);
        client.protocol.set(2);
        self.by_worker[opening.worker].lock().insert(client.id, client.clone());
        Some(Entry { clients: self.clone(), client })
    }

    /// Notes that a client lives on another worker now. Only its entry calls it.
    fn transfer(&self, client: &Arc<Client>, to: usize) {
        let from = client.worker.swap(to, Ordering::Relaxed);
        if from == to {
            return;
        }
        let (low, high) = (from.min(to), from.max(to));
        // Both at once, in ascending order: who looks at all sees it once.
        let mut low_clients = self.by_worker[low].lock();
        let mut high_clients = self.by_worker[high].lock();
        let (old, new) = if from < to {
            (&mut low_clients, &mut high_clients)
        } else {
            (&mut high_clients, &mut low_clients)
        };
        if let Some(known) = old.remove(&client.id) {
            new.insert(client.id, known);
        }
    }

    /// Forgets a client that is gone. Only its entry calls it.
    fn close(&self, client: &Client) {
        let worker = client.worker();
        if self.by_worker[worker].lock().remove(&client.id).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Clients, Opening, Pulse};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn opening(worker: usize) -> Opening {
        let addr = "127.0.0.1:1".parse().expect("an address");
        Opening { peer: addr, local: addr, fd: 3, worker, nanos: 7, authenticated: true }
    }

    #[test]
    fn what_a_command_touches_is_one_cache_line() {
        assert_eq!((align_of::<Pulse>(), size_of::<Pulse>()), (64, 64));
    }

    #[test]
    fn clients_come_and_go_and_are_bounded() {
        let clients = Arc::new(Clients::new(2));
        let a = clients.open(opening(1), 2).expect("room");
        let _b = clients.open(opening(0), 2).expect("room");
        assert!(clients.open(opening(0), 2).is_none());
        let ids = || clients.all().iter().map(|c| c.id).collect::<Vec<_>>();
        assert_eq!((ids(), clients.count()), (vec![1, 2], 2));
        drop(a);
        assert_eq!((ids(), clients.count()), (vec![2], 1));
        assert_eq!(clients.open(opening(0), 2).expect("room").client().id, 3);
    }

    #[test]
    fn who_moves_is_seen_once() {
        let clients = Arc::new(Clients::new(3));
        let entry = clients.open(opening(0), 9).expect("room");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..30_000).for_each(|i| entry.transfer([2, 0, 1][i % 3]));
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                assert_eq!(clients.all().len(), 1);
            }
        });
        drop(entry);
        assert_eq!((clients.all().len(), clients.count()), (0, 0));
    }
}
