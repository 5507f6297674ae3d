//! One process to a node: where a node is believed to be, and what is said to a second process
//! that comes with its certificate. Changes nothing in the Raft group.

use super::codec;
use super::core::Core;
use super::message::{Iam, Kind, Who};
use crate::limits::CONTROL_CALL_MS_MAX;
use cluster::node::{Node, NodeId, Registration};
use std::sync::Arc;
use std::time::Duration;

impl Core {
    /// A node is said to be at an address. If it is known at another one and answers there still,
    /// that one counts: what is meant for it must not go to a second process with its
    /// certificate. Finding that out waits for nobody; who asks again meanwhile asks in vain.
    pub(super) fn meet(self: &Arc<Core>, node: NodeId, address: &str) {
        let Some(before) = self.address_of(node).filter(|before| before != address) else {
            self.learn(node, address);
            return;
        };
        if node == self.me() || address.is_empty() || !self.meeting.lock().insert(node) {
            return;
        }
        let (core, address) = (self.clone(), address.to_owned());
        tokio::spawn(async move {
            let there = core.ask_who(&before).await;
            if there.is_ok_and(|iam| iam.registration.node == node) {
                tracing::warn!(
                    node = node.number(),
                    before,
                    address,
                    "said to be at another address, but answers where it was"
                );
            } else {
                core.learn(node, &address);
            }
            core.meeting.lock().remove(&node);
        });
    }

    /// Where the start of a node runs that the cluster knows, if that is another one than asks
    /// here and it answers. One that does not answer has no claim any more.
    pub(super) async fn runs_at(&self, asks: &Registration) -> Option<String> {
        let state = self.state();
        let is_other = |known: &&Node| known.is_member() && known.start != asks.start;
        let known = state.nodes.get(&asks.node).filter(is_other)?;
        let address = known.addresses.control.clone();
        let is_known = |it: &Registration| it.node == asks.node && it.start == known.start;
        let answers = is_known(&self.registration)
            || self.ask_who(&address).await.is_ok_and(|iam| is_known(&iam.registration));
        answers.then(|| {
            tracing::warn!(
                node = asks.node.number(),
                runs_at = address,
                asks_at = asks.addresses.control,
                "a second process asks in the name of a node; it is refused"
            );
            address
        })
    }

    /// This process is the second one of its node, as the cluster says: it is to end, before it
    /// is in the way of the first.
    pub(super) fn yield_to(&self, address: &str) -> String {
        let node = self.me().number();
        let reason = format!(
            "node {node} is running already, at {address}: a certificate belongs to one process, \
             so this one needs another"
        );
        self.shared.update(|published| published.must_end = Some(reason.clone()));
        reason
    }

    /// Asks whoever is at the address who that is, and believes nothing of it.
    ///
    /// # Errors
    /// Why there is no answer, for people.
    pub(super) async fn ask_who(&self, address: &str) -> Result<Iam, String> {
        let transport = self.transport().ok_or("the control plane is starting")?;
        let who = Who { address: self.registration.addresses.control.clone() };
        let body = codec::encode(&who).map_err(|error| error.to_string())?.into();
        let bound = Duration::from_millis(CONTROL_CALL_MS_MAX);
        let called = transport.call_address(address, Kind::Who as u8, body, bound).await;
        let (from, answer) = called.map_err(|error| error.to_string())?;
        let iam: Iam = codec::decode(&answer)
            .map_err(|error| format!("it cannot be understood, a newer version? {error}"))?;
        if iam.registration.node != from {
            return Err(format!("it says that it is another node than {}", from.number()));
        }
        Ok(iam)
    }
}
