#!/usr/bin/env python3
"""weir-bench from outside: what it says, what it writes, how it ends. TAP.

  cli_test.py WEIR_BENCH
"""
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

BENCH = sys.argv[1]
SMALL = ['--quick', '--only', 'fork/fib', '--seconds', '0.005']

# A program that speaks the protocol, well or badly: its name and its peers' names say how.
FAKE = '''#!/usr/bin/env python3
import json, os, signal, sys, time
if sys.argv[1] == 'list':
    if __file__.endswith('LIST_CRASHES'): os.kill(os.getpid(), signal.SIGSEGV)
    for mode in ('good', 'crashing', 'hanging', 'babbling', 'sorry'):
        print(json.dumps({'peer': mode, 'version': '1', 'case': 'fork/fib', 'workers': 1}))
else:
    mode = sys.argv[sys.argv.index('--peer') + 1]
    if mode == 'crashing': os.kill(os.getpid(), signal.SIGSEGV)
    if mode == 'hanging': time.sleep(1000)
    if mode == 'babbling': print('hello'); sys.exit(0)
    if mode == 'sorry': print('tasks were lost', file=sys.stderr); sys.exit(1)
    print(json.dumps({'tasks': 2, 'wall_s': 0.5, 'cpu_s': 0.5, 'voluntary': 0, 'involuntary': 0}))
'''


def run(*args, timeout=120):
    return subprocess.run([BENCH, *map(str, args)], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL)


def program(folder, mode='WELL'):
    path = folder / f'fake-{mode}'
    path.write_text(FAKE)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def check(condition, *what):
    if not condition:
        raise AssertionError('\n'.join(str(w) for w in what))


def list_names_every_case_as_json(folder):
    r = run('list')
    lines = [json.loads(line) for line in r.stdout.splitlines()]
    check(r.returncode == 0 and any(x['peer'] == 'weir' and x['case'] == 'fork/fib' for x in lines), r)


def a_block_prints_its_reading(folder):
    r = run('block', 'fork/fib', '--peer', 'weir', '--workers', 2, '--size', 15, '--seconds', 0.005)
    x = json.loads(r.stdout)
    check(r.returncode == 0 and x['tasks'] >= 1 and x['wall_s'] > 0 and x['allocations'] is not None, r)


def an_unknown_block_is_refused(folder):
    for args in (['no/such', '--peer', 'weir'], ['fork/fib', '--peer', 'nobody'],
                 ['fork/fib', '--peer', 'weir', '--workers', '0']):
        r = run('block', *args)
        check(r.returncode == 2 and r.stderr.strip() and not r.stdout, r)


def a_run_writes_rows_ratios_and_the_machine(folder):
    out = folder / 'a.json'
    r = run('run', *SMALL, '--peers', 'weir,serial', '--rounds', 6, '--workers', 2, '-o', out)
    check(r.returncode == 0, r)
    x = json.loads(out.read_text())
    check(x['format'] == 'weir-bench' and x['complete'] and x['quick'], x)
    check({(w['peer'], w['workers']) for w in x['rows']} == {('weir', 1), ('weir', 2), ('serial', 1)}, x['rows'])
    for w in x['rows']:
        for key in ('wall', 'cpu', 'voluntary', 'involuntary', 'allocations', 'bytes', 'peak_mb'):
            check(len(w['samples'][key]) == len(w['rounds']) == 6 and w['median'][key] is not None, key, w)
    check({(y['of']['workers'], y['to']['peer']) for y in x['ratios']} == {(1, 'serial'), (2, 'serial')}, x['ratios'])
    check(x['environment']['processor'] and len(x['rounds']) == 6 and 'steal' in x['rounds'][0], x['environment'])
    check('fib' in r.stdout and 'weir 2' in r.stdout, r.stdout)


def an_unknown_suite_is_refused(folder):
    r = run('run', '--suite', 'forks', '--quick')
    check(r.returncode == 2 and "'forks'" in r.stderr and 'submit' in r.stderr, r)
    r = run('run', '--only', 'no such case', '--quick')
    check(r.returncode == 2 and 'nothing to measure' in r.stderr, r)


def an_unknown_option_is_refused(folder):
    for args in (['run', '--peer'], ['run', '--rounds', '0'], ['run', '--seconds', 'nan'], ['run', '--handicap', '-1'], ['walk'], []):
        r = run(*args)
        check(r.returncode == 2 and r.stderr.strip(), r)
    check(run('--help').returncode == 0 and run('run', '--help').returncode == 0)


def a_missing_peer_costs_the_status_and_nothing_else(folder):
    out = folder / 'missing.json'
    r = run('run', *SMALL, '--peers', 'weir,nobody', '--rounds', 1, '-o', out)
    check(r.returncode == 1 and "no peer is named 'nobody'" in r.stderr, r)
    x = json.loads(out.read_text())
    check(x['complete'] and all(w['rounds'] for w in x['rows']) and 'nobody' in x['warnings'][0], x['warnings'])


def an_unwritable_file_is_told_before_anything_is_measured(folder):
    began = time.monotonic()
    r = run('run', '--suite', 'fork', '-o', folder / 'no' / 'such.json')
    check(r.returncode == 1 and 'cannot be written' in r.stderr and 'No such file' in r.stderr, r)
    check(time.monotonic() - began < 20)


