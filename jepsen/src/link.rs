//! One connection to a node that many use at once: requests go out as they come, answers come back
//! in order. Knows no command.

use crate::limits::LINK_QUEUE_MAX;
use crate::reply::{Reply, parse};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It was never sent.
    Unsent,
    /// It was sent, and the connection broke.
    Broken,
    /// It was sent, and nothing came in time.
    Late,
}

type Waiting = oneshot::Sender<Reply>;

/// The connection; it closes with its last user.
#[derive(Debug)]
pub struct Link {
    sender: mpsc::Sender<(Arc<[u8]>, Waiting)>,
    broken: Arc<AtomicBool>,
}

impl Link {
    /// Connects within a time.
    pub async fn connect(address: SocketAddr, within: Duration) -> Option<Link> {
        let stream = timeout(within, TcpStream::connect(address)).await.ok()?.ok()?;
        stream.set_nodelay(true).ok()?;
        let (read, write) = stream.into_split();
        let (sender, requests) = mpsc::channel(LINK_QUEUE_MAX);
        let (waiting, waiters) = mpsc::channel(LINK_QUEUE_MAX);
        let broken = Arc::new(AtomicBool::new(false));
        tokio::spawn(send(write, requests, waiting, broken.clone()));
        tokio::spawn(receive(read, waiters, broken.clone()));
        Some(Link { sender, broken })
    }

    /// Whether it can still be used.
    pub fn is_usable(&self) -> bool {
        !self.broken.load(Ordering::Relaxed)
    }

    /// Nobody uses it any more.
    pub fn abandon(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Sends a request and waits so long for its answer.
    pub async fn call(&self, request: Arc<[u8]>, within: Duration) -> Result<Reply, Silence> {
        let (waiting, answer) = oneshot::channel();
        self.sender.try_send((request, waiting)).map_err(|_| Silence::Unsent)?;
        match timeout(within, answer).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(Silence::Broken),
            Err(_) => Err(Silence::Late),
        }
    }
}

async fn send(
    mut write: OwnedWriteHalf,
    mut requests: mpsc::Receiver<(Arc<[u8]>, Waiting)>,
    waiting: mpsc::Sender<Waiting>,
    broken: Arc<AtomicBool>,
) {
    while let Some((request, waiter)) = requests.recv().await {
        if waiting.send(waiter).await.is_err() || write.write_all(&request).await.is_err() {
            break;
        }
    }
    broken.store(true, Ordering::Relaxed);
}

async fn receive(
    mut read: OwnedReadHalf,
    mut waiters: mpsc::Receiver<Waiting>,
    broken: Arc<AtomicBool>,
) {
    let mut bytes = Vec::new();
    'all: while let Ok(1..) = read.read_buf(&mut bytes).await {
        let mut used = 0;
        loop {
            match parse(&bytes[used..]) {
                Ok(Some((reply, length))) => {
                    used += length;
                    let Ok(waiter) = waiters.try_recv() else { break 'all };
                    // Who waited may have given up.
                    let _ = waiter.send(reply);
                }
                Ok(None) => break,
                Err(_) => break 'all,
            }
        }
        bytes.drain(..used);
    }
    broken.store(true, Ordering::Relaxed);
}
