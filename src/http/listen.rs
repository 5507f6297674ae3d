//! Connections of the HTTP listener: a thread, a bounded number of them, each with bounded
//! waits. Knows no page.

use super::seats::{Seats, Taken};
use super::{HttpState, router};
use crate::limits::{
    HTTP_ACCEPT_RETRY_MS, HTTP_CONNECTION_MS_MAX, HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX,
    HTTP_HEAD_MS_MAX, HTTP_STOP_MS_MAX,
};
use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

/// A running HTTP listener. Dropping it stops it.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, lets answers under way finish for a bounded time, ends the thread.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Nobody listens to the signal only when the thread is gone already.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HTTP thread panicked");
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Answers on `listener` from a thread of its own.
///
/// # Errors
/// When the listener or the thread cannot be set up.
pub fn serve(listener: TcpListener, state: HttpState) -> io::Result<HttpServer> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let router = router(state).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = watch::channel(false);
    let thread = thread::Builder::new().name("http".into()).spawn(move || {
        let result = runtime.block_on(accept(listener, router, stopped));
        if let Err(error) = result {
            tracing::error!(%error, "the HTTP listener ended");
        }
        // Connections still open then are a client's that does not read.
        runtime.shutdown_background();
    })?;
    Ok(HttpServer { address, stop, thread: Some(thread) })
}

/// Accepts until told to stop, then waits for the connections.
async fn accept(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    let seats = Arc::new(Seats::default());
    loop {
        let next = tokio::select! {
            next = next(&listener, &places, &seats) => next,
            _ = stopped.changed() => break,
        };
        match next {
            Ok((stream, place)) => {
                let place = (place, seats.take());
                tokio::spawn(connection(stream, router.clone(), stopped.clone(), place));
            }
            Err(error) => {
                // Out of files, most likely: at once it would fail again.
                tracing::warn!(%error, "an HTTP connection could not be accepted");
                sleep(Duration::from_millis(HTTP_ACCEPT_RETRY_MS)).await;
            }
        }
    }
    drop(listener);
    let all = places.acquire_many(HTTP_CONNECTIONS_MAX as u32);
    // Too late or not, the thread ends.
    let _ = timeout(Duration::from_millis(HTTP_STOP_MS_MAX), all).await;
    Ok(())
}

/// The next connection, once there is a place for it: the idlest one makes way.
async fn next(
    listener: &tokio::net::TcpListener,
    places: &Arc<Semaphore>,
    seats: &Seats,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let (stream, _) = listener.accept().await?;
    if places.available_permits() == 0 {
        seats.ask_idlest_to_leave();
    }
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    Ok((stream, place))
}

/// Serves one connection until it ends, is too old, makes way, or the listener stops.
async fn connection(
    stream: TcpStream,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    place: (OwnedSemaphorePermit, Taken),
) {
    let seat = &place.1.0;
    let pages = TowerToHyperService::new(router);
    let service = service_fn(|request| {
        seat.begin();
        let answer = pages.call(request);
        async move {
            let answer = answer.await;
            seat.end();
            answer
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(HTTP_HEAD_MS_MAX))
            .max_buf_size(HTTP_HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
    );
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = sleep(Duration::from_millis(HTTP_CONNECTION_MS_MAX)) => return,
        () = seat.left() => return,
    };
    if let Err(error) = result {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}
