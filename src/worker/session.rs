//! What a worker and the commands about connections and the node have to know of each other. The
//! worker runs them through [`Sessions`] and knows none of them.

use super::Shared;
use super::clients::Client;
use super::route::Later;
use crate::clock;
use crate::command::reply::ReplyWriter;
use crate::command::spec::Spec;
use crate::command::{Args, Time};
use crate::metrics::WorkerMetrics;
use crate::resp::{Encoder, Output, Version};
use bytes::Bytes;
use cluster::group_set::GroupSet;
use cluster::slot::Group;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A connection as its commands see it.
#[derive(Debug)]
pub struct Session {
    /// How others see it.
    pub client: Arc<Client>,
    /// The protocol of its answers.
    pub version: Version,
    /// Whether it may do more than authenticate.
    pub authenticated: bool,
    /// Which answers it gets.
    pub replies: Replies,
    /// The listener it came in on.
    pub entrance: u8,
    /// Whether that listener forwards, whatever the connection asks for.
    pub always_forwards: bool,
    /// Whether what belongs to other nodes is forwarded.
    pub forwards: bool,
    /// Whether replicas may answer what only reads.
    pub readonly: bool,
}

/// An answer that is not there yet.
pub(super) struct Pending {
    pub(super) answer: Later,
    /// Whether the client wants it.
    pub(super) is_wanted: bool,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("is_wanted", &self.is_wanted).finish_non_exhaustive()
    }
}

impl Session {
    /// Of a connection that has just opened.
    pub(super) fn new(client: Arc<Client>, entrance: u8, shared: &Shared) -> Session {
        let authenticated = client.is_authenticated();
        let always = shared.entrances.get(usize::from(entrance)).is_some_and(|e| e.forwards);
        Session {
            client,
            version: Version::Resp2,
            authenticated,
            replies: Replies::On,
            entrance,
            always_forwards: always,
            forwards: always || shared.notice.settings().forwards,
            readonly: false,
        }
    }

    /// It has written to a group, here or elsewhere.
    #[inline]
    pub(super) fn note_write(&mut self, group: Group) {
        let words = self.client.wrote.get_or_init(Box::default);
        let number = usize::from(group.number());
        let word = &words[number / 64];
        word.store(word.load(Ordering::Relaxed) | 1 << (number % 64), Ordering::Relaxed);
    }

    /// It has written to these groups.
    pub(super) fn note_writes(&mut self, groups: impl Iterator<Item = Group>) {
        groups.for_each(|group| self.note_write(group));
    }

    /// The groups that it wrote to since [`Session::settled`]; `None`: none.
    pub fn wrote(&self) -> Option<GroupSet> {
        let words = self.client.wrote.get()?;
        let word = |i: usize| words[i].load(Ordering::Relaxed);
        let groups = GroupSet::from_words(std::array::from_fn(word));
        Some(groups).filter(|groups| !groups.is_empty())
    }

    /// There are copies enough of everything that it wrote.
    pub fn settled(&mut self) {
        let words = self.client.wrote.get().into_iter().flat_map(|words| words.iter());
        words.for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Keeps the answer to the command at hand, which is not there yet: one value in the protocol
    /// of the connection. To be followed by [`After::Await`].
    pub fn answer_later(&mut self, answer: Later) {
        *self.client.pending.lock() = Some(Box::new(Pending { answer, is_wanted: true }));
    }

    /// The client does not want that answer.
    pub(super) fn ignore_later(&mut self) {
        if let Some(pending) = &mut *self.client.pending.lock() {
            pending.is_wanted = false;
        }
    }

    /// That answer, if there is to be one.
    pub(super) fn take_later(&mut self) -> Option<Box<Pending>> {
        self.client.pending.lock().take()
    }
}

/// Which answers a client gets: CLIENT REPLY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replies {
    /// All.
    #[default]
    On,
    /// None.
    Off,
    /// All but the next one.
    SkipNext,
}

/// A command for the session, and when and where it was given.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Its row of the table.
    pub spec: &'static Spec,
    /// Its words, names included; their number fits the row.
    pub args: Args<'a>,
    /// Group time.
    pub now: Time,
    /// The worker.
    pub worker: usize,
}

impl Call<'_> {
    /// Monotonic nanoseconds now.
    pub fn nanos(&self) -> u64 {
        clock::monotonic_nanos()
    }
}

/// What comes after a command of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The next command.
    Continue,
    /// The end of the connection, once its answers are sent.
    Close,
    /// Nothing from this connection for so long, then `OK`.
    Sleep(Duration),
    /// Nothing until the answer of [`Session::answer_later`] is there, then that.
    Await,
}

/// The commands about connections and the node.
pub trait Sessions: Send + Sync {
    /// Carries a command out and writes its answer.
    fn run(&self, call: &Call<'_>, session: &mut Session, out: &mut Answer<'_>) -> After;
}

/// Where the commands of a batch write their answers; counts the errors among them.
pub struct Answer<'a> {
    out: &'a mut Output,
    version: Version,
    metrics: &'a WorkerMetrics,
    failed: bool,
}

impl<'a> Answer<'a> {
    /// Writes to `out` in that protocol.
    #[inline]
    pub(super) fn new(
        out: &'a mut Output,
        version: Version,
        metrics: &'a WorkerMetrics,
    ) -> Answer<'a> {
        Answer { out, version, metrics, failed: false }
    }

    /// The protocol it writes.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Goes on in another protocol: the answer to HELLO is in the one it asks for.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Writes bytes that are an answer already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.raw(bytes);
    }

    /// What was written and is not sent yet.
    #[inline]
    pub(super) fn output(&mut self) -> &mut Output {
        self.out
    }

    /// Whether an error was written since the last time this was asked.
    #[inline]
    pub(super) fn take_failed(&mut self) -> bool {
        std::mem::take(&mut self.failed)
    }

    #[inline(always)]
    fn encoder(&mut self) -> Encoder<'_> {
        Encoder::new(self.out, self.version)
    }
}

impl ReplyWriter for Answer<'_> {
    #[inline]
    fn simple(&mut self, text: &str) {
        self.encoder().simple(text);
    }
    #[cold]
    fn error(&mut self, text: &str) {
        self.failed = true;
        self.metrics.error(text);
        self.encoder().error(text);
    }
    #[inline]
    fn integer(&mut self, value: i64) {
        self.encoder().integer(value);
    }
    #[inline]
    fn bulk(&mut self, bytes: &[u8]) {
        self.encoder().bulk(bytes);
    }
    #[inline]
    fn bulk_shared(&mut self, bytes: &Bytes) {
        self.encoder().bulk_shared(bytes);
    }
    #[inline]
    fn null(&mut self) {
        self.encoder().null();
    }
    #[inline]
    fn array(&mut self, len: usize) {
        self.encoder().array(len);
    }
    fn map(&mut self, len: usize) {
        self.encoder().map(len);
    }
    fn set(&mut self, len: usize) {
        self.encoder().set(len);
    }
    fn double(&mut self, value: f64) {
        self.encoder().double(value);
    }
    fn boolean(&mut self, value: bool) {
        self.encoder().boolean(value);
    }
    fn verbatim(&mut self, text: &str) {
        self.encoder().verbatim(text);
    }
}
