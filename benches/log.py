#!/usr/bin/env python3
"""What the log costs: a node against redis-server, or against itself, in turns.

    log.py [--binary target/release/crabcache] [--dir FOLDER] [--rounds N] PART...

sync      SET without pipeline, 50 connections: `wal.policy = sync`, redis-server `appendfsync
          always`, and a node without a log; by redis-benchmark and by `crabcache bench`
async     SET with pipeline 16: `async` and no log
snapshot  p99 of an open loop at 30 % of what the node can do, with and without a snapshot going on
recovery  a start from log and from snapshot, its memory, and the memory during SAVE
ready     how soon a node of 10,000 items answers after its start

FOLDER has to be on the disk that is meant. Who is not measured is stopped (SIGSTOP) meanwhile.
"""
import argparse, json, os, pathlib, re, shutil, signal, socket, statistics, subprocess, tempfile, time
import urllib.request

TICK = os.sysconf("SC_CLK_TCK")


class Server:
    """A process on loopback that speaks the Redis protocol."""

    def __init__(self, name, port, argv, cwd, http=0):
        self.name, self.port, self.http, self.began = name, port, http, time.time()
        log = open(os.path.join(cwd, f"{name}.{port}.out"), "wb")
        self.process = subprocess.Popen(argv, cwd=cwd, stdout=log, stderr=log)

    def call(self, *words, timeout=120):
        with socket.create_connection(("127.0.0.1", self.port), 5) as s:
            s.settimeout(timeout)
            s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
            return s.recv(65536).decode(errors="replace")

    def ready(self, timeout=120):
        """Seconds from the start of the process until it serves data."""
        while time.time() < self.began + timeout:
            try:
                if self.call("DBSIZE", timeout=5).startswith(":"):
                    return time.time() - self.began
            except OSError:
                pass
            time.sleep(0.001)
        raise SystemExit(f"{self.name} does not answer")

    def cpu(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self, field):
        text = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(field + r":\s+(\d+)", text)[1])

    def syncs(self):
        """How many syncs the node has made; 0 of who does not tell."""
        if not self.http:
            return 0
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=10) as answer:
            found = re.search(r"^crabcache_wal_syncs_total (\d+)", answer.read().decode(), re.M)
        return int(found[1]) if found else 0

    def pause(self, yes=True):
        self.process.send_signal(signal.SIGSTOP if yes else signal.SIGCONT)
        time.sleep(0.05)

    def end(self, how=signal.SIGKILL):
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(how)
        self.process.wait(30)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Lab:
    def __init__(self, options):
        self.options, self.servers = options, []
        self.dir = tempfile.mkdtemp(prefix="log-", dir=options.dir)

    def node(self, name, policy, folder=None, *sets):
        port, http, folder = free_port(), free_port(), folder or os.path.join(self.dir, name)
        sets = [f"server.port={port}", f"http.port={http}", f"data.dir={folder}", f"wal.policy={policy}", *sets]
        argv = [self.options.binary, "server"] + [w for s in sets for w in ("--set", s)]
        return self.add(Server(name, port, argv, self.dir, http))

    def redis(self, name, *words):
        port, folder = free_port(), os.path.join(self.dir, name)
        os.makedirs(folder)
        argv = ["redis-server", "--port", str(port), "--dir", folder, "--save", "", *words]
        return self.add(Server(name, port, argv, self.dir))

    def add(self, server):
        self.servers.append(server)
        return server

    def end(self, server, how=signal.SIGKILL):
        server.end(how)
        self.servers.remove(server)

    def close(self):
        for server in self.servers:
            server.end()
        shutil.rmtree(self.dir, ignore_errors=True)

    def bench(self, server, *words):
        argv = [self.options.binary, "bench", "-p", str(server.port), "--json", *map(str, words)]
        out = subprocess.run(argv, capture_output=True, text=True, timeout=280)
        phases = json.loads(out.stdout)["phases"]
        return next(p for p in phases if p["name"] == ("fill" if "--fill" in words else "run"))


def redis_benchmark(server, pipeline, requests):
    argv = ["redis-benchmark", "-p", str(server.port), "-c", "50", "-P", str(pipeline), "-n", str(requests),
            "-r", "1000000", "-d", "128", "-t", "set", "--csv"]
    out = subprocess.run(argv, capture_output=True, text=True, timeout=280).stdout
    return float(out.strip().splitlines()[-1].split(",")[1].strip('"'))


def told(values, digits=0):
    low, mid, high = min(values), statistics.median(values), max(values)
    return f"{mid:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def in_turns(lab, servers, rounds, load):
    """Rates, and CPU in microseconds per request, by server."""
    found = {s.name: [] for s in servers}
    for s in servers:
        s.pause(False)
        s.ready()
        s.pause()
    for i in range(rounds + 1):
        for s in servers if i % 2 else servers[::-1]:
            s.pause(False)
            cpu, syncs = s.cpu(), s.syncs()
            rate, requests = load(s)
            cpu, syncs = s.cpu() - cpu, s.syncs() - syncs
            if i > 0:  # the first round warms up
                found[s.name].append((rate, cpu / requests * 1e6, requests / max(syncs, 1)))
            s.pause()
    return found


def table(title, found, base):
    print(f"\n{title}\n| | requests/s | CPU µs | requests a sync | beside {base} |\n"
          "| --- | --- | --- | --- | --- |")
    for name, rows in found.items():
        ratios = [r[0] / b[0] for r, b in zip(rows, found[base])]
        cpus = [r[1] / b[1] for r, b in zip(rows, found[base])]
        print(f"| {name} | {told([r[0] for r in rows])} | {told([r[1] for r in rows], 2)} "
              f"| {told([r[2] for r in rows], 1)} | × {told(ratios, 2)}, CPU × {told(cpus, 2)} |", flush=True)