def peers_that_crash_hang_or_babble_cost_only_themselves(folder):
    out = folder / 'bad.json'
    r = run('run', *SMALL, '--rounds', 2, '--block-limit', 4, '--program', program(folder), '--peers',
            'weir,good,crashing,hanging,babbling,sorry', '-o', out)
    check(r.returncode == 1, r)
    x = json.loads(out.read_text())
    rows = {w['peer']: w for w in x['rows']}
    why = {p: rows[p]['failures'][0]['why'] for p in ('crashing', 'hanging', 'babbling', 'sorry')}
    check(why['crashing'] == 'died: Segmentation fault', why)
    check(why['hanging'].startswith('hung: killed after 4 s'), why)
    check('no reading' in why['babbling'], why)
    check(why['sorry'] == 'tasks were lost', why)
    check(rows['weir']['rounds'] == rows['good']['rounds'] == [0, 1], rows['good'])
    check(rows['good']['median']['wall'] == 0.25e9 and rows['good']['median']['allocations'] is None, rows['good'])
    for p in why:
        check(f'fork/fib {p} 1' in r.stdout and why[p] in r.stdout, r.stdout)


def a_program_that_cannot_even_list_is_told(folder):
    for path, why in ((program(folder, 'LIST_CRASHES'), 'died: Segmentation fault'), (folder / 'nowhere', 'No such file')):
        r = run('run', *SMALL, '--rounds', 1, '--program', path, '--peers', 'weir')
        check(r.returncode == 1 and why in r.stderr and 'weir 1' in r.stdout, r)


def an_interrupt_keeps_what_was_measured(folder):
    out = folder / 'int.json'
    p = subprocess.Popen([BENCH, 'run', *SMALL, '--peers', 'weir,serial', '--rounds', '1000', '-o', str(out)],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.1)
        if out.exists() and len(json.loads(out.read_text())['rounds']) >= 2:
            break
    p.send_signal(signal.SIGINT)
    said, err = p.communicate(timeout=30)
    check(p.returncode == 130, p.returncode, said, err)
    x = json.loads(out.read_text())
    check(not x['complete'] and len(x['rounds']) >= 2 and all(w['rounds'] for w in x['rows']), x['rounds'])
    check('interrupted' in said and 'weir 1' in said, said)


def another_build_takes_part(folder):
    out = folder / 'against.json'
    r = run('run', *SMALL, '--peers', 'weir', '--rounds', 1, '--against', BENCH, '-o', out)
    check(r.returncode == 0, r)
    x = json.loads(out.read_text())
    check({w['peer'] for w in x['rows']} == {'weir', 'weir@against'}, x['rows'])
    check(any(y['to']['peer'] == 'weir@against' for y in x['ratios']), x['ratios'])


def a_slow_down_that_was_built_in_is_found(folder):
    """All of the way: measured in turns, kept, compared. A machine that is busy needs more than 5 % for that."""
    out = folder / 'slow.json'
    r = run('run', '--quick', '--only', 'fork/fib', '--workers', 1, '--peers', 'weir', '--rounds', 8, '--seconds', 0.02,
            '--against', BENCH, '--handicap', 500, '-o', out)
    check(r.returncode == 0 and 'slower on purpose' in r.stdout, r)
    slow = run('compare', out)
    check(slow.returncode == 1 and '1 slower, 0 faster, of 1' in slow.stdout, slow)


def small_result(folder, name, scale=1.0):
    """A result of nine rounds with little noise, weir's times multiplied by `scale`."""
    out = folder / 'template.json'
    if not out.exists():
        check(run('run', *SMALL, '--peers', 'weir,serial', '--rounds', 1, '-o', out).returncode == 0)
    x = json.loads(out.read_text())
    x['rounds'] = x['rounds'] * 9
    for w in x['rows']:
        by = scale if w['peer'] == 'weir' else 1
        w['rounds'] = list(range(9))
        w['samples'] = {k: [v[0] and v[0] * by * (1 + 0.001 * ((7 * i) % 9)) for i in range(9)]
                        for k, v in w['samples'].items()}
        w['curves'] = {}
    path = folder / name
    path.write_text(json.dumps(x))
    return path


def compare_tells_a_slow_build_by_its_status(folder):
    a, b, c = (small_result(folder, n, f) for n, f in (('a.json', 1), ('b.json', 1), ('c.json', 1.05)))
    same, slow, fast = run('compare', a, b), run('compare', a, c), run('compare', c, a)
    check(same.returncode == 0 and '0 slower, 0 faster, of 2' in same.stdout, same)
    check(slow.returncode == 1 and '2 slower, 0 faster' in slow.stdout and '1.050 [' in slow.stdout, slow)
    check(fast.returncode == 0 and '0 slower, 2 faster' in fast.stdout, fast)
    check(run('compare', a, c, '--threshold', 10).returncode == 0)
    check('| fork/fib(30) | weir 1 |' in run('compare', a, c, '--markdown').stdout)


def compare_refuses_what_it_cannot_read(folder):
    a = small_result(folder, 'a.json')
    cut = folder / 'cut.json'
    cut.write_text(a.read_text()[:2000])
    other = folder / 'other.json'
    other.write_text('{"benchmarks": []}')
    for args, why in (([a, cut], 'cut.json: [json.exception.parse_error'), ([other, a], 'not a result of weir-bench'),
                      ([a, folder / 'no.json'], 'No such file'), ([a], 'needs a run with --against'), ([], 'required')):
        r = run('compare', *args)
        check(r.returncode == 2 and why in r.stderr, r)


CASES = [f for f in list(globals().values())
         if hasattr(f, '__code__') and f.__code__.co_argcount == 1 and f.__code__.co_varnames[0] == 'folder']


def main():
    failed = 0
    print(f'1..{len(CASES)}')
    for n, case in enumerate(CASES, 1):
        folder = Path(tempfile.mkdtemp(prefix='weir-bench-'))
        name = case.__name__.replace('_', ' ')
        try:
            case(folder)
            print(f'ok {n} {name}', flush=True)
        except Exception:  # one case must not cost the others
            failed += 1
            print(f'not ok {n} {name}', flush=True)
            print(traceback.format_exc(), file=sys.stderr)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
