#!/usr/bin/env python3
"""Runs the Promela models and their mutants: right models must pass, mutants must fail. Prints a table.

  run.py [--smoke] [--spin SPIN] [--cc CC] [--jobs N] [--only MODEL]

Each model is checked for safety (assertions, and rest without anything lost) and for liveness (its ltl claim, under weak
fairness). --smoke: the right models for safety only, and one mutant of each. Status: 0, 1, or 77 when there is no spin.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEMORY = {'sc': '', 'tso': '-DTSO', 'tso, no membarrier': '-DTSO -DNO_MEMBARRIER'}
SC, TSO, BARE = MEMORY

# model: its variants (more defines; which memories).
RIGHT = {
    'park': {'': (SC, TSO, BARE)},
    'shutdown': {'': (SC, TSO, BARE), '-DORPHAN': (SC, TSO, BARE), '-DABORT': (SC, TSO, BARE),
                 '-DIDLER -DWORKERS=1': (SC, TSO, BARE), '-DENTRY -DWORKERS=1': (SC, TSO, BARE)},
    'join': {'': (SC, TSO, BARE)},
}
SAFETY_ONLY = ('-DABORT',)  # its closer looks again and again instead of being told
# model: mutant: (defines that it needs besides, the memory in which it must fail: SC where that is enough).
MUTANTS = {
    'park': {'NO_RECHECK': ('', TSO), 'LIGHT_PARK': ('', TSO), 'BIT_LATE': ('', SC), 'NO_WAKE_FENCE': ('', BARE),
             'TOKEN_LOST': ('', SC), 'NO_LOOK_AGAIN': ('', SC), 'RELAX_BLIND': ('', SC), 'NO_ROUSED': ('', SC),
             'WATCH_BLIND': ('', SC), 'LEAVE_BLIND': ('', SC)},
    'shutdown': {'LIGHT_WAIT': ('', TSO), 'LIGHT_END': ('', BARE), 'SUBMITS_FIRST': ('', SC), 'LIGHT_SHUT': ('', TSO),
                 'LATE_SEEN': ('', SC), 'LIGHT_ORPHAN': ('-DORPHAN', TSO), 'BLIND_LOWER': ('-DIDLER -DWORKERS=1', SC),
                 'LIGHT_LOWER': ('-DIDLER -DWORKERS=1', TSO), 'STALE_BIT': ('-DIDLER -DWORKERS=1', SC),
                 'KEEP_TO_ONESELF': ('-DIDLER -DWORKERS=1', SC),
                 'LATE_COUNT': ('-DENTRY -DWORKERS=1', SC), 'SILENT_UNDO': ('-DENTRY -DWORKERS=1', SC)},
    'join': {'TOUCH_LATE': ('', SC), 'BLIND_DONE': ('', SC), 'BLIND_WAIT': ('', SC), 'TOKEN_LOST': ('', SC),
             'ONE_SLEEP': ('', SC), 'LIGHT_BELL': ('', TSO), 'NO_FOLLOW': ('', SC), 'RING_LATE': ('', SC)},
}


class Case:
    def __init__(self, model, defines, memory, mutant=None, live=True):
        self.model, self.defines, self.memory, self.mutant, self.live = model, defines, memory, mutant, live
        self.safety = self.liveness = None
        self.states = 0
        self.seconds = 0.0
        self.broken = ''

    @property
    def right(self):
        if self.broken:
            return False
        if self.mutant:  # one of the two must see it
            return self.safety is False or self.liveness is False
        return self.safety is True and self.liveness is not False

    def run(self, tools):
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix='weir-spin-') as folder:
            try:
                self.check(tools, folder)
            except (subprocess.SubprocessError, OSError) as e:
                self.broken = str(e) + (getattr(e, 'stdout', None) or '')
        self.seconds = time.monotonic() - begin
        return self

    def check(self, tools, folder):
        def do(*command):
            return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=tools.limit).stdout

        defines = (self.defines + ' ' + MEMORY[self.memory]).split() + (['-DM_' + self.mutant] if self.mutant else [])
        do(tools.spin, '-a', *defines, str(HERE / (self.model + '.pml')))
        few_states = self.mutant or self.model == 'join' or self.defines in ('-DORPHAN', '-DABORT')
        common = [*tools.cc, '-O0' if few_states else '-O1', '-w', '-DNFAIR=4', '-DMEMLIM=2000', 'pan.c', '-o']
        do(*common, 'safety', '-DNOCLAIM')
        self.safety = self.verdict(do('./safety', '-m1000000'))
        if self.live and not (self.mutant and self.safety is False):
            do(*common, 'liveness')
            self.liveness = self.verdict(do('./liveness', '-a', '-f', '-m1000000'))

    def verdict(self, text):
        errors = re.search(r'errors: (\d+)', text)
        if not errors or 'max search depth too small' in text or 'out of memory' in text or 'reached -DMEMLIM' in text:
            self.broken = text[-2000:]
            return None
        self.states = max(self.states, int(float(re.search(r'(\S+) states, stored', text).group(1))))
        return errors.group(1) == '0'


def cases(smoke, only):
    for model in RIGHT:
        if only and model != only:
            continue
        for defines, memories in RIGHT[model].items():
            for memory in memories:
                if not smoke or (not defines and memory == TSO):
                    yield Case(model, defines, memory, live=not (smoke or defines in SAFETY_ONLY or (defines and memory == BARE)))
        for i, (mutant, (defines, memory)) in enumerate(MUTANTS[model].items()):
            if not smoke or i == 0:
                yield Case(model, defines, memory, mutant, live=not smoke)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--smoke', action='store_true')
    p.add_argument('--spin', default='spin')
    p.add_argument('--cc', default=os.environ.get('CC', 'cc'))
    p.add_argument('--jobs', type=int, default=min(2, os.cpu_count() or 1))
    p.add_argument('--only', choices=RIGHT)
    tools = p.parse_args()
    tools.limit = 60
    tools.cc = tools.cc.split()
    if not shutil.which(tools.spin) or not shutil.which(tools.cc[0]):
        print('skipped: spin and a C compiler are not both installed')
        return 77
    begin = time.monotonic()
    with ThreadPoolExecutor(tools.jobs) as pool:
        done = list(pool.map(lambda c: c.run(tools), cases(tools.smoke, tools.only)))
    say = {True: 'holds', False: 'fails', None: '–'}
    print(f'{"model":28} {"memory":19} {"mutant":15} {"safety":7} {"liveness":9} {"states":>9} {"s":>5}')
    for c in done:
        name = c.model + (' ' + c.defines.replace('-D', '') if c.defines else '')
        print(f'{name:28} {c.memory:19} {c.mutant or "":15} {say[c.safety]:7} {say[c.liveness]:9} {c.states:9} {c.seconds:5.1f}'
              + ('' if c.right else '   WRONG'))
        if c.broken:
            print(c.broken)
    wrong = sum(not c.right for c in done)
    mutants = sum(c.mutant is not None for c in done)
    print(f'{len(done) - mutants} models and {mutants} mutants in {time.monotonic() - begin:.1f} s, {wrong} wrong')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
