//! The forms of CLUSTER by which operators change a Redis Cluster, and what does the same here.

/// Why a form of CLUSTER that would change the cluster is refused, and the command to use instead.
pub(super) fn instead(name: &str) -> Option<&'static str> {
    let text = match name {
        "cluster|meet" => "ERR nodes join by their seeds: start one, then `crabcache cluster add`",
        "cluster|forget" => {
            "ERR use `crabcache cluster remove`, or `crabcache cluster forget` \
                             for a node that is lost"
        }
        "cluster|addslots"
        | "cluster|addslotsrange"
        | "cluster|delslots"
        | "cluster|delslotsrange"
        | "cluster|flushslots" => {
            "ERR slots are placed by the cluster itself: use `crabcache cluster rebalance`, or \
             `crabcache cluster move` for one group"
        }
        "cluster|setslot" => "ERR slots move in groups of 16: use `crabcache cluster move`",
        "cluster|replicate" => {
            "ERR every node keeps copies of others' slots: use `crabcache \
                                cluster config` to set how many copies there are"
        }
        "cluster|failover" => "ERR use `crabcache cluster failover`",
        "cluster|reset" => "ERR use `crabcache cluster remove` to take a node out",
        "cluster|set-config-epoch" | "cluster|bumpepoch" => {
            "ERR epochs are the cluster's own: `crabcache cluster status` shows them"
        }
        "cluster|saveconfig" => {
            "ERR what the cluster agreed on is on disk already: see \
                                 `crabcache cluster status`"
        }
        _ => return None,
    };
    Some(text)
}
