#!/usr/bin/env python3
"""What overload does to the service: the answer times of accepted requests without and under a flood, and its memory.

  service_load.py SERVICE [--seconds N] [--connections N]

A prober asks at fixed times, whether or not the last answer has come, and counts from the time at which it meant to ask. Needs wrk.
"""
import argparse
import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.argv, arguments = [sys.argv[0], *sys.argv[1:2]], sys.argv[2:]
from service_test import COUNT_CODES, Service  # noqa: E402  it takes the service from sys.argv


def probe(port, seconds, rate, threads=4):
    """Seconds from the intended time to the answer, of those accepted; how many were refused."""
    accepted, refused, lock, start = [], [0], threading.Lock(), time.monotonic() + 0.1

    def one(k):
        c = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
        n = k
        while n < rate * seconds:
            at = start + n / rate
            time.sleep(max(0, at - time.monotonic()))
            c.request('POST', '/tasks?count=1', headers={'Content-Length': '0'})
            a = c.getresponse()
            a.read()
            took = time.monotonic() - at
            with lock:
                if a.status == 202:
                    accepted.append(took)
                else:
                    refused[0] += 1
            n += threads
        c.close()
    all_of_them = [threading.Thread(target=one, args=(k,)) for k in range(threads)]
    for t in all_of_them:
        t.start()
    for t in all_of_them:
        t.join()
    return sorted(accepted), refused[0]


def row(name, times, refused):
    def at(q):
        return times[min(len(times) - 1, int(q * len(times)))] * 1e3
    print(f'{name:<12} accepted {len(times):6d}  refused {refused:6d}  p50 {at(.5):7.2f} ms  p99 {at(.99):7.2f} ms  worst {times[-1] * 1e3:7.2f} ms', flush=True)
    return at(.99)


def main():
    a = argparse.ArgumentParser()
    a.add_argument('--seconds', type=int, default=60)
    a.add_argument('--connections', type=int, default=32)
    a.add_argument('--rate', type=int, default=100)
    o = a.parse_args(arguments)
    s = Service('--work-us', '500', '--capacity', '500')
    probe(s.port, 1, o.rate)
    quiet = row('unloaded', *probe(s.port, min(o.seconds, 20), o.rate))
    with tempfile.NamedTemporaryFile('w', suffix='.lua') as script:
        script.write(COUNT_CODES)
        script.flush()
        flood = subprocess.Popen(['wrk', '-t1', f'-c{o.connections}', f'-d{o.seconds + 4}s', '-s', script.name,
                                  f'http://127.0.0.1:{s.port}/tasks?count=10'], stdout=subprocess.PIPE, text=True)
        time.sleep(2)
        before = s.resident_kib()
        loaded = row('flooded', *probe(s.port, o.seconds, o.rate))
        after = s.resident_kib()
        said = flood.communicate()[0]
    accepted, refused, others = (int(n) for n in re.search(r'^codes (\d+) (\d+) (\d+)$', said, re.M).groups())
    submitted = int(s.metric('weir_tasks_submitted_total'))
    status, out, _ = s.end(signal.SIGTERM)
    print(f'the flood: {accepted} requests accepted, {refused} refused, {others} others in {o.seconds + 4} s; the service: {submitted} tasks accepted, {out.splitlines()[-1]}')
    print(f'p99 flooded / unloaded {loaded / quiet:.2f} (at most 3); memory {before} KiB, after {o.seconds} s of flood {after} KiB')
    os._exit(0 if status == 0 and loaded <= 3 * quiet and f'ran {submitted},' in out else 1)


main()
