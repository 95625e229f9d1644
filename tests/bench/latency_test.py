#!/usr/bin/env python3
"""weir-bench latency from outside: what it says, what it writes, how it ends. TAP.

  latency_test.py WEIR_BENCH
"""
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

BENCH = sys.argv[1]
# A busy machine delays the generator, too: nothing here is about how much.
LENIENT = ['--lag-budget-us', '1e8']
SMALL = ['--loads', '20,60', '--seconds', '0.05', '--rounds', '1', *LENIENT]

FAKE = '''#!/usr/bin/env python3
import os, signal, sys
if sys.argv[1] == 'list':
    print('{"peer": "crashing", "version": "1", "case": "latency/load"}')
    print('{"peer": "babbling", "version": "1", "case": "latency/load"}')
elif sys.argv[1] == 'capacity': print('{"tasks_per_s": 1000}')
elif 'crashing' in sys.argv: os.kill(os.getpid(), signal.SIGSEGV)
else: print('hello')
'''


def latency(*args, timeout=200):
    return subprocess.run([BENCH, 'latency', *map(str, args)], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL)


def check(condition, *what):
    if not condition:
        raise AssertionError('\n'.join(str(w) for w in what))


def measures_peers_at_loads_of_their_capacity(folder):
    out = folder / 'out.json'
    r = latency('--peers', 'weir,mutex pool', *SMALL, '-o', out)
    check(r.returncode == 0, r)
    check(all(word in r.stdout for word in ('weir', 'mutex pool', '20 %', '60 %', 'p99', 'lag')), r.stdout)
    result = json.loads(out.read_text())
    check(result['format'] == 'weir-bench' and result['complete'], result)
    rows = {(x['peer'], x['what']['name']): x for x in result['rows']}
    check(set(rows) == {(p, n) for p in ('weir', 'mutex pool') for n in ('load_20', 'load_60')}, rows.keys())
    x = rows['weir', 'load_60']
    check(x['what']['axis'] and x['what']['x'] == 60 and x['samples']['p50_us'][0] > 0 and x['curves']['latency_us'], x)
    check(not result['ratios'], 'loads of their own capacities are no comparison')


def the_same_rates_can_be_compared(folder):
    out = folder / 'out.json'
    r = latency('--peers', 'weir,mutex pool', '--same-rates', *SMALL, '-o', out)
    check(r.returncode == 0 and json.loads(out.read_text())['ratios'], r)


def tells_the_knee_and_the_load_within_a_limit(folder):
    r = latency('--peers', 'weir', '--loads', '10,30,60', '--seconds', '0.1', '--rounds', '1', '--limit-us', '1e8',
                *LENIENT)
    check(r.returncode == 0 and 'knee at' in r.stdout and 'up to 60 %' in r.stdout, r.stdout, r.stderr)


def takes_constant_arrivals_and_bursts(folder):
    for kind in ('constant', 'bursts'):
        r = latency('--peers', 'weir', '--rate', '2000', '--arrivals', kind, '--burst', '20', '--seconds', '0.2',
                    '--rounds', '1', *LENIENT)
        check(r.returncode == 0 and '2000' in r.stdout, r.stdout, r.stderr)


def wakes_idle_pools_beside_a_futex(folder):
    out = folder / 'out.json'
    r = latency('--idle', '--gaps', '100,1000', '--peers', 'weir,raw_futex', '--seconds', '0.1', '--rounds', '1', *LENIENT,
                '-o', out)
    check(r.returncode == 0, r)
    names = {(x['peer'], x['what']['name']) for x in json.loads(out.read_text())['rows']}
    check(names == {(p, n) for p in ('weir', 'raw_futex') for n in ('gap_100us', 'gap_1000us')}, names)


def a_neighbour_burns_a_core_and_goes(folder):
    r = latency('--peers', 'weir', '--neighbour', '--rate', '500', '--seconds', '0.3', '--rounds', '1', *LENIENT)
    check(r.returncode == 0 and 'neighbour burns core' in r.stdout, r)
    left = subprocess.run(['ps', '-eo', 'args='], capture_output=True, text=True).stdout
    check(not any(line.startswith(f'{BENCH} latency') for line in left.splitlines()), left)


def a_lag_beyond_the_budget_makes_a_run_void(folder):
    out = folder / 'out.json'
    r = latency('--peers', 'weir', '--rate', '3000', '--seconds', '0.1', '--rounds', '1', '--lag-budget-us', '0', '-o', out)
    check(r.returncode == 1 and 'void' in r.stdout, r)
    x = json.loads(out.read_text())['rows'][0]
    check('void' in x['failures'][0]['why'] and not x['rounds'], x)


