"""A result as `weir-bench run` writes it: everything that a report can show, and names that try to break out of it."""
import random

EVIL = '</script><b>&amp;"\'<!-- 100 %'


def row(rng, suite, name, peer, workers, base, *, label='', axis='', x=0, curves=False, serial=False, compared=('wall',),
        rounds=9):
    def around(value, noise=0.02):
        return [value * (1 + rng.gauss(0, noise)) for _ in range(rounds)]

    samples = {'wall': around(base), 'cpu': around(base * workers), 'voluntary': [0] * rounds,
               'involuntary': around(0.01, 0.3), 'allocations': [0 if peer == 'weir' else 1.0] * rounds,
               'bytes': [None] * rounds, 'peak_mb': around(6 + workers), 'tasks': [1000.0] * rounds}
    lines = {}
    if curves:
        samples |= {'p50_us': around(base / 1e3), 'p99_us': around(base / 50, 0.2)}
        qs = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999]
        lines['latency_us'] = [[[q, base / 1e3 * (1 - q) ** -0.6 * (1 + abs(rng.gauss(0, 0.1)))] for q in qs]
                               for _ in range(rounds)]
    medians = {}
    for key, column in samples.items():
        known = sorted(v for v in column if v is not None)
        medians[key] = known[len(known) // 2] if known else None
    return {'what': {'suite': suite, 'name': name, 'size': 35, 'task': 'a run', 'compared': list(compared), 'axis': axis,
                     'x': x, 'against_serial': serial, 'label': label},
            'peer': peer, 'workers': workers, 'median': medians, 'rounds': list(range(rounds)), 'samples': samples,
            'curves': lines, 'failures': []}


def ratio(rows, suite, name, metric, of, to, verdict=None):
    def find(peer, workers):
        return next(r for r in rows if (r['what']['suite'], r['what']['name']) == (suite, name)
                    and (r['peer'], r['workers']) == (peer, workers))

    a, b = find(*of), find(*to)
    ratios = sorted(p / q for p, q in zip(a['samples'][metric], b['samples'][metric]))
    low, mid, high = ratios[1], ratios[len(ratios) // 2], ratios[-2]
    told = verdict or ('faster' if high < 0.99 else 'slower' if low > 1.01 else 'not told apart')
    return {'suite': suite, 'name': name, 'metric': metric, 'of': {'peer': of[0], 'workers': of[1]},
            'to': {'peer': to[0], 'workers': to[1]}, 'median': mid, 'low': low, 'high': high, 'verdict': told}


def sample():
    rng = random.Random(1)
    rows, ratios = [], []
    for name, serial, peers in (('fib', 4e7, {'weir': 5e7, 'oneTBB': 1.9e9, 'OpenMP': 3e9, 'Rust rayon': 2e8}),
                                ('nqueens', 8e7, {'weir': 8e7, 'oneTBB': 1.6e8, 'OpenMP': 2.2e8, 'Rust rayon': 1.1e8}),
                                ('matmul', 3e8, {'weir': 3e8, 'oneTBB': 3.05e8, 'OpenMP': 3.1e8, 'Rust rayon': 2.9e8})):
        rows.append(row(rng, 'fork', name, 'serial', 1, serial, label=f'{name}(35)', serial=True))
        for peer, base in peers.items():
            for n in (1, 2):
                rows.append(row(rng, 'fork', name, peer, n, base / n, label=f'{name}(35)', serial=True))
        for n in (1, 2):
            for peer in peers:
                if peer != 'weir':
                    ratios.append(ratio(rows, 'fork', name, 'wall', ('weir', n), (peer, n)))
            ratios.append(ratio(rows, 'fork', name, 'wall', ('weir', n), ('serial', 1)))
    for name, base in (('from_1', 20), ('from_8', 30)):
        for peer, by in (('weir', 1), ('oneTBB', 8), ('Boost.Asio', 11), (EVIL, 4)):
            rows.append(row(rng, 'submit', name, peer, 2, base * by, compared=('wall', 'cpu')))
            if peer != 'weir':
                ratios.append(ratio(rows, 'submit', name, 'wall', ('weir', 2), (peer, 2)))
    for peer, base in (('weir', 21_000), ('raw_futex', 20_000), ('Boost.Asio', 25_000)):
        rows.append(row(rng, 'wake', 'one', peer, 1 if peer == 'raw_futex' else 2, base, curves=True,
                        compared=('p50_us', 'p99_us')))
    for load in (10, 30, 50, 70, 80, 90, 95):
        for peer, base in (('weir', 900), ('Boost.Asio', 2500)):
            rows.append(row(rng, 'latency', f'poisson_{load}', peer, 2, base / (1 - load / 100) ** 1.2, curves=True,
                            axis='percent of capacity', x=load, compared=('p50_us', 'p99_us')))
    for load in (20, 50, 95):  # of their own capacities: to be drawn, and not to be compared
        for peer, base in (('weir', 700), ('Boost.Asio', 2000)):
            rows.append(row(rng, 'latency', f'load_{load}', peer, 1, base / (1 - load / 100), curves=True,
                            axis='load, % of its capacity', x=load, compared=()))
    broken = row(rng, 'submit', 'from_8', 'Go pool', 2, 1, compared=('wall', 'cpu'), rounds=0)
    broken['failures'] = [{'round': 0, 'why': 'died: Segmentation fault'}, {'round': 1, 'why': EVIL}]
    rows.append(broken)
    stolen = '3.1 % of the time went to other machines (steal)'
    return {'format': 'weir-bench', 'version': 1, 'command': ['weir-bench', 'run', '--suite', 'all', '-o', EVIL],
            'started': '2024-05-01T12:00:00Z', 'seconds': 312.4, 'quick': False, 'complete': True,
            'environment': {'processor': 'A Processor with ' + EVIL, 'cores': '2', 'kernel': 'Linux 6.1',
                            'compiler': 'gcc 12.2.0', 'quota': 'none', 'load at the start': '0.02', 'seed': '42'},
            'peers': {'weir': '0.1.0', 'oneTBB': '2021.8', 'Boost.Asio': '1.74', 'serial': '', EVIL: EVIL},
            'warnings': ['2 of 9 rounds were disturbed, the last time because ' + stolen, EVIL],
            'rounds': [{'round': i, 'tries': 1 + (i == 3), 'seconds': 34.5, 'others': 0.01 * i, 'steal': 0.001 * i,
                        'throttled_s': 0, 'speed': 1 - 0.002 * i, 'disturbed': stolen if i > 6 else ''}
                       for i in range(9)],
            'rows': rows, 'ratios': ratios}


if __name__ == '__main__':
    import json
    import sys
    json.dump(sample(), sys.stdout)
