//! What operators have done about the cluster goes to the control plane. Knows no command of
//! theirs.

use crate::control::Control;
use crate::worker::{ClusterAdmin, Ordered, Standing};
use cluster::control::ControlCommand;
use std::sync::Arc;

/// The control plane, as the commands of operators see it.
pub(super) struct Admin(pub(super) Arc<Control>);

impl ClusterAdmin for Admin {
    fn standing(&self) -> Standing {
        let published = self.0.published();
        Standing {
            state: published.state.clone(),
            me: published.me,
            leader: published.leader,
            trouble: published.trouble.clone(),
        }
    }

    fn propose(&self, command: ControlCommand) -> Ordered {
        let control = self.0.clone();
        Box::pin(async move { control.propose(command).await.map_err(|error| error.to_string()) })
    }

    fn form_without(&self, seeds: Vec<String>) -> Result<(), String> {
        self.0.form_without(seeds).map_err(|error| error.to_string())
    }
}