def a_missing_peer_is_told_and_the_others_are_measured(folder):
    r = latency('--peers', 'weir,nobody', *SMALL)
    check(r.returncode == 1 and "'nobody'" in r.stderr and '60 %' in r.stdout, r)
    r = latency('--peers', 'nobody', *SMALL)
    check(r.returncode == 2 and "'nobody'" in r.stderr, r)


def a_crashing_peer_is_told_and_the_others_are_measured(folder):
    fake = folder / 'fake'
    fake.write_text(FAKE)
    fake.chmod(0o755)
    out = folder / 'out.json'
    r = latency('--program', fake, '--peers', 'weir,crashing,babbling', *SMALL, '-o', out)
    check(r.returncode == 1 and 'died: Segmentation fault' in r.stdout and 'no reading' in r.stdout, r.stdout, r.stderr)
    good = [x for x in json.loads(out.read_text())['rows'] if x['peer'] == 'weir' and x['rounds']]
    check(len(good) == 2, good)
    r = latency('--program', folder / 'missing', '--peers', 'weir', *SMALL)
    check(r.returncode == 1 and 'missing' in r.stderr and '60 %' in r.stdout, r)


def what_is_absurd_is_refused_with_the_reason(folder):
    for bad in (['--rate', '0'], ['--rate', 'nan'], ['--rate', 'many'], ['--seconds', '0'], ['--loads', '0'],
                ['--loads', '-5'], ['--rounds', '0'], ['--workers', '0'], ['--arrivals', 'never'], ['--burst', '0'],
                ['--rate', '5', '--loads', '5'], ['--idle', '--rate', '5'], ['--gaps', '5'], ['--service-us', '-1'],
                ['--lag-budget-us', '-1'], ['--nonsense']):
        r = latency(*bad, timeout=20)
        check(r.returncode == 2 and r.stderr.strip(), bad, r)
    r = latency('--peers', 'weir', '--rate', '1e8', '--seconds', '3600', '--rounds', '1')
    check(r.returncode == 1 and '20 million arrivals' in r.stdout, r.stdout, r.stderr)


def a_file_that_cannot_be_written_is_told_before_anything_is_measured(folder):
    began = time.time()
    r = latency('--peers', 'weir', '--rate', '100', '--seconds', '60', '-o', folder / 'no' / 'such' / 'out.json', timeout=50)
    check(r.returncode == 1 and 'cannot be written' in r.stderr and time.time() - began < 40, r)


def an_interrupt_keeps_what_was_measured(folder):
    out = folder / 'out.json'
    p = subprocess.Popen([BENCH, 'latency', '--peers', 'weir', '--rate', '1000,2000,3000,4000', '--seconds', '0.5',
                          '--rounds', '500', *LENIENT, '-o', str(out)], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    time.sleep(6)
    p.send_signal(signal.SIGINT)
    said, _ = p.communicate(timeout=60)
    check(p.returncode == 130 and 'interrupted' in said, said)
    result = json.loads(out.read_text())
    check(result['complete'] is False and any(x['rounds'] for x in result['rows']), result)


def a_terminal_sees_how_long_it_will_take(folder):
    mine, theirs = pty.openpty()
    subprocess.run([BENCH, 'latency', '--peers', 'weir', '--rate', '1000,2000', '--seconds', '1', '--rounds', '2', *LENIENT],
                   stdout=subprocess.DEVNULL, stderr=theirs, timeout=100)
    said = os.read(mine, 65536).decode()
    check('left' in said and 'round 1' in said, said)


def one_run_prints_one_line(folder):
    r = subprocess.run([BENCH, 'load', '--peer', 'weir', '--rate', '1000', '--seconds', '0.1'], capture_output=True,
                       text=True)
    check(r.returncode == 0 and json.loads(r.stdout)['whole']['count'] > 0, r)
    for bad in (['load', '--peer', 'weir', '--rate', '0'], ['load', '--peer', 'weir', '--rate', 'nan'],
                ['load', '--peer', 'weir', '--seconds', '0'], ['load', '--peer', 'nobody'],
                ['capacity', '--peer', 'weir', '--seconds', '0'], ['load', '--peer', 'serial'], ['load']):
        r = subprocess.run([BENCH, *bad], capture_output=True, text=True, timeout=20)
        check(r.returncode in (1, 2) and r.stderr.strip() and not r.stdout.strip(), bad, r)


facts = [f for name, f in list(globals().items()) if callable(f) and getattr(f, '__code__', None) is not None
         and f.__code__.co_varnames[:1] == ('folder',)]
print(f'1..{len(facts)}')
failed = False
for n, fact in enumerate(facts, 1):
    with tempfile.TemporaryDirectory() as d:
        try:
            fact(Path(d))
            print(f'ok {n} - {fact.__name__}')
        except Exception:
            failed = True
            print(f'not ok {n} - {fact.__name__}')
            print('\n'.join('# ' + line for line in traceback.format_exc().splitlines()))
    sys.stdout.flush()
sys.exit(failed)
