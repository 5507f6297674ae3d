//! What clients did and saw, as Jepsen writes it: EDN, one map a line. Pure.

use std::fmt::Write;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// A key's next value; values of a key count up, and each key has one writer.
    Write,
    /// A key's value.
    Read,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged.
    Ok,
    /// Certainly not done.
    Fail,
    /// Nobody knows whether it was done.
    Info,
}

/// One operation of one process. Times are nanoseconds of [`crate::clock`].
#[derive(Clone, Debug)]
pub struct Op {
    /// Who; does one thing at a time.
    pub process: u32,
    /// Which key.
    pub key: Box<str>,
    /// What.
    pub function: Function,
    /// The value written, or read; a read without one found nothing.
    pub value: Option<u64>,
    /// When it was to begin.
    pub due_ns: u64,
    /// When it began.
    pub invoked_ns: u64,
    /// When its end was known.
    pub completed_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Which node answered at last: the position in the list of all nodes that there were.
    pub node: Option<u16>,
    /// Whether it went through a node that forwards.
    pub plain: bool,
    /// Whether what was read is not what anybody wrote to this key.
    pub garbled: bool,
}

impl Op {
    /// What its user waited, from when it was to begin.
    pub fn latency_ns(&self) -> u64 {
        self.completed_ns.saturating_sub(self.due_ns)
    }

    /// Whether it is an acknowledged write.
    pub fn is_acknowledged_write(&self) -> bool {
        self.function == Function::Write && self.outcome == Outcome::Ok
    }
}

/// What was done to the cluster.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub time_ns: u64,
    /// Such as `kill`.
    pub what: &'static str,
    /// To which node.
    pub node: u64,
}

/// Everything, in the order of time, as EDN.
pub fn edn(ops: &[Op], events: &[Event]) -> String {
    let mut lines: Vec<(u64, String)> = Vec::with_capacity(ops.len() * 2 + events.len());
    for op in ops {
        let (f, outcome) = match op.function {
            Function::Write => (":write", op.value),
            Function::Read => (":read", None),
        };
        lines.push((op.invoked_ns, line(op, ":invoke", f, outcome, op.invoked_ns)));
        let kind = match op.outcome {
            Outcome::Ok => ":ok",
            Outcome::Fail => ":fail",
            Outcome::Info => ":info",
        };
        lines.push((op.completed_ns, line(op, kind, f, op.value, op.completed_ns)));
    }
    for Event { time_ns, what, node } in events {
        let text = format!(
            "{{:type :info, :f :{what}, :value {node}, :process :nemesis, :time {time_ns}}}"
        );
        lines.push((*time_ns, text));
    }
    // Stable: what a process begins comes before what it ends in the same nanosecond.
    lines.sort_by_key(|(time, _)| *time);
    let mut text = String::with_capacity(lines.len() * 96);
    for (_, line) in &lines {
        let _ = writeln!(text, "{line}");
    }
    text
}

fn line(op: &Op, kind: &str, f: &str, value: Option<u64>, time: u64) -> String {
    let value = value.map_or("nil".to_owned(), |value| value.to_string());
    let (key, process) = (&op.key, op.process);
    format!(
        "{{:type {kind}, :f {f}, :value [\"{key}\" {value}], :process {process}, :time {time}}}"
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Event, Function, Op, Outcome, edn};

    /// An operation that was due when it was invoked.
    pub(crate) fn op(function: Function, value: Option<u64>, from: u64, to: u64) -> Op {
        Op {
            process: 1,
            key: "k".into(),
            function,
            value,
            due_ns: from,
            invoked_ns: from,
            completed_ns: to,
            outcome: Outcome::Ok,
            node: Some(0),
            plain: false,
            garbled: false,
        }
    }

    #[test]
    fn a_line_for_each_begin_and_end_in_order() {
        let mut read = op(Function::Read, Some(4), 20, 50);
        read.process = 2;
        let ops = [op(Function::Write, Some(5), 10, 30), read];
        let events = [Event { time_ns: 25, what: "kill", node: 3 }];
        let expected = "\
{:type :invoke, :f :write, :value [\"k\" 5], :process 1, :time 10}
{:type :invoke, :f :read, :value [\"k\" nil], :process 2, :time 20}
{:type :info, :f :kill, :value 3, :process :nemesis, :time 25}
{:type :ok, :f :write, :value [\"k\" 5], :process 1, :time 30}
{:type :ok, :f :read, :value [\"k\" 4], :process 2, :time 50}
";
        assert_eq!(edn(&ops, &events), expected);
    }
}
