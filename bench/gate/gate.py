#!/usr/bin/env python3
"""Instructions of the hot paths, counted by callgrind, against baseline.json.

  gate.py WEIR_GATE                  compare: 0 good, 1 a path has become longer, 77 skipped (and why)
  gate.py --renew WEIR_GATE          write what is counted now into baseline.json, for this compiler
  gate.py --must WEIR_GATE           without valgrind it fails

A path may grow by 2 % or by half an instruction an operation, whichever is more. What has become shorter by as much is told,
and is no failure: renew the baseline, so that the gain is kept.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BASELINE = Path(__file__).with_name('baseline.json')
SHARE, LEAST = 0.02, 0.5
RENEW = 'renew it with: bench/gate/gate.py --renew BUILD/bench/weir-gate'


def skip(why):
    print(f'skipped: {why}')
    sys.exit(77)


def counts_of(text):
    """(name, operations, instructions) of one dump of callgrind, or None when it is not one of ours."""
    mark = re.search(r'^desc: Trigger: Client Request: (\w+)/(\d+)$', text, re.M)
    total = re.search(r'^(?:totals|summary): (\d+)', text, re.M)
    return (mark[1], int(mark[2]), int(total[1])) if mark and total else None


def measure(program, must):
    """Path → instructions an operation, the least of its dumps."""
    # Meson's test runner asks malloc to fill what it hands out, which is counted where a queue gets a new block.
    plain = {k: v for k, v in os.environ.items() if k != 'MALLOC_PERTURB_'}
    with tempfile.TemporaryDirectory(prefix='weir-gate-') as folder:
        ran = subprocess.run(['valgrind', '--tool=callgrind', f'--callgrind-out-file={folder}/out', program],
                             capture_output=True, text=True, timeout=300, env=plain)
        if ran.returncode == 77 and not must:
            skip(ran.stderr.strip().splitlines()[-1])
        if ran.returncode != 0:
            sys.exit(f'{program} under callgrind ended with {ran.returncode}:\n{ran.stderr}')
        least = {}
        for dump in Path(folder).iterdir():
            found = counts_of(dump.read_text())
            if found:
                name, operations, instructions = found
                each = round(instructions / operations, 3)
                least[name] = min(each, least.get(name, each))
    if not least:
        sys.exit(f'{program} made no dumps:\n{ran.stderr}')
    return least


def key_of(program):
    """Code depends on the compiler's major version and the processor: "gcc 12 x86-64". The program knows."""
    return subprocess.run([program, '--key'], capture_output=True, text=True, check=True).stdout.strip()


def compare(base, now):
    """Lines for people, and whether all is well."""
    lines, good = [], True
    for name in sorted(base.keys() | now.keys()):
        if name not in base or name not in now:
            good = False
            lines.append(f'{name:20} {"not in the baseline" if name in now else "not measured any more"}; {RENEW}')
            continue
        was, is_, room = base[name], now[name], max(base[name] * SHARE, LEAST)
        verdict = 'ok'
        if is_ > was + room:
            good, verdict = False, 'LONGER'
        elif is_ < was - room:
            verdict = 'shorter: ' + RENEW
        lines.append(f'{name:20} {was:10.2f} {is_:10.2f} {is_ - was:+8.2f}  {verdict}')
    return lines, good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('program')
    parser.add_argument('--renew', action='store_true')
    parser.add_argument('--must', action='store_true')
    options = parser.parse_args()
    program = str(Path(options.program).resolve())
    if not shutil.which('valgrind'):
        sys.exit('valgrind is not installed') if options.must or options.renew else skip('valgrind is not installed')
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    key = key_of(program)
    if not options.renew and key not in baseline:
        skip(f'baseline.json has nothing for {key}, only for {", ".join(baseline) or "nobody"}; {RENEW}')
    now = measure(program, options.must or options.renew)
    if options.renew:
        baseline[key] = dict(sorted(now.items()))
        BASELINE.write_text(json.dumps(dict(sorted(baseline.items())), indent=2) + '\n')
        print(f'{BASELINE}: {len(now)} paths for {key}')
        return 0
    lines, good = compare(baseline[key], now)
    print(f'instructions an operation, {key}\n{"":20} {"baseline":>10} {"now":>10}')
    print('\n'.join(lines))
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
