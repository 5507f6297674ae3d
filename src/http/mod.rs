//! The HTTP listener: /metrics, /health, /ready.
