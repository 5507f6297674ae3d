//! A report as text. Decides nothing about the numbers but how they are written.

use super::report::{KindReport, PhaseReport, Report, Settings, TraceReport};
use std::fmt;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "server {}", self.server)?;
        if let Some(settings) = &self.settings {
            writeln!(f, "{settings}")?;
        }
        for phase in &self.phases {
            write!(f, "\n{phase}")?;
        }
        if let Some(trace) = &self.trace {
            write!(f, "\n{trace}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "connections {}, threads {}, pipeline {}, {} keys ({}) of {} B, values of {} B, \
             {} % reads",
            self.connections,
            self.threads,
            self.pipeline,
            self.keys,
            self.distribution,
            self.key_size,
            self.value_size,
            self.reads * 100.0,
        )?;
        if let Some(ttl) = &self.ttl_seconds {
            write!(f, ", TTL {ttl} s")?;
        }
        match self.rate {
            None => write!(f, ", closed loop: latency counts from when a request is sent"),
            Some(rate) => {
                write!(f, ", open loop at {rate}/s: latency counts from when a request is due")
            }
        }
    }
}

impl fmt::Display for PhaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<6} {:>11} {:>10} {:>8} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            self.name,
            "requests",
            "per second",
            "errors",
            "misses",
            "mean",
            "p50",
            "p95",
            "p99",
            "p99.9",
            "max"
        )?;
        for (name, kind) in [("GET", &self.get), ("SET", &self.set)] {
            if let Some(kind) = kind {
                row(f, name, kind)?;
            }
        }
        row(f, "all", &self.all)?;
        write!(
            f,
            "{:.2} s; CPU per request: generator {:.2} us ({:.0} % busy)",
            self.seconds,
            self.generator_cpu_us_per_request,
            self.generator_busy * 100.0
        )?;
        match self.server_cpu_us_per_request {
            Some(us) => writeln!(f, ", server {us:.2} us")?,
            None => writeln!(f)?,
        }
        for error in &self.errors {
            writeln!(
                f,
                "error, {} times: {}",
                error.count,
                error.text.replace(char::is_control, "?")
            )?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        match &self.failure {
            Some(failure) => writeln!(f, "ended early: {failure}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for TraceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "trace {} ({}), window {}", self.file, self.format, self.window)?;
        writeln!(
            f,
            "hit ratio {:.2} % ({} of {})",
            self.hit_ratio * 100.0,
            self.hits,
            self.accesses
        )?;
        match self.byte_hit_ratio {
            Some(ratio) => writeln!(f, "byte hit ratio {:.2} %", ratio * 100.0),
            None => Ok(()),
        }
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, kind: &KindReport) -> fmt::Result {
    write!(
        f,
        "{name:<6} {:>11} {:>10.0} {:>8} {:>10}",
        kind.requests, kind.requests_per_second, kind.errors, kind.misses
    )?;
    for us in [kind.mean_us, kind.p50_us, kind.p95_us, kind.p99_us, kind.p999_us, kind.max_us] {
        write!(f, " {:>9}", duration(us))?;
    }
    writeln!(f)
}

/// Microseconds, with three digits that mean something.
fn duration(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 999.5 => (us, "us"),
        us if us < 999_500.0 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    let digits = match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        for (us, text) in [
            (0.0, "0.00 us"),
            (1.234, "1.23 us"),
            (45.67, "45.7 us"),
            (999.4, "999 us"),
            (999.5, "1.00 ms"),
            (12_345.0, "12.3 ms"),
            (1_234_567.0, "1.23 s"),
            (99_000_000.0, "99.0 s"),
        ] {
            assert_eq!(duration(us), text);
        }
    }
}
