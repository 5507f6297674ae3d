//! Prometheus families out of plain numbers. Knows the data model, not what is measured.

use crate::metrics::Distribution;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

/// Upper ends of the latency buckets: nanoseconds, and the same in seconds.
const LATENCY_BOUNDS: [(u64, f64); 25] = [
    (100, 1e-7),
    (250, 2.5e-7),
    (500, 5e-7),
    (1_000, 1e-6),
    (2_500, 2.5e-6),
    (5_000, 5e-6),
    (10_000, 1e-5),
    (25_000, 2.5e-5),
    (50_000, 5e-5),
    (100_000, 1e-4),
    (250_000, 2.5e-4),
    (500_000, 5e-4),
    (1_000_000, 1e-3),
    (2_500_000, 2.5e-3),
    (5_000_000, 5e-3),
    (10_000_000, 1e-2),
    (25_000_000, 2.5e-2),
    (50_000_000, 5e-2),
    (100_000_000, 0.1),
    (250_000_000, 0.25),
    (500_000_000, 0.5),
    (1_000_000_000, 1.0),
    (2_500_000_000, 2.5),
    (5_000_000_000, 5.0),
    (10_000_000_000, 10.0),
];

/// Names and values of the labels of one metric.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Families of metrics under construction, each name begun with the same prefix.
pub(super) struct Families {
    prefix: &'static str,
    list: Vec<MetricFamily>,
}

impl Families {
    /// None yet.
    pub(super) fn new(prefix: &'static str) -> Families {
        Families { prefix, list: Vec::new() }
    }

    /// All of them.
    pub(super) fn into_vec(self) -> Vec<MetricFamily> {
        self.list
    }

    /// A number that only grows.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.begin(name, help, MetricType::COUNTER).count(&[], value);
    }

    /// A number that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.begin(name, help, MetricType::GAUGE).gauge(&[], value);
    }

    /// A family whose metrics follow, with labels.
    pub(super) fn begin(&mut self, name: &str, help: &str, kind: MetricType) -> Family<'_> {
        let mut family = MetricFamily::default();
        family.set_name(format!("{}{name}", self.prefix));
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        let at = self.list.len();
        self.list.push(family);
        Family(&mut self.list[at])
    }
}

/// One family.
pub(super) struct Family<'a>(&'a mut MetricFamily);

impl Family<'_> {
    /// Adds a number that only grows.
    pub(super) fn count(&mut self, labels: Labels<'_>, value: f64) {
        let mut counter = Counter::default();
        counter.set_value(value);
        self.metric(labels).set_counter(counter);
    }

    /// Adds a number that goes up and down.
    pub(super) fn gauge(&mut self, labels: Labels<'_>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        self.metric(labels).set_gauge(gauge);
    }

    /// Adds latencies, in seconds.
    pub(super) fn latency(&mut self, labels: Labels<'_>, latency: &Distribution) {
        let bucket = |(nanos, seconds): &(u64, f64)| {
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(latency.count_to(*nanos));
            bucket.set_upper_bound(*seconds);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(LATENCY_BOUNDS.iter().map(bucket).collect());
        histogram.set_sample_count(latency.count());
        histogram.set_sample_sum(latency.sum() as f64 / 1e9);
        self.metric(labels).set_histogram(histogram);
    }

    fn metric(&mut self, labels: Labels<'_>) -> &mut Metric {
        let pair = |(name, value): &(&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        let metrics = self.0.mut_metric();
        let at = metrics.len();
        metrics.push(Metric::from_label(labels.iter().map(pair).collect()));
        &mut metrics[at]
    }
}
