//! Forwarding as the workers of a node ask for it, and what it learns from them: the two rooms know
//! nothing of each other.

use crate::command::spec::Spec;
use crate::config::Validation;
use crate::metrics::CommandIndex;
use crate::peer::Endpoint;
use crate::replication::forward::{Exchange, Here, Outlook, Routed, Sight};
use crate::wal::log::LogState;
use crate::worker::{Forwarder, Forwarding, Later, Scope, Shared};
use cluster::node::NodeId;
use std::pin::Pin;
use std::sync::Arc;

/// What a node's workers know.
struct Known(Arc<Shared>);

/// Carries out what the workers do not.
struct Forwards(Arc<Exchange>);

/// This node as one that carries out others' commands: it answers the calls of
/// [`FORWARD_CALL`](crate::replication::forward::FORWARD_CALL).
pub fn here(shared: &Arc<Shared>) -> Arc<Here> {
    let outlook = Arc::new(Known(shared.clone()));
    Arc::new(Here::new(shared.engine.clone(), shared.log.clone(), outlook))
}

/// Lets the node's workers send commands to other nodes over `endpoint`. To be called where the
/// endpoint's runtime is entered.
pub fn start(shared: &Shared, here: Arc<Here>, endpoint: Endpoint) {
    let exchange = Arc::new(Exchange::new(here, endpoint));
    let _ = shared.others.forwarder.set(Box::new(Forwards(exchange)));
}

impl Forwarder for Forwards {
    fn forward(&self, commands: Vec<Forwarding>) -> Later {
        let exchange = self.0.clone();
        let routed = |command: Forwarding| {
            let group = match command.scope {
                Scope::Group(group) => Some(group),
                Scope::Keys | Scope::Everywhere => None,
            };
            let Forwarding { spec, request, version, readonly, .. } = command;
            Routed { spec, group, request, version, readonly }
        };
        let commands = commands.into_iter().map(routed).collect();
        Box::pin(async move { exchange.carry_out(commands).await })
    }
}

impl Outlook for Known {
    fn look(&self) -> Option<Sight> {
        let view = self.0.views.get()?;
        let (me, topology, leased) = (view.me(), view.topology_kept(), view.is_leased());
        Some(Sight { me, topology, leased })
    }

    fn was_leased_since(&self, nanos: u64) -> bool {
        self.0.views.get().is_some_and(|view| view.was_leased_since(nanos))
    }

    fn is_up(&self, node: NodeId) -> bool {
        self.0.views.get().is_some_and(|view| view.is_up(node))
    }

    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.0.views.changed())
    }

    fn slowed(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>> {
        let pressure = &self.0.pressure;
        pressure.is_on().then(|| Box::pin(pressure.pass()) as _)
    }

    fn refuses(&self, is_write: bool) -> Option<String> {
        let word = self.0.notice.word();
        if word.is_loading() {
            return Some("LOADING CrabCache is loading the dataset in memory".into());
        }
        if is_write && word.is_paused() && self.0.notice.is_held() {
            return Some("LOADING This node is saving its data and ends".into());
        }
        if is_write
            && word.is_refusing()
            && let Some(LogState::Failing(reason)) = self.0.log.as_ref().map(|log| log.state())
        {
            return Some(format!(
                "MISCONF Errors writing to the log: {reason}. Writes are refused until it works"
            ));
        }
        None
    }

    fn carried_out(&self, spec: &'static Spec, nanos: u64, failed: bool) {
        self.0.metrics.of_others(CommandIndex(spec.id.index() as u16), nanos, failed);
    }

    fn validation(&self) -> Validation {
        self.0.notice.settings().validation
    }
}
