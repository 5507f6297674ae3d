//! How long single steps of upkeep and single writes keep a thread busy, and how soon memory of
//! expired items can be used again. Time is simulated; processor time is real.

#[path = "../common/mod.rs"]
mod common;
mod steps;
mod ttl;
mod world;

use common::{Options, Report};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// More than any part needs at once.
const WARM_MIB: usize = 2048;

fn main() {
    let options = Options::read(&["--warm"]);
    let mut report = Report::new("upkeep");
    let warm_mib = options.value("--warm").and_then(|mib| mib.parse().ok()).unwrap_or(WARM_MIB);
    world::warm(warm_mib * 1024 * 1024);
    report.remark(format!("{warm_mib} MiB of memory were touched and given back before."));
    if ["steps-growth", "steps-evict", "steps-expire"].iter().any(|part| options.wants(part)) {
        steps::measure(&options, &mut report);
    }
    if options.wants("reuse") {
        ttl::measure_reuse(&options, &mut report);
    }
    if options.wants("mixed") {
        ttl::measure_mixed(&options, &mut report);
    }
    if options.wants("bounded") {
        ttl::measure_bounded(&options, &mut report);
    }
    report.print(options.json);
}
