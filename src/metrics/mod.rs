//! Counters and histograms of the workers, declared where they are summed.
