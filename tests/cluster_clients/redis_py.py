"""redis-py's RedisCluster, with its own settings, against a cluster of which nodes come and go.

Writes and reads back until its input ends, one thread beside another, then tells as JSON what it
did, which errors it showed to its user, and how long the longest call took. `basics` instead runs
once through what the library offers.
"""

import json
import sys
import threading
import time

from redis import Redis
from redis.cluster import LoadBalancingStrategy, RedisCluster

THREADS = 4


def basics(host, port):
    cluster = RedisCluster(host=host, port=port, decode_responses=True)
    for i in range(300):
        assert cluster.set(f"basic:{i}", i)
    assert [cluster.get(f"basic:{i}") for i in range(300)] == [str(i) for i in range(300)]
    assert cluster.mget_nonatomic(["basic:1", "basic:2", "nobody"]) == ["1", "2", None]
    assert cluster.mset_nonatomic({"basic:1": "x", "basic:2": "y"})
    assert cluster.delete("basic:1", "basic:2") == 2
    # Of all nodes: by itself it asks one, as with a Redis Cluster.
    assert cluster.dbsize(target_nodes=RedisCluster.PRIMARIES) == 298
    assert len(set(cluster.scan_iter(match="basic:*", count=50))) == 298
    with cluster.pipeline() as pipe:
        for i in range(100):
            pipe.incr(f"pipe:{i}")
        assert pipe.execute() == [1] * 100
    assert cluster.expire("pipe:1", 100) and 0 < cluster.ttl("pipe:1") <= 100
    masters = [node for node in cluster.get_nodes() if node.server_type == "primary"]
    assert len(masters) == 3, cluster.get_nodes()
    info = cluster.cluster_info(target_nodes=RedisCluster.RANDOM)
    assert info["cluster_state"] == "ok"
    assert cluster.flushall()
    replicas = RedisCluster(
        host=host, port=port, load_balancing_strategy=LoadBalancingStrategy.ROUND_ROBIN
    )
    replicas.set("a", "1")
    assert replicas.get("a") in (b"1", None)
    for protocol in (2, 3):
        other = RedisCluster(host=host, port=port, protocol=protocol)
        assert other.set("p", protocol) and other.get("p") == str(protocol).encode()
    alone = Redis(host=host, port=port + 200)
    assert alone.mset({f"k{i}": i for i in range(50)})
    assert alone.mget([f"k{i}" for i in range(50)]) == [str(i).encode() for i in range(50)]
    print(json.dumps({"basics": "well"}), flush=True)


class Worker(threading.Thread):
    def __init__(self, cluster, number, ending):
        super().__init__(daemon=True)
        self.cluster, self.number, self.ending = cluster, number, ending
        self.calls, self.wrong, self.longest = 0, 0, 0.0
        self.errors = {}
        self.acknowledged = {}

    def call(self, what, *args):
        begun = time.monotonic()
        try:
            return getattr(self.cluster, what)(*args)
        except Exception as error:
            name = f"{type(error).__name__}: {error}"[:160]
            self.errors[name] = self.errors.get(name, 0) + 1
            return error
        finally:
            self.calls += 1
            self.longest = max(self.longest, time.monotonic() - begun)

    def run(self):
        i = 0
        while not self.ending.is_set():
            i += 1
            key = f"py:{self.number}:{i % 2000}"
            done = self.call("set", key, str(i))
            if isinstance(done, Exception):
                # Nobody knows which value it has.
                self.acknowledged.pop(key, None)
                continue
            self.acknowledged[key] = str(i)
            found = self.call("get", key)
            if not isinstance(found, Exception) and found != str(i):
                self.wrong += 1
            time.sleep(0.001)


def steady(host, port):
    cluster = RedisCluster(host=host, port=port, decode_responses=True)
    ending = threading.Event()
    workers = [Worker(cluster, number, ending) for number in range(THREADS)]
    for worker in workers:
        worker.start()
    while min(worker.calls for worker in workers) < 100:
        time.sleep(0.01)
    print("ready", flush=True)
    for line in sys.stdin:
        # Whoever asks hears how many calls were made since.
        print(sum(worker.calls for worker in workers), flush=True)
    ending.set()
    for worker in workers:
        worker.join()
    errors = {}
    lost = 0
    for worker in workers:
        for name, count in worker.errors.items():
            errors[name] = errors.get(name, 0) + count
        for key, value in worker.acknowledged.items():
            lost += cluster.get(key) != value
    told = {
        "calls": sum(worker.calls for worker in workers),
        "errors": errors,
        "wrong": sum(worker.wrong for worker in workers),
        "lost": lost,
        "longest_ms": round(1000 * max(worker.longest for worker in workers)),
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    {"basics": basics, "steady": steady}[sys.argv[1]]("127.0.0.1", int(sys.argv[2]))
