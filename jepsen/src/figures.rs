//! Figures over repetitions, as people and programs read them. Pure.

use serde_json::{Value, json};
use std::fmt::Write;

/// The value below or at which `percent` of the sorted values are; 0 of none.
pub fn percentile(sorted: &[u64], percent: f64) -> u64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "counts are small"
    )]
    let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted[rank.clamp(1, last + 1) - 1]
}

/// Nanoseconds as milliseconds with one digit.
pub fn ms(ns: u64) -> String {
    let tenths = (ns + 50_000) / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// One figure in all repetitions.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// Nanoseconds.
    pub values_ns: Vec<u64>,
}

impl Figure {
    /// A name and its values.
    pub fn new(name: impl Into<String>, mut values_ns: Vec<u64>) -> Figure {
        values_ns.sort_unstable();
        Figure { name: name.into(), values_ns }
    }

    /// The middle one.
    pub fn p50(&self) -> u64 {
        percentile(&self.values_ns, 50.0)
    }

    /// The one that 99 of 100 do not exceed.
    pub fn p99(&self) -> u64 {
        percentile(&self.values_ns, 99.0)
    }

    /// As JSON, in nanoseconds.
    pub fn json(&self) -> Value {
        json!({
            "name": self.name,
            "count": self.values_ns.len(),
            "p50_ns": self.p50(),
            "p99_ns": self.p99(),
            "max_ns": self.values_ns.last(),
            "values_ns": self.values_ns,
        })
    }
}

/// A table of figures, in milliseconds.
pub fn table(figures: &[Figure]) -> String {
    let width = figures.iter().map(|figure| figure.name.chars().count()).max().unwrap_or(0);
    let mut text = format!(
        "{:<width$}  {:>5} {:>9} {:>9} {:>9} {:>9}\n",
        "ms", "runs", "least", "p50", "p99", "most"
    );
    for figure in figures {
        let (values, name) = (&figure.values_ns, &figure.name);
        let ends = [values.first(), values.last()].map(|end| end.map_or("-".into(), |v| ms(*v)));
        let [least, most] = ends;
        let (count, p50, p99) = (values.len(), ms(figure.p50()), ms(figure.p99()));
        let _ = writeln!(text, "{name:<width$}  {count:>5} {least:>9} {p50:>9} {p99:>9} {most:>9}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Figure, ms, percentile, table};

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!([0.0, 50.0, 99.0, 100.0].map(|p| percentile(&values, p)), [1, 50, 99, 100]);
        assert_eq!((percentile(&[7], 99.0), percentile(&[], 50.0)), (7, 0));
    }

    #[test]
    fn a_table_of_milliseconds() {
        assert_eq!(ms(1_250_000), "1.3");
        let figures = [Figure::new("a", vec![3_000_000, 1_000_000]), Figure::new("none", vec![])];
        let expected = "\
ms     runs     least       p50       p99      most
a         2       1.0       1.0       3.0       3.0
none      0         -       0.0       0.0         -
";
        assert_eq!(table(&figures), expected);
    }
}
