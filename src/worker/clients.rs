//! Who is connected: what CLIENT LIST and KILL, the sweep and the limit on clients go by. Touched
//! when a connection opens or closes and by administrators; commands only store a few numbers in
//! the entry of their own connection. Knows no command and no socket.

use crate::command::spec::CommandId;
use crate::limits;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::task::AbortHandle;

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
    authenticated: AtomicBool,
    waiting: AtomicBool,
    no_evict: AtomicBool,
    no_touch: AtomicBool,
    ended: AtomicBool,
    abort: Mutex<Option<AbortHandle>>,
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
    flag!(is_no_evict, set_no_evict, no_evict, "CLIENT NO-EVICT is on");
    flag!(is_no_touch, set_no_touch, no_touch, "CLIENT NO-TOUCH is on");

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
        self.ended.store(true, Ordering::Release);
        if let Some(handle) = &*self.abort.lock() {
            handle.abort();
        }
    }

    /// Sets what [`Client::abort`] ends.
    pub(super) fn set_abort(&self, handle: AbortHandle) {
        let mut abort = self.abort.lock();
        if self.ended.load(Ordering::Acquire) {
            handle.abort();
        }
        *abort = Some(handle);
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

    /// Those of one worker, in the order they came.
    pub fn of_worker(&self, worker: usize) -> Vec<Arc<Client>> {
        self.by_worker[worker].lock().values().cloned().collect()
    }

    /// All, in the order they came.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> = (0..self.by_worker.len()).flat_map(|w| self.of_worker(w)).collect();
        all.sort_unstable_by_key(|client| client.id);
        all
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

    /// The one of that number.
    pub fn find(&self, id: u64) -> Option<Arc<Client>> {
        self.by_worker.iter().find_map(|clients| clients.lock().get(&id).cloned())
    }

    /// Lets a client in, unless there are `clients_max` already.
    pub(super) fn open(&self, opening: Opening, clients_max: usize) -> Option<Arc<Client>> {
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
            heard_nanos: Meter::default(),
            sent_nanos: Meter::default(),
            query_bytes: Meter::default(),
            output_bytes: Meter::default(),
            protocol: Meter::default(),
            command: AtomicUsize::new(0),
            authenticated: AtomicBool::new(opening.authenticated),
            waiting: AtomicBool::new(false),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            abort: Mutex::default(),
        });
        client.heard_nanos.set(opening.nanos);
        client.protocol.set(2);
        self.by_worker[opening.worker].lock().insert(client.id, client.clone());
        Some(client)
    }

    /// Notes that a client lives on another worker now.
    pub(super) fn transfer(&self, client: &Arc<Client>, to: usize) {
        let from = client.worker.swap(to, Ordering::Relaxed);
        if from == to {
            return;
        }
        let (low, high) = (from.min(to), from.max(to));
        // Both at once, in ascending order: nobody sees it twice or not at all.
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

    /// Forgets a client that is gone.
    pub(super) fn close(&self, client: &Client) {
        let worker = client.worker.load(Ordering::Relaxed);
        if self.by_worker[worker].lock().remove(&client.id).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Clients, Opening};

    fn opening(worker: usize) -> Opening {
        let addr = "127.0.0.1:1".parse().expect("an address");
        Opening { peer: addr, local: addr, fd: 3, worker, nanos: 7, authenticated: true }
    }

    #[test]
    fn clients_come_and_go_and_are_bounded() {
        let clients = Clients::new(2);
        let a = clients.open(opening(1), 2).expect("room");
        let b = clients.open(opening(0), 2).expect("room");
        assert!(clients.open(opening(0), 2).is_none());
        let ids = || clients.all().iter().map(|c| c.id).collect::<Vec<_>>();
        assert_eq!((ids(), clients.count()), (vec![1, 2], 2));
        clients.close(&a);
        clients.close(&a);
        assert_eq!((ids(), clients.count()), (vec![2], 1));
        assert!(clients.find(1).is_none() && clients.find(b.id).is_some());
        assert_eq!(clients.open(opening(0), 2).expect("room").id, 3);
    }
}
