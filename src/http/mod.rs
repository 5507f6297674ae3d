//! The HTTP listener: /metrics, /health, /ready, on a thread of its own, so that it answers
//! while every worker is busy. Only reads; knows neither sessions nor workers.

mod collector;
mod compat;
mod disk;
mod families;
mod health;
mod listen;
mod seats;

pub use listen::{HttpServer, serve};

use crate::engine::Engine;
use crate::metrics::{Metrics, NodeFacts};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use collector::NodeCollector;
use health::Health;
use prometheus::{Registry, TextEncoder};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the pages are made from.
#[derive(Clone)]
pub struct HttpState {
    /// The items, for their counters.
    pub engine: Arc<Engine>,
    /// The counters of the workers.
    pub metrics: Arc<Metrics>,
    /// Tells about the node now.
    pub facts: Arc<dyn Fn() -> NodeFacts + Send + Sync>,
    /// Whether clients should come: listening, and not about to stop.
    pub ready: Arc<AtomicBool>,
    /// Whether `/metrics` also has the names that redis_exporter gives.
    pub redis_compat: bool,
}

impl HttpState {
    fn health(&self) -> Health {
        let facts = (self.facts)();
        Health::new(&facts, &self.metrics, self.ready.load(Ordering::Acquire))
    }
}

/// The pages, and what `/metrics` is gathered from.
#[derive(Clone)]
struct Pages {
    state: HttpState,
    registry: Registry,
}

/// The pages by their paths.
///
/// # Errors
/// When the collector does not go with those registered before.
fn router(state: HttpState) -> Result<Router, prometheus::Error> {
    let registry = Registry::new();
    registry.register(Box::new(NodeCollector::new(state.clone())?))?;
    Ok(Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/health/live", get(health))
        .route("/health/ready", get(ready))
        .route("/ready", get(ready))
        .with_state(Pages { state, registry }))
}

async fn metrics(State(pages): State<Pages>) -> Response {
    match TextEncoder::new().encode_to_string(&pages.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn health(State(pages): State<Pages>) -> Response {
    let health = pages.state.health();
    answer(health.is_healthy(), &health)
}

async fn ready(State(pages): State<Pages>) -> Response {
    let health = pages.state.health();
    answer(health.is_ready(), &health)
}

fn answer(good: bool, health: &Health) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, health.json()).into_response()
}

#[cfg(test)]
mod tests;
