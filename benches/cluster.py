#!/usr/bin/env python3
"""What replication and forwarding cost: CPU per operation of the processes of a cluster on this
machine, and how far copies are behind.

    benches/cluster.py target/release/crabcache [seconds of each run]

Two nodes form a cluster of their own in a temporary folder, without files for the data. A client
sends pipelines of 16 over 16 connections, straight to node 1 and about keys that node 1 keeps
(local), or about keys that node 2 keeps over the forwarding port of node 1 (forwarded). CPU is what
/proc says of each process, user and system, divided by the operations. Prints one line a run.
"""
import json, os, random, selectors, shutil, socket, subprocess, sys, tempfile, time

PIPELINE, CONNECTIONS, KEYS, VALUE = 16, 16, 20_000, b"v" * 128
TICK = os.sysconf("SC_CLK_TCK")


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
            crc &= 0xFFFF
    return crc


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Cluster:
    def __init__(self, binary, factor, base):
        self.dir, self.base, self.nodes = tempfile.mkdtemp(prefix="crabcache-bench-"), base, []
        run = lambda *words: subprocess.run([binary, *words], check=True, stdout=subprocess.DEVNULL)
        ca = f"{self.dir}/ca"
        run("cluster", "ca", "init", "--dir", ca)
        seeds = ",".join(f"127.0.0.1:{base + 40 + i}" for i in (1, 2))
        for i in (1, 2):
            out = f"{self.dir}/node-{i}"
            run("cluster", "ca", "issue", "--dir", ca, "--node", str(i), "--out", out)
            sets = [
                f"server.port={base + i}", f"server.forward_port={base + 20 + i}", "http.port=0",
                "memory.max_memory=512MiB", "cluster.enabled=true", "cluster.bind=127.0.0.1",
                "cluster.advertise=127.0.0.1", f"cluster.port={base + 40 + i}",
                f"cluster.data_port={base + 60 + i}", f"cluster.seeds={seeds}",
                f"cluster.replication_factor={factor}", f"cluster.ca={out}/ca.crt",
                f"cluster.cert={out}/node.crt", f"cluster.key={out}/node.key",
            ]
            words = [word for one in sets for word in ("--set", one)]
            log = open(f"{self.dir}/log-{i}", "w")
            self.nodes.append(subprocess.Popen([binary, "server", *words], stdout=log, stderr=log))
        until = time.time() + 60
        while True:
            status = self.status()
            groups = status and status["groups"]
            if groups and status["cluster"] and not (
                groups["without_primary"] or groups["under_replicated"] or groups["moving"]
            ):
                break
            assert time.time() < until, "the cluster does not become well"
            time.sleep(0.1)

    def ask(self, *words):
        with socket.create_connection(("127.0.0.1", self.base + 1), 5) as conn:
            conn.sendall(command(*words))
            data = b""
            while b"\r\n" not in data:
                data += conn.recv(65536)
            head, data = data.split(b"\r\n", 1)
            while len(data) < int(head[1:]) + 2:
                data += conn.recv(65536)
            return data[:-2]

    def status(self):
        try:
            return json.loads(self.ask(b"CRABCACHE", b"STATUS"))
        except (OSError, ValueError):
            return None

    def owned(self):
        """Slots of node 1, from CLUSTER NODES."""
        slots = set()
        for line in self.ask(b"CLUSTER", b"NODES").decode().splitlines():
            if "myself" in line:
                for word in line.split()[8:]:
                    first, _, last = word.partition("-")
                    slots.update(range(int(first), int(last or first) + 1))
        return slots

    def cpu(self):
        times = []
        for node in self.nodes:
            with open(f"/proc/{node.pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            times.append((int(fields[11]) + int(fields[12])) / TICK)
        return times

    def end(self):
        for node in self.nodes:
            node.kill()
            node.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def batches(keys, sets):
    """Pipelines with this share of SETs, each with the bytes of its answers."""
    chance = random.Random(1)
    made = []
    for _ in range(2000):
        out, answer = [], 0
        for _ in range(PIPELINE):
            key = keys[int(len(keys) * chance.random())]
            if chance.random() < sets:
                out.append(command(b"SET", key, VALUE))
                answer += 5
            else:
                out.append(command(b"GET", key))
                answer += len(b"$128\r\n") + len(VALUE) + 2
        made.append((b"".join(out), answer))
    return made


def load(port, made, seconds, rate=None, watch=None):
    """Operations in so many seconds; `rate`: so many a second at most."""
    selector = selectors.DefaultSelector()
    chance, done, began = random.Random(2), 0, time.time()
    waiting = {}
    for _ in range(CONNECTIONS):
        conn = socket.create_connection(("127.0.0.1", port))
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(conn, selectors.EVENT_READ)
        waiting[conn] = 0
    idle, sent, watched = list(waiting), 0, began
    while (now := time.time()) < began + seconds:
        while idle and (rate is None or sent < rate * (now - began)):
            conn = idle.pop()
            out, waiting[conn] = made[int(len(made) * chance.random())]
            conn.sendall(out)
            sent += PIPELINE
        for key, _ in selector.select(0.001 if idle else 0.1):
            conn = key.fileobj
            data = conn.recv(65536)
            assert data and not data.startswith(b"-"), data[:100]
            waiting[conn] -= len(data)
            if waiting[conn] == 0:
                done += PIPELINE
                idle.append(conn)
        if watch and now - watched > 0.1:
            watched = now
            watch()
    for conn in waiting:
        conn.close()
    return done, time.time() - began


def main():
    binary, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 4
    local = {}
    for factor in (1, 2):
        cluster = Cluster(binary, factor, 25_000 + 100 * factor)
        try:
            slots = cluster.owned()
            names = [b"key:%012d" % i for i in range(KEYS)]
            mine = [name for name in names if crc16(name) % 16384 in slots]
            theirs = [name for name in names if crc16(name) % 16384 not in slots]
            fill = lambda keys: [
                (b"".join(command(b"SET", k, VALUE) for k in keys[i:i + 16]), 5 * len(keys[i:i + 16]))
                for i in range(0, len(keys), 16)
            ]
            for made in fill(mine) + fill(theirs):
                with socket.create_connection(("127.0.0.1", cluster.base + 21)) as conn:
                    conn.sendall(made[0])
                    left = made[1]
                    while left > 0:
                        left -= len(conn.recv(65536))

            def run(name, port, keys, sets, **how):
                made = batches(keys, sets)
                load(port, made, 0.5)
                before = cluster.cpu()
                done, took = load(port, made, seconds, **how)
                one, two = [(b - a) * 1e6 / done for a, b in zip(before, cluster.cpu())]
                base = local.setdefault((sets, "local"), one)
                print(
                    f"copies={factor} {name:9} sets={sets:4.0%} {done / took:9.0f}/s"
                    f" cpu us/op: node1 {one:6.2f} ({one / base:4.2f}x)"
                    f" node2 {two:6.2f} ({two / base:4.2f}x)", flush=True,
                )
                return done / took

            for sets in (0.1, 1.0):
                fastest = run("local", cluster.base + 1, mine, sets)
                if factor == 1:
                    run("forwarded", cluster.base + 21, theirs, sets)
            if factor == 2:
                lags = []

                def watch():
                    status = cluster.status()
                    lags.extend(node["lag"]["ms"] for node in status["nodes"] if node["lag"])

                run("at 70 %", cluster.base + 1, mine, 1.0, rate=0.7 * fastest, watch=watch)
                lags.sort()
                print(f"lag ms: p50 {lags[len(lags) // 2]}, most {lags[-1]}, of {len(lags)} looks")
        finally:
            cluster.end()


main()
