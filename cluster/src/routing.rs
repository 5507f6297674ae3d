//! Where a command on a group is executed: here, elsewhere, nowhere now. Knows neither how it gets
//! there nor what it does.

use crate::node::NodeId;
use crate::slot::Group;
use crate::topology::Topology;

/// Which copies a command may be executed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The primary's only: every write, and reads by default.
    Primary,
    /// Any that is announced: a read of a connection that said READONLY.
    Any,
}

/// Where a command is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// By this node.
    Local,
    /// By this one.
    Elsewhere(NodeId),
    /// By nobody now: the group has no primary.
    Nobody,
}

/// Where a command on `group` that arrived at `me` is executed.
#[inline]
pub fn route(topology: &Topology, me: NodeId, group: Group, access: Access) -> Route {
    let owner = topology.owner(group);
    if owner == Some(me) {
        return Route::Local;
    }
    if access == Access::Any && topology.holders(group).replicas.contains(&me) {
        return Route::Local;
    }
    owner.map_or(Route::Nobody, Route::Elsewhere)
}

#[cfg(test)]
mod tests {
    use super::{Access, Route, route};
    use crate::node::NodeId;
    use crate::record::Epoch;
    use crate::slot::{GROUPS, Group};
    use crate::topology::{Holders, Topology};

    #[test]
    fn by_who_keeps_the_group() {
        let node = |number| NodeId::new(number).unwrap();
        let kept = Holders { epoch: Epoch(1), primary: Some(node(1)), replicas: vec![node(2)] };
        let mut holders = vec![kept.clone(); usize::from(GROUPS)];
        holders[5] = Holders { primary: None, ..kept };
        let topology = Topology::new(1, holders).unwrap();
        let at = |me, group, access| route(&topology, node(me), Group::new(group).unwrap(), access);
        assert_eq!(at(1, 0, Access::Primary), Route::Local);
        assert_eq!(at(2, 0, Access::Primary), Route::Elsewhere(node(1)));
        assert_eq!(at(2, 0, Access::Any), Route::Local);
        assert_eq!(at(3, 0, Access::Any), Route::Elsewhere(node(1)));
        assert_eq!(at(2, 5, Access::Any), Route::Local);
        assert_eq!(at(1, 5, Access::Primary), Route::Nobody);
    }
}
