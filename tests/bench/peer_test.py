#!/usr/bin/env python3
"""A program that is a peer of weir-bench speaks the protocol of bench/README.md, and says what is wrong.

  peer_test.py PROGRAM        prints TAP
"""
import json
import subprocess
import sys

program = sys.argv[1]
count = 0


def check(ok, fact, detail=''):
    global count
    count += 1
    print(f'{"ok" if ok else "not ok"} {count} - {fact}')
    if not ok and detail:
        print('\n'.join('# ' + line for line in str(detail).splitlines()[:20]))


def run(*arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)


def told(ended):
    return f'status {ended.returncode}\n{ended.stdout}\n{ended.stderr}'


def number(x):
    return isinstance(x, (int, float)) and x >= 0


# Small sizes: what is checked is that it measures something, not what.
sizes = {'from_1': 2000, 'from_2': 2000, 'from_8': 2000, 'local': 2000, 'batch': 200, 'handles': 200, 'one': 20, 'all': 20,
         'ping_pong': 50, 'fib': 15, 'skynet': 3, 'nqueens': 8, 'uneven': 2000, 'group': 500, 'queued': 20000,
         'idle_worker': 8, 'waiting_thread': 16, 'waiting_task': 8, 'open_fork': 200, 'idle': 10, 'trickle': 20,
         'load_10': 10, 'load_50': 50, 'at_10': 10, 'at_50': 50, 'at_80': 80, 'saturated': 2000, 'oversubscribed_4x': 2000, 'futex': 50}

listed = run('list')
lines = [json.loads(line) for line in listed.stdout.splitlines()]
check(listed.returncode == 0 and lines, 'lists what it can measure', told(listed))
check(all(isinstance(x[key], str) for x in lines for key in ('peer', 'version', 'case')),
      'each line is a peer, a version, a case')
check(len({(x['peer'], x['case']) for x in lines}) == len(lines), 'no line is there twice')

keys = {'tasks', 'wall_s', 'cpu_s', 'voluntary', 'involuntary', 'allocations', 'bytes', 'metrics', 'curves'}
for x in lines:
    what = x['case'].split('/')[1]
    if what == 'load':
        continue
    ended = run('block', x['case'], '--peer', x['peer'], '--workers', '2', '--size', str(sizes[what]), '--seconds', '0.01',
                '--quick')
    try:
        r = json.loads(ended.stdout)
        good = (set(r) == keys and r['tasks'] > 0
                and all(number(r[k]) for k in ('wall_s', 'cpu_s', 'voluntary', 'involuntary'))
                and all(number(v) for v in r['metrics'].values()))
    except ValueError:
        good = False
    check(ended.returncode == 0 and good, f'{x["peer"]} measures {x["case"]}', told(ended))

histograms = ('waited', 'ran', 'whole', 'cost', 'behind', 'lag')
for peer in sorted({x['peer'] for x in lines if x['case'] == 'latency/load'}):
    for arrivals in ('constant', 'poisson', 'bursts'):
        ended = run('load', '--peer', peer, '--workers', '1', '--rate', '2000', '--seconds', '0.1', '--service-us', '1',
                    '--arrivals', arrivals, '--burst', '10', '--seed', '3', '--generator-core', '-1')
        try:
            r = json.loads(ended.stdout)
            good = all(r[h]['precision'] == 7 and sum(n for _, n in r[h]['buckets']) == r[h]['count'] == r['whole']['count']
                       for h in histograms) and 0 < r['whole']['count'] <= r['tasks']
        except (ValueError, KeyError):
            good = False
        check(ended.returncode == 0 and good, f'{peer} takes {arrivals} arrivals', told(ended))
    ended = run('capacity', '--peer', peer, '--workers', '1', '--seconds', '0.1', '--service-us', '5')
    check(ended.returncode == 0 and json.loads(ended.stdout)['tasks_per_s'] > 0, f'{peer} has a capacity', told(ended))
    for bad in (('load', '--rate', '0'), ('load', '--rate', '-5'), ('load', '--seconds', '0'), ('load', '--rate', 'nan'),
                ('load', '--rate', '1e12', '--seconds', '1e6'), ('load', '--arrivals', 'never'),
                ('capacity', '--seconds', '0'), ('load', '--workers', '0'), ('load', '--generator-core', '1023'),
                ('load', '--arrivals', 'bursts', '--burst', '0')):
        ended = run(bad[0], '--peer', peer, *bad[1:])
        check(ended.returncode not in (0, 101, 2) and ended.stderr.strip() and not ended.stdout.strip(),
              f'{peer} refuses {" ".join(bad)}, and says why', told(ended))

for bad in ((), ('block',), ('block', 'no/such', '--peer', lines[0]['peer'], '--size', '5'), ('load', '--peer', 'nobody'),
            ('block', lines[0]['case'], '--peer', 'nobody', '--size', '5'), ('nonsense',),
            ('block', lines[0]['case'], '--peer', lines[0]['peer'], '--size', '0'),
            ('block', lines[0]['case'], '--peer', lines[0]['peer'], '--size', 'many')):
    ended = run(*bad)
    check(ended.returncode not in (0, 101, 2) and ended.stderr.strip() and not ended.stdout.strip(),
          f'"{" ".join(bad)}" ends with an error and its reason', told(ended))

print(f'1..{count}')
