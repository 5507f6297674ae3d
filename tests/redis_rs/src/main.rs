//! redis-rs's asynchronous cluster client, with its own settings: once through what it offers, in
//! both protocols, then writes and reads until its input ends, while nodes come, go and die; and
//! tells which errors it showed.

use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{AsyncCommands, ProtocolVersion, RedisResult};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What one task saw.
#[derive(Default)]
struct Seen {
    calls: u64,
    wrong: u64,
    longest_ms: u128,
    errors: BTreeMap<String, u64>,
}

const TASKS: usize = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() -> RedisResult<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "7001".into());
    let seed = format!("redis://127.0.0.1:{port}");
    for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
        let builder = ClusterClientBuilder::new([seed.as_str()]).use_protocol(protocol);
        basics(builder.build()?.get_async_connection().await?).await?;
    }
    println!("basics: well");
    let connection = ClusterClient::new([seed.as_str()])?.get_async_connection().await?;
    let ending = Arc::new(AtomicBool::new(false));
    let end = ending.clone();
    std::thread::spawn(move || {
        // Whatever comes, it is over when nothing more does.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        end.store(true, Ordering::Relaxed);
    });
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| tokio::spawn(steady(connection.clone(), number, ending.clone())))
        .collect();
    let mut all = Seen::default();
    for task in tasks {
        let seen = task.await.expect("a task");
        all.calls += seen.calls;
        all.wrong += seen.wrong;
        all.longest_ms = all.longest_ms.max(seen.longest_ms);
        for (error, count) in seen.errors {
            *all.errors.entry(error).or_default() += count;
        }
    }
    let Seen { calls, wrong, longest_ms, errors } = all;
    println!("calls {calls}, wrong {wrong}, longest {longest_ms} ms, errors {errors:?}");
    Ok(())
}

async fn basics(mut cluster: ClusterConnection) -> RedisResult<()> {
    for i in 0..300 {
        let () = cluster.set(format!("rs:{i}"), i).await?;
    }
    for i in 0..300 {
        let found: u64 = cluster.get(format!("rs:{i}")).await?;
        assert_eq!(found, i);
    }
    let keys: Vec<String> = (0..100).map(|i| format!("rs:{i}")).collect();
    let found: Vec<u64> = cluster.mget(&keys).await?;
    assert_eq!(found, (0..100).collect::<Vec<_>>());
    let mut pipe = redis::pipe();
    pipe.incr("{rs}a", 1).incr("{rs}a", 1);
    let sum: (u64, u64) = pipe.query_async(&mut cluster).await?;
    assert_eq!(sum.1, sum.0 + 1);
    let deleted: u64 = cluster.del(&keys).await?;
    assert_eq!(deleted, 100);
    Ok(())
}

async fn steady(mut cluster: ClusterConnection, number: usize, ending: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let mut i = 0u64;
    while !ending.load(Ordering::Relaxed) {
        i += 1;
        let key = format!("rs:{number}:{}", i % 2000);
        let begun = Instant::now();
        let written: RedisResult<()> = cluster.set(&key, i).await;
        seen.longest_ms = seen.longest_ms.max(begun.elapsed().as_millis());
        let begun = Instant::now();
        let found: RedisResult<Option<u64>> = cluster.get(&key).await;
        seen.longest_ms = seen.longest_ms.max(begun.elapsed().as_millis());
        seen.calls += 2;
        if written.is_ok() && found.as_ref().is_ok_and(|found| *found != Some(i)) {
            seen.wrong += 1;
        }
        for error in [written.err(), found.err()].into_iter().flatten() {
            *seen.errors.entry(error.to_string()).or_default() += 1;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    seen
}
