#!/usr/bin/env python3
"""What overload does to the service: the answer times of accepted requests without and under a flood, what becomes of every request, and
the service's memory.

  service_load.py SERVICE [--seconds N] [--connections N] [--rate N]

A prober asks at fixed times, whether or not the last answer has come, and counts from the time at which it meant to ask. Needs wrk.
Exit status 1 when one of the statements that it prints does not hold; 2 when the service was not overloaded, so that they say nothing.
"""
import argparse
import http.client
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

if len(sys.argv) < 2 or sys.argv[1].startswith('-'):
    sys.exit(__doc__)
sys.argv, arguments = [sys.argv[0], sys.argv[1]], sys.argv[2:]
from service_test import COUNT_CODES, Service  # noqa: E402  it takes the service from sys.argv

A_REQUEST = 10  # tasks that one of the flood asks for
FLAT_KIB = 8 << 10  # what memory may grow by once the flood has gone on for a while


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


class Memory(threading.Thread):
    """Looks at what the service holds: at the start, each ten seconds, at the end."""

    def __init__(self, service):
        super().__init__(daemon=True)
        self.service, self.began, self.over, self.seen = service, time.monotonic(), threading.Event(), []
        self.look()
        self.start()

    def look(self):
        self.seen.append(self.service.resident_kib())
        print(f'memory       {time.monotonic() - self.began:5.0f} s  {self.seen[-1]:8d} KiB', flush=True)

    def run(self):
        while not self.over.wait(10):
            self.look()

    def growth(self):
        """From what it held once the flood had begun, which is the first look."""
        self.over.set()
        self.join()
        self.look()
        return self.seen[-1] - self.seen[0]


def row(name, times, refused):
    def at(q):
        return times[min(len(times) - 1, int(q * len(times)))] * 1e3
    print(f'{name:<12} accepted {len(times):6d}  refused {refused:6d}  p50 {at(.5):7.2f} ms  p99 {at(.99):7.2f} ms  worst {times[-1] * 1e3:7.2f} ms', flush=True)
    return at(.99)


def main():
    a = argparse.ArgumentParser()
    a.add_argument('--seconds', type=int, default=60)
    a.add_argument('--connections', type=int, default=32)
    a.add_argument('--rate', type=int, default=100, help='requests a second of the prober')
    o = a.parse_args(arguments)
    if not shutil.which('wrk'):
        sys.exit('service_load: wrk is not installed')
    s = Service('--work-us', '500', '--capacity', '500', '--drain-s', '30')
    probed = len(probe(s.port, 1, o.rate)[0])  # warms it up
    times, refused = probe(s.port, min(o.seconds, 20), o.rate)
    quiet = row('unloaded', times, refused)
    probed += len(times)
    with tempfile.NamedTemporaryFile('w', suffix='.lua') as script:
        script.write(COUNT_CODES)
        script.flush()
        flood = subprocess.Popen(['wrk', '-t1', f'-c{o.connections}', f'-d{o.seconds + 4}s', '-s', script.name,
                                  f'http://127.0.0.1:{s.port}/tasks?count={A_REQUEST}'], stdout=subprocess.PIPE, text=True)
        time.sleep(2)
        memory = Memory(s)
        times, refused = probe(s.port, o.seconds, o.rate)
        grown = memory.growth()
        said = flood.communicate()[0]
    if not times:
        sys.exit('service_load: none of the prober\'s requests was accepted under the flood')
    loaded = row('flooded', times, refused)
    probed += len(times)
    accepted, refused, others = (int(n) for n in re.search(r'^codes (\d+) (\d+) (\d+)$', said, re.M).groups())
    broken = re.search(r'Socket errors: (.*)', said)
    status, out, _ = s.end(signal.SIGTERM)
    ran, stopped, running = (int(n) for n in re.search(r'ran (\d+), stopped (\d+), still running (\d+)', out).groups())
    told = probed + A_REQUEST * accepted  # tasks whose acceptance a client has seen; wrk forgets the answers under way at its end
    lost = max(0, told - ran - stopped - running)
    print(f'flood        accepted {accepted:6d}  refused {refused:6d}  otherwise {others}  in {o.seconds + 4} s; socket errors: {broken[1] if broken else "none"}')
    print(f'tasks        accepted {told}, or up to {A_REQUEST * o.connections} more that wrk has not heard of; ran {ran}, stopped by the shutdown {stopped + running}, lost {lost}')
    if refused < accepted:
        print('it was not overloaded: fewer requests were refused than accepted')
        return 2
    held = True
    for statement, holds in [
            (f'p99 of accepted requests, flooded / unloaded: {loaded:.2f} / {quiet:.2f} ms = {loaded / quiet:.2f}, at most 3', loaded <= 3 * quiet),
            ('the rest is refused, and nothing else happens to a request', others == 0 and broken is None),
            ('every accepted task ran, and nothing but them', status == 0 and stopped == 0 and running == 0 and lost == 0 and ran <= told + A_REQUEST * o.connections),
            (f'memory grew by {grown} KiB, at most {FLAT_KIB}', grown <= FLAT_KIB)]:
        held = held and holds
        print(f'{"holds" if holds else "FAILS"}: {statement}')
    return 0 if held else 1


if __name__ == '__main__':
    sys.exit(main())
