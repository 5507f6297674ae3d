//! A cluster for people: a headline that says whether all is well, a table of nodes, what moves.
//! Pure, but for the question.

use super::call::Target;
use super::document::{Move, Node, Plan, Settings, Status, read};
use super::{Done, print};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Asks and shows.
pub(super) fn status(target: &Target) -> Done {
    let answer = target.ask(&["STATUS"])?;
    if target.json {
        print(&format!("{answer}\n"));
        return Ok(());
    }
    print(&text(&read(&answer)?));
    Ok(())
}

/// All of it.
pub(in crate::cli) fn text(status: &Status) -> String {
    let Some(cluster) = &status.cluster else {
        let reason = status.trouble.as_deref().unwrap_or("it is being formed");
        return format!("no cluster yet: {reason}\n");
    };
    let nodes = status.nodes.len();
    let mut text = format!(
        "cluster {}  {nodes} node{}, {} of each item, topology {}\n",
        &cluster[..cluster.len().min(8)],
        if nodes == 1 { "" } else { "s" },
        plural(u64::from(status.replication_factor), "copy", "copies"),
        status.version,
    );
    headline(status, &mut text);
    text.push('\n');
    let rows: Vec<Vec<String>> = status.nodes.iter().map(|node| row(node, status)).collect();
    table(&HEAD, &rows, &mut text);
    moves(status, &mut text);
    text
}

const HEAD: [(&str, Side); 8] = [
    ("node", Side::Right),
    ("state", Side::Left),
    ("clients", Side::Left),
    ("zone", Side::Left),
    ("raft", Side::Left),
    ("primary of", Side::Right),
    ("copies", Side::Right),
    ("behind", Side::Right),
];

/// Where a column is flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

fn row(node: &Node, status: &Status) -> Vec<String> {
    let state = match (node.up, node.phase.as_str()) {
        (true, "active") => "up".to_owned(),
        (true, phase) => phase.to_owned(),
        (false, "active") => "DOWN".to_owned(),
        (false, phase) => format!("DOWN, {phase}"),
    };
    let raft = match (node.leader, node.voter) {
        (true, _) => "leader",
        (false, true) => "voter",
        (false, false) => "learner",
    };
    let mut copies = node.copies.to_string();
    if node.learners > 0 {
        let _ = write!(copies, " +{}", node.learners);
    }
    let percent = f64::from(node.primaries) * 100.0 / f64::from(status.groups.total.max(1));
    vec![
        node.id.to_string(),
        state,
        node.address().unwrap_or("-").to_owned(),
        if node.zone.is_empty() { "-".into() } else { node.zone.clone() },
        raft.to_owned(),
        format!("{:>4} {percent:>3.0}%", node.primaries),
        copies,
        behind(node),
    ]
}

/// How far its copies are behind those they are copies of.
fn behind(node: &Node) -> String {
    match node.lag {
        None => "-".into(),
        Some(lag) if lag.records == 0 => "0".into(),
        Some(lag) => format!("{}, {} ms", plural(lag.records, "record", "records"), lag.ms),
    }
}

/// Whether all is well; else each thing that is not, on a line of its own.
fn headline(status: &Status, text: &mut String) {
    let groups = &status.groups;
    let mut wrong = Vec::new();
    if groups.without_primary > 0 {
        wrong
            .push(format!("{} of {} groups have no primary", groups.without_primary, groups.total));
    }
    if groups.under_replicated > 0 {
        let count = groups.under_replicated;
        wrong.push(format!("{count} of {} groups have too few copies", groups.total));
    }
    let down: Vec<String> =
        status.nodes.iter().filter(|node| !node.up).map(|node| node.id.to_string()).collect();
    if !down.is_empty() {
        wrong.push(format!("down: node {}", down.join(", ")));
    }
    if !status.lease {
        let asked = status.asked.map_or("this node".into(), |id| format!("node {id}"));
        wrong.push(format!("{asked} does not hear the majority of the voters"));
    }
    if status.leader.is_none() {
        wrong.push("no leader is known: nothing can be changed".into());
    }
    wrong.extend(status.trouble.clone());
    match wrong.split_first() {
        None if groups.moving > 0 => {
            let _ =
                writeln!(text, "well; {} moving", plural(groups.moving.into(), "group", "groups"));
        }
        None => text.push_str("well: every group has its primary and its copies\n"),
        Some((first, rest)) => {
            let _ = writeln!(text, "NOT WELL: {first}");
            rest.iter().for_each(|line| {
                let _ = writeln!(text, "          {line}");
            });
        }
    }
    if groups.lost > 0 {
        let lost = plural(groups.lost, "group was", "groups were");
        let _ = writeln!(text, "since the cluster was formed {lost} lost and begun anew");
    }
}

/// What moves where, in a line for each pair of nodes.
fn moves(status: &Status, text: &mut String) {
    let mut ways: BTreeMap<String, u32> = BTreeMap::new();
    for one in &status.moves {
        *ways.entry(way(one)).or_default() += 1;
    }
    if ways.is_empty() {
        return;
    }
    text.push_str("\nmoving\n");
    for (way, count) in ways {
        let _ = writeln!(text, "  {:>4} {way}", count);
    }
    let told = u32::try_from(status.moves.len()).unwrap_or(u32::MAX);
    if let Some(more @ 1..) = status.groups.moving.checked_sub(told) {
        let _ = writeln!(text, "  {more:>4} more");
    }
}

