//! Clients as libraries have them: one that knows clusters (a map of slots, redirections, new
//! attempts), one that knows a single node that forwards. Know no history.

use crate::clock::now_ns;
use crate::limits::{MOVED_MAX, MOVED_PER_REFRESH, OPERATION_NS_MAX, REFRESH_NS_MIN, RETRY_NS};
use crate::link::{Link, Silence};
use crate::reply::{Reply, request};
use crate::status::Map;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What happened on the way to an answer, by kind.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<String, u64>>>);

impl Counts {
    /// One more of a kind.
    pub fn add(&self, kind: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(kind.to_owned()).or_default() += 1;
    }

    /// How often each has happened.
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How an operation ended for its user.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What the node said; `None` when nobody answered in time.
    pub reply: Option<Reply>,
    /// Who said it.
    pub from: Option<SocketAddr>,
    /// Whether an earlier attempt may have been carried out.
    pub uncertain: bool,
}

/// Links to each node, made as they are needed.
#[derive(Debug)]
struct Links {
    each: usize,
    attempt: Duration,
    made: Mutex<BTreeMap<(SocketAddr, usize), Arc<Link>>>,
}

impl Links {
    async fn get(&self, address: SocketAddr, turn: usize) -> Option<Arc<Link>> {
        let key = (address, turn % self.each);
        let found = self.lock().get(&key).filter(|link| link.is_usable()).cloned();
        if found.is_some() {
            return found;
        }
        let link = Arc::new(Link::connect(address, self.attempt).await?);
        // Somebody else may have been faster: then one of the two goes when it was used.
        self.lock().insert(key, link.clone());
        Some(link)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(SocketAddr, usize), Arc<Link>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that knows clusters; many may share it.
#[derive(Debug)]
pub struct ClusterClient {
    map: Mutex<Map>,
    primed: AtomicBool,
    corrected: AtomicU32,
    links: Links,
    refresh: tokio::sync::Mutex<Refreshed>,
    counts: Counts,
    /// Whoever can be asked for the map when nobody of it answers.
    seeds: Vec<SocketAddr>,
}

#[derive(Debug, Default)]
struct Refreshed {
    at_ns: u64,
    turn: usize,
}

impl ClusterClient {
    /// A client that knows these nodes at first, and has so many links to each.
    pub fn new(seeds: Vec<SocketAddr>, each: usize, attempt_ns: u64, counts: Counts) -> Self {
        let attempt = Duration::from_nanos(attempt_ns);
        let links = Links { each, attempt, made: Mutex::default() };
        let (map, refresh) = (Mutex::new(Map::empty()), tokio::sync::Mutex::default());
        let (primed, corrected) = (AtomicBool::new(false), AtomicU32::new(0));
        ClusterClient { map, primed, corrected, links, refresh, counts, seeds }
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks one node after another for the map, unless somebody just did.
    async fn refresh(&self, not: Option<SocketAddr>) {
        let mut refreshed = self.refresh.lock().await;
        if refreshed.at_ns != 0 && now_ns() < refreshed.at_ns + REFRESH_NS_MIN {
            return;
        }
        let words = request(&[b"CLUSTER", b"SLOTS"]);
        let mut known: Vec<SocketAddr> = self.map().nodes().into_iter().collect();
        known.retain(|address| Some(*address) != not);
        if let Some(count) = NonZero::new(known.len()) {
            known.rotate_left(refreshed.turn % count);
        }
        refreshed.turn += 1;
        for seed in known.iter().chain(&self.seeds) {
            let Some(link) = self.links.get(*seed, refreshed.turn).await else { continue };
            match link.call(words.clone().into(), self.links.attempt).await {
                Ok(reply) => {
                    let Some(map) = Map::of_reply(&reply) else { continue };
                    let nodes = map.nodes();
                    self.links.lock().retain(|(address, _), _| nodes.contains(address));
                    *self.map() = map;
                    break;
                }
                Err(_) => link.abandon(),
            }
        }
        refreshed.at_ns = now_ns();
    }

    /// Has a request about a slot carried out by whoever serves it.
    pub async fn call(&self, slot: u16, turn: usize, words: Arc<[u8]>) -> Answer {
        if !self.primed.load(Ordering::Relaxed) {
            self.refresh(None).await;
            self.primed.store(true, Ordering::Relaxed);
        }
        let until = now_ns() + OPERATION_NS_MAX;
        let mut told = None;
        let mut moved = 0;
        let mut answer = Answer { reply: None, from: None, uncertain: false };
        while now_ns() < until {
            let Some(address) = told.take().or_else(|| self.map().owner(slot)) else {
                self.again("unserved", None).await;
                continue;
            };
            let Some(link) = self.links.get(address, turn).await else {
                self.again("no connection", Some(address)).await;
                continue;
            };
            match link.call(words.clone(), self.links.attempt).await {
                Ok(Reply::Error(text)) if text.starts_with("MOVED ") => {
                    self.counts.add("MOVED");
                    moved += 1;
                    told = moved_to(&text).filter(|_| moved <= MOVED_MAX);
                    match told {
                        Some(owner) => self.correct(slot, owner).await,
                        None => self.again("MOVED in circles", None).await,
                    }
                    continue;
                }
                Ok(Reply::Error(text)) if is_passing(&text) => {
                    answer.uncertain |= text.starts_with("UNCERTAIN");
                    self.again(first_word(&text), Some(address)).await;
                }
                Ok(reply) => {
                    return Answer { reply: Some(reply), from: Some(address), ..answer };
                }
                Err(silence) => {
                    answer.uncertain |= silence != Silence::Unsent;
                    link.abandon();
                    self.again(name(silence), Some(address)).await;
                }
            }
            moved = 0;
        }
        answer
    }

    /// Takes note of a redirection; now and then asks for the whole map.
    async fn correct(&self, slot: u16, owner: SocketAddr) {
        self.map().set(slot, owner);
        if self.corrected.fetch_add(1, Ordering::Relaxed).is_multiple_of(MOVED_PER_REFRESH) {
            self.refresh(None).await;
        }
    }

    /// Waits a moment and looks who serves what.
    async fn again(&self, why: &str, not: Option<SocketAddr>) {
        self.counts.add(why);
        tokio::time::sleep(Duration::from_nanos(RETRY_NS)).await;
        self.refresh(not).await;
    }
}

/// Whether a refusal passes: libraries try again by themselves.
fn is_passing(text: &str) -> bool {
    ["TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "UNCERTAIN"].contains(&first_word(text))
}

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

fn name(silence: Silence) -> &'static str {
    match silence {
        Silence::Unsent => "connection lost",
        Silence::Broken => "connection lost with a request",
        Silence::Late => "no answer in time",
    }
}

fn moved_to(text: &str) -> Option<SocketAddr> {
    text.split(' ').nth(2)?.parse().ok()
}

/// Where plain clients may go: some nodes, of which some are to be left.
#[derive(Debug, Default)]
pub struct Doors(Mutex<Vec<SocketAddr>>);

impl Doors {
    /// These.
    pub fn new(doors: Vec<SocketAddr>) -> Doors {
        Doors(Mutex::new(doors))
    }

    /// Instead of those before.
    pub fn set(&self, doors: Vec<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = doors;
    }

    /// One of them; always the same for a turn, while they stay.
    fn pick(&self, turn: usize) -> Option<SocketAddr> {
        let doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        doors.get(turn % doors.len().max(1)).copied()
    }
}

/// A client that knows one node at a time, of the door that it was given.
#[derive(Debug)]
pub struct PlainClient {
    doors: Arc<Doors>,
    link: Mutex<Option<(SocketAddr, Arc<Link>)>>,
    attempt: Duration,
    counts: Counts,
}

impl PlainClient {
    /// A client that is not connected yet.
    pub fn new(doors: Arc<Doors>, attempt_ns: u64, counts: Counts) -> PlainClient {
        let attempt = Duration::from_nanos(attempt_ns);
        PlainClient { doors, link: Mutex::default(), attempt, counts }
    }

    /// Its link; a new one where it was told to go elsewhere, or the old one broke.
    async fn link(&self, turn: usize) -> Option<(SocketAddr, Arc<Link>)> {
        let door = self.doors.pick(turn)?;
        let lock = || self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lock().clone().filter(|(at, link)| *at == door && link.is_usable());
        if found.is_some() {
            return found;
        }
        let link = Arc::new(Link::connect(door, self.attempt).await?);
        *lock() = Some((door, link.clone()));
        Some((door, link))
    }

    /// Has a request carried out. Whatever is not an answer is an error that its user sees; it
    /// tries again all the same, for what is asked for to be done in the end.
    pub async fn call(&self, turn: usize, words: Arc<[u8]>) -> Answer {
        let until = now_ns() + OPERATION_NS_MAX;
        let mut answer = Answer { reply: None, from: None, uncertain: false };
        while now_ns() < until {
            let why = match self.link(turn).await {
                None => "no connection".to_owned(),
                Some((door, link)) => match link.call(words.clone(), self.attempt).await {
                    Ok(Reply::Error(text)) if is_passing(&text) => {
                        answer.uncertain |= text.starts_with("UNCERTAIN");
                        first_word(&text).to_owned()
                    }
                    Ok(reply) => return Answer { reply: Some(reply), from: Some(door), ..answer },
                    Err(silence) => {
                        answer.uncertain |= silence != Silence::Unsent;
                        link.abandon();
                        name(silence).to_owned()
                    }
                },
            };
            self.counts.add(&format!("plain: {why}"));
            tokio::time::sleep(Duration::from_nanos(RETRY_NS)).await;
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::{is_passing, moved_to};

    #[test]
    fn redirections_and_refusals() {
        assert_eq!(moved_to("MOVED 5 127.0.0.1:7002"), "127.0.0.1:7002".parse().ok());
        assert_eq!(moved_to("MOVED 5"), None);
        assert!(is_passing("CLUSTERDOWN Hash slot not served") && !is_passing("ERR CLUSTERDOWN"));
    }
}