def sync(lab):
    servers = [lab.node("sync", "sync"), lab.redis("redis-always", "--appendonly", "yes", "--appendfsync", "always",
               "--auto-aof-rewrite-percentage", "0"), lab.node("none", "none")]
    n = lab.options.requests

    def own(s):
        got = lab.bench(s, "-c", 50, "-P", 1, "-r", 0, "-n", n, "--distribution", "uniform", "--key-size", 16)
        return got["all"]["requests_per_second"], n

    table("sync, redis-benchmark", in_turns(lab, servers, lab.options.rounds,
          lambda s: (redis_benchmark(s, 1, n), n)), "redis-always")
    table("sync, crabcache bench", in_turns(lab, servers, lab.options.rounds, own), "redis-always")


def async_(lab):
    servers = [lab.node("async", "async"), lab.node("none", "none")]
    table("async, pipeline 16", in_turns(lab, servers, lab.options.rounds,
          lambda s: (redis_benchmark(s, 16, 4_000_000), 4_000_000)), "none")


def snapshot(lab):
    for policy in ("none", "async"):
        node = lab.node("snapshot-" + policy, policy)
        node.ready()
        lab.bench(node, "--fill", "-n", 0, "-k", 3_000_000, "--key-size", 24, "-P", 64)
        load = ["-c", 50, "-P", 1, "-k", 3_000_000, "--key-size", 24]
        most = lab.bench(node, *load, "-s", 3)["all"]["requests_per_second"]
        rate = int(most * 0.3)
        ratios, with_, without = [], [], []
        for _ in range(lab.options.rounds):
            calm = lab.bench(node, *load, "-s", 5, "--rate", rate)["all"]
            node.call("BGSAVE")
            busy = lab.bench(node, *load, "-s", 5, "--rate", rate)["all"]
            goes_on = "rdb_bgsave_in_progress:1" in node.call("INFO", "persistence")
            while "rdb_bgsave_in_progress:1" in node.call("INFO", "persistence"):
                time.sleep(0.1)
            with_.append(busy["p99_us"])
            without.append(calm["p99_us"])
            ratios.append(busy["p99_us"] / calm["p99_us"])
            print(f"  {policy}: {rate}/s p50 {calm['p50_us']} -> {busy['p50_us']}, p99 {calm['p99_us']} -> "
                  f"{busy['p99_us']}, p99.9 {calm['p999_us']} -> {busy['p999_us']} µs, "
                  f"snapshot {'longer than' if goes_on else 'SHORTER THAN'} the run", flush=True)
        print(f"snapshot, {policy}, {rate}/s: p99 {told(without)} -> {told(with_)} µs, × {told(ratios, 2)}")
        lab.end(node)


def recovery(lab):
    for keys, key, value in ((4_000_000, 16, 32), (3_000_000, 24, 128)):
        name = f"recovery-{key}-{value}"
        folder = os.path.join(lab.dir, name)
        node = lab.node(name, "async", folder)
        node.ready()
        lab.bench(node, "--fill", "-n", 0, "-k", keys, "--key-size", key, "-d", value, "-P", 64)
        time.sleep(2)
        for kind in ("log", "snapshot"):
            lab.end(node, signal.SIGTERM)
            times = []
            for _ in range(lab.options.rounds):
                node = lab.node(name, "async", folder)
                node.ready()
                times.append(recovered(lab, node, keys))
                rss, peak = node.memory("VmRSS"), node.memory("VmHWM")
                lab.end(node, signal.SIGTERM)
            print(f"recovery from {kind}, {key}/{value} B: M/s {told(times, 2)}, memory {rss} KiB, "
                  f"peak {peak} KiB (× {peak / rss:.3f})", flush=True)
            node = lab.node(name, "async", folder)
            node.ready()
            rss = node.memory("VmRSS")
            pathlib.Path(f"/proc/{node.process.pid}/clear_refs").write_text("5")  # the peak begins anew
            node.call("SAVE")
            peak = node.memory("VmHWM")
            print(f"SAVE, {key}/{value} B: {rss} KiB before, peak {peak} KiB (× {peak / rss:.3f})", flush=True)
        lab.end(node)


def recovered(lab, node, keys):
    """Million items a second, by what the node says of its load."""
    text = open(os.path.join(lab.dir, f"{node.name}.{node.port}.out")).read()
    return keys / int(re.findall(r"millis=(\d+)", re.sub(r"\x1b\[[0-9;]*m", "", text))[-1]) / 1000


def ready(lab):
    for policy in ("async", "sync"):
        folder, times, empty = os.path.join(lab.dir, "ready-" + policy), [], []
        node = lab.node("ready-" + policy, policy, folder)
        node.ready()
        lab.bench(node, "--fill", "-n", 0, "-k", 10_000, "-P", 16)
        time.sleep(2)  # longer than `wal.interval`
        for i in range(lab.options.rounds + 1):
            lab.end(node)
            node = lab.node("ready-" + policy, policy, folder)
            times.append(node.ready() * 1000)
            assert node.call("DBSIZE") == ":10000\r\n"
            blank = lab.node("blank", policy, os.path.join(lab.dir, f"blank-{policy}-{i}"))
            empty.append(blank.ready() * 1000)
            lab.end(blank)
        lab.end(node)
        print(f"ready, {policy}: {told(times, 1)} ms, an empty node {told(empty, 1)} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/crabcache")
    parser.add_argument("--dir", default=".")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=300_000)
    parser.add_argument("part", nargs="+", choices=["sync", "async", "snapshot", "recovery", "ready"])
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    lab = Lab(options)
    try:
        for part in options.part:
            {"async": async_}.get(part, globals().get(part))(lab)
    finally:
        lab.close()


if __name__ == "__main__":
    main()