fn way(one: &Move) -> String {
    let new = one.target.iter().find(|node| !one.holders.contains(node));
    let old = one.holders.iter().find(|node| !one.target.contains(node));
    match (old, new) {
        (Some(old), Some(new)) => format!("from node {old} to node {new}"),
        (None, Some(new)) => format!("another copy, to node {new}"),
        (Some(old), None) => format!("leaving node {old}"),
        (None, None) => match one.target.first() {
            Some(first) => format!("becoming node {first}'s own"),
            None => "without a place".to_owned(),
        },
    }
}

/// What would move.
pub(super) fn plan(plan: &Plan) -> String {
    if plan.groups == 0 {
        return "shares are even: nothing would move\n".to_owned();
    }
    let mut text = format!(
        "{} would move, at most {} at a time: {} made, {} handed over\n\n",
        plural(plan.groups.into(), "group", "groups"),
        plan.at_a_time,
        plural(plan.copies.into(), "copy", "copies"),
        plural(plan.handovers.into(), "primary", "primaries"),
    );
    let head = [
        ("node", Side::Right),
        ("primary of", Side::Right),
        ("then", Side::Right),
        ("copies", Side::Right),
        ("then", Side::Right),
    ];
    let cells = |share: &super::document::Share| {
        let [[p0, p1], [c0, c1]] = [share.primaries, share.copies];
        [share.id, p0.into(), p1.into(), c0.into(), c1.into()].map(|n| n.to_string()).to_vec()
    };
    let rows: Vec<Vec<String>> = plan.nodes.iter().map(cells).collect();
    table(&head, &rows, &mut text);
    text
}

/// What holds for the whole cluster.
pub(super) fn settings(settings: &Settings) -> String {
    let fixed = |name: &String| if settings.fixed.contains(name) { "fixed" } else { "" };
    let row =
        |(name, value): (&String, &String)| vec![name.clone(), value.clone(), fixed(name).into()];
    let rows: Vec<Vec<String>> = settings.settings.iter().map(row).collect();
    let mut text = String::new();
    table(&[("setting", Side::Left), ("value", Side::Left), ("", Side::Left)], &rows, &mut text);
    text
}

/// Columns as wide as what is in them, two spaces between.
fn table(head: &[(&str, Side)], rows: &[Vec<String>], text: &mut String) {
    let widest = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(head[column].0.chars().count())
    };
    let widths: Vec<usize> = (0..head.len()).map(widest).collect();
    let mut line = |cells: &[&str]| {
        let mut line = String::new();
        for ((cell, width), (_, side)) in cells.iter().zip(&widths).zip(head) {
            let _ = match side {
                Side::Left => write!(line, "  {cell:<width$}"),
                Side::Right => write!(line, "  {cell:>width$}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(&head.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    rows.iter().for_each(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
}

/// A number and its noun.
pub(super) fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::{Status, text};

    fn status(json: &str) -> Status {
        serde_json::from_str(json).expect("a status")
    }

    const GROUPS: &str = r#""groups":{"total":1024,"without_primary":0,"under_replicated":3,
        "one_copy":3,"moving":2,"lost":0}"#;

    #[test]
    fn what_an_operator_sees() {
        let node = |id: u64, up: bool, phase: &str, leader: bool| {
            format!(
                r#"{{"id":{id},"up":{up},"phase":"{phase}","zone":"","incarnation":1,"voter":true,
                "leader":{leader},"control":"h:7101","primaries":342,"copies":683,"learners":{},
                "lag":{},"clients":[{{"address":"127.0.0.1:700{id}","forward":false}}]}}"#,
                if up { 0 } else { 2 },
                match id {
                    1 => r#"{"records":0,"ms":0}"#,
                    2 => r#"{"records":12,"ms":7}"#,
                    _ => "null",
                }
            )
        };
        let nodes = [
            node(1, true, "active", true),
            node(2, true, "draining", false),
            node(3, false, "active", false),
        ];
        let json = format!(
            r#"{{"cluster":"0123456789abcdef","version":7,"asked":1,"leader":1,"lease":true,
            "trouble":null,"replication_factor":2,"gone":[],"nodes":[{}],{GROUPS},
            "moves":[{{"holders":[2,1],"target":[1,3]}},{{"holders":[1,3],"target":[3,1]}}]}}"#,
            nodes.join(",")
        );
        let wanted = "\
cluster 01234567  3 nodes, 2 copies of each item, topology 7
NOT WELL: 3 of 1024 groups have too few copies
          down: node 3

  node  state     clients         zone  raft    primary of  copies            behind
     1  up        127.0.0.1:7001  -     leader    342  33%     683                 0
     2  draining  127.0.0.1:7002  -     voter     342  33%     683  12 records, 7 ms
     3  DOWN      127.0.0.1:7003  -     voter     342  33%  683 +2                 -

moving
     1 becoming node 3's own
     1 from node 2 to node 3
";
        assert_eq!(text(&status(&json)), wanted);
    }

    #[test]
    fn before_there_is_a_cluster_the_reason_is_shown() {
        let json = format!(
            r#"{{"cluster":null,"version":0,"asked":null,"leader":null,"lease":false,
            "trouble":"waiting for seed b:1 to answer","replication_factor":2,"gone":[],
            "nodes":[],{GROUPS},"moves":[]}}"#
        );
        let told = "no cluster yet: waiting for seed b:1 to answer\n";
        assert_eq!(text(&status(&json)), told);
    }
}
