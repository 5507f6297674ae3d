//! Buffers never overlap, begin zeroed, and leave nothing resident behind.

use super::{CUT_BYTES_MAX, Extents, REGION_BYTES};
use bytes::Bytes;

const PAGE: usize = 4096;

/// Resident pages of what is mapped.
fn resident_pages(extents: &Extents) -> usize {
    let inner = extents.inner.lock();
    let pages = |start: *mut u8, bytes: usize| {
        let mut states = vec![0u8; bytes.div_ceil(extents.page_bytes)];
        // SAFETY: a whole mapping, and a byte for each of its pages.
        let result = unsafe { libc::mincore(start.cast(), bytes, states.as_mut_ptr()) };
        assert_eq!(result, 0, "mincore");
        states.iter().filter(|&&state| state & 1 == 1).count()
    };
    inner.mappings.values().map(|m| pages(m.start.as_ptr(), m.bytes)).sum()
}

#[test]
fn a_buffer_is_resident_as_far_as_it_is_touched() {
    let extents = Extents::new();
    let mut buffer = extents.buffer(1000 * PAGE).expect("memory");
    assert_eq!((buffer.len(), resident_pages(&extents)), (1000 * PAGE, 0));
    buffer[..10 * PAGE + 1].fill(1);
    assert_eq!(resident_pages(&extents) * extents.page_bytes, 11 * PAGE);
    assert_eq!(extents.value_bytes(), 0);
    drop(buffer);
    assert_eq!(resident_pages(&extents), 0);
    let again = extents.buffer(1000 * PAGE).expect("memory");
    assert!(again.iter().all(|&b| b == 0));
}

#[test]
fn values_are_counted_while_anybody_refers_to_them() {
    let extents = Extents::new();
    let value = extents.copy(&[7; 20_000]).expect("memory");
    assert_eq!(extents.value_bytes(), 5 * PAGE as u64);
    let part = value.slice(PAGE..);
    assert!(extents.owns(&value) && extents.owns(&part) && !extents.owns(&value[1..]));
    assert!(!extents.owns(&Bytes::from(vec![7; 20_000])) && !Extents::new().owns(&value));
    drop(value);
    assert_eq!((part.len(), part[0], extents.value_bytes()), (20_000 - PAGE, 7, 5 * PAGE as u64));
    drop(part);
    assert_eq!((extents.value_bytes(), resident_pages(&extents)), (0, 0));
}

#[test]
fn very_large_ones_are_mapped_and_unmapped() {
    let extents = Extents::new();
    let mut large = extents.buffer(CUT_BYTES_MAX + 1).expect("memory");
    large[CUT_BYTES_MAX] = 1;
    assert_eq!(extents.inner.lock().mappings.len(), 1);
    let value = large.freeze();
    assert!(extents.owns(&value));
    drop(value);
    assert_eq!(extents.inner.lock().mappings.len(), 0);
    drop(extents.buffer(CUT_BYTES_MAX).expect("memory"));
    assert_eq!(extents.inner.lock().mappings.len(), 1);
}

#[test]
fn what_cannot_be_mapped_is_refused() {
    let extents = Extents::new();
    assert!(extents.buffer(1 << 60).is_none());
    assert!(extents.buffer(usize::MAX).is_none());
    assert!(extents.buffer(0).is_some_and(|buffer| buffer.is_empty()));
}

#[test]
fn random_buffers_keep_what_is_theirs() {
    let extents = Extents::new();
    let mut seed = 1u64;
    let mut below = |n: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % n
    };
    let mut held: Vec<(u8, Bytes)> = Vec::new();
    for step in 0..4_000 {
        if held.len() == 150 || (!held.is_empty() && below(3) == 0) {
            let (pattern, value) = held.swap_remove(below(held.len()));
            assert!(value.iter().all(|&b| b == pattern), "step {step}");
        } else {
            let bits = 10 + below(11);
            let mut buffer = extents.buffer(1 + below(1 << bits)).expect("memory");
            assert!(buffer.iter().all(|&b| b == 0), "step {step}");
            buffer.fill(step as u8);
            held.push((step as u8, buffer.freeze()));
        }
    }
    let bytes: usize = held.iter().map(|(_, v)| v.len().next_multiple_of(PAGE)).sum();
    assert_eq!(extents.value_bytes(), bytes as u64);
    assert_eq!(resident_pages(&extents) * extents.page_bytes, bytes);
    held.clear();
    assert_eq!((extents.value_bytes(), resident_pages(&extents)), (0, 0));
    // All is one piece again.
    let regions = extents.inner.lock().mappings.len();
    let whole: Vec<_> = (0..4 * regions).map(|_| extents.buffer(REGION_BYTES / 4)).collect();
    assert!(whole.iter().all(Option::is_some));
    assert_eq!(extents.inner.lock().mappings.len(), regions);
}

#[test]
fn several_threads_share_it() {
    let extents = Extents::new();
    let work = |pattern: u8| {
        for i in 0..500usize {
            let value = extents.copy(&vec![pattern; 5000 + 997 * (i % 40)]).expect("memory");
            assert!(value.iter().all(|&b| b == pattern));
        }
    };
    std::thread::scope(|scope| {
        (1..5).for_each(|pattern| drop(scope.spawn(move || work(pattern))));
    });
    assert_eq!((extents.value_bytes(), resident_pages(&extents)), (0, 0));
}
