"""What the suites that run the compiler share: one job a fact, TAP on stdout."""
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor


def compiles(command, text):
    """Whether the compiler accepts the text, and what it said."""
    done = subprocess.run(command + ['-fsyntax-only', '-x', 'c++', '-'], input=text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode == 0, done.stdout


def tap(facts):
    """facts: (name, function that returns None or what is wrong). Exit status for main."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        answers = [(name, pool.submit(check)) for name, check in facts]
        print(f'1..{len(answers)}')
        failed = 0
        for n, (name, answer) in enumerate(answers, 1):
            wrong = answer.result()
            print(f'{"not ok" if wrong else "ok"} {n} - {name}', flush=True)
            if wrong:
                failed += 1
                print('\n'.join('# ' + line for line in wrong.strip().split('\n')[:40]), file=sys.stderr, flush=True)

