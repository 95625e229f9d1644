#!/usr/bin/env python3
"""The report in a browser: Chromium without a screen draws it, light and dark, from a file and without a network. TAP.

  report_test.py WEIR_BENCH [--keep FOLDER]      with --keep the page and its pictures stay there, to be looked at
"""
import html
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from sample import EVIL, sample

BROWSER = next((b for b in ('chromium', 'chromium-browser', 'google-chrome') if shutil.which(b)), None)
def browse(folder, *args):
    quiet = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run']
    return subprocess.run([BROWSER, *quiet, f'--user-data-dir={folder}/profile', '--host-resolver-rules=MAP * ~NOTFOUND', *args],
                          capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL)


def dom(folder, page, theme=''):
    r = browse(folder, '--virtual-time-budget=5000', '--dump-dom', f'{page.as_uri()}{theme}')
    assert r.returncode == 0 and '<svg' in r.stdout, (r.returncode, r.stderr[-2000:], r.stdout[:500])
    return r.stdout


def brightness(png):
    """Of the first pixel: what the filters of a PNG add to it is zero, whichever was used."""
    data = png.read_bytes()
    assert data[:8] == b'\x89PNG\r\n\x1a\n', png
    at, packed = 8, b''
    while at < len(data):
        size, kind = struct.unpack('>I4s', data[at:at + 8])
        packed += data[at + 8:at + 8 + size] if kind == b'IDAT' else b''
        at += 12 + size
    return sum(zlib.decompress(packed)[1:4]) / 3


def visible(text):
    text = re.sub(r'<(script|style|title)\b.*?</\1>', ' ', text, flags=re.S)
    return html.unescape(re.sub(r'<[^>]*>', ' ', text))


def page_of(bench, folder, result, name):
    data, page = folder / f'{name}.json', folder / f'{name}.html'
    data.write_text(json.dumps(result))
    r = subprocess.run([bench, 'report', data, '-o', page], capture_output=True, text=True)
    assert r.returncode == 0, r
    return page


def asks_for_nothing(bench, folder):
    text = page_of(bench, folder, sample(), 'offline').read_text()
    markup = re.sub(r'<script id="data".*?</script>', '', text, flags=re.S)
    markup = markup.replace("e.target.href =", '')  # the download: made here, from what is here
    for bad in (r'(?:src|href)\s*=\s*["\'](?!#)', r'@import', r'url\(', r'\bfetch\(', r'XMLHttpRequest', r'import\('):
        found = re.search(bad, markup)
        assert not found, markup[found.start() - 60:found.end() + 60]
    links = set(re.findall(r'https?://[^\s"\'<>]+', markup))
    assert links <= {'http://www.w3.org/2000/svg'}, links
    assert text.count('</script>') == 3, 'the data must not end its element'


def everything_is_drawn(bench, folder):
    s = sample()
    got = dom(folder, page_of(bench, folder, s, 'sample'))
    error = re.search(r'data-error="([^"]*)"', got)
    assert not error, error[1]
    assert re.search(r'data-drawn="\d\d+"', got)
    for suite in ('fork', 'submit', 'wake', 'latency'):
        assert f'id="suite-{suite}"' in got, suite
    for part in ('targets', 'ratios', 'machine', 'data'):
        assert f'id="{part}"' in got, part
    seen = visible(got)
    for wanted in (EVIL, 'Segmentation fault', 'speed-up over serial', 'percent of capacity', 'load, % of its capacity', 'p99.9', 'logarithmic',
                   'not told apart', '2 of 9 rounds were disturbed', 'PASS', 'A Processor with'):
        assert wanted in seen, wanted
    for broken in ('NaN', 'undefined', 'Infinity', '[object'):
        assert broken not in seen, seen[max(0, seen.find(broken) - 80):seen.find(broken) + 80]
    broken = re.search(r'="[^"]*(?:NaN|undefined|Infinity)[^"]*"', got)
    assert not broken, broken[0][:200]
    cases = {(r['what']['suite'], r['what']['name']) for r in s['rows']}
    assert got.count('class="bars"') == len(cases), (got.count('class="bars"'), len(cases))
    assert got.count('class="bar"') == len(s['rows'])
    assert got.count('class="lines"') >= 3 + 2 * 2 + 3, got.count('class="lines"')  # speed-ups, along the axis, percentiles


def light_and_dark_are(bench, folder):
    page = page_of(bench, folder, sample(), 'themes')
    for theme, least, most in (('light', 200, 256), ('dark', 0, 60)):
        assert f'data-theme="{theme}"' in dom(folder, page, '#' + theme)
        png = folder / f'{theme}.png'
        r = browse(folder, '--hide-scrollbars', '--window-size=1280,2400', '--virtual-time-budget=5000',
                   f'--screenshot={png}', f'{page.as_uri()}#{theme}')
        assert png.exists(), r.stderr[-2000:]
        assert png.stat().st_size > 50_000, 'an almost empty picture'
        assert least <= brightness(png) < most, (theme, brightness(png))


def a_run_of_this_machine(bench, folder):
    out = folder / 'run.json'
    r = subprocess.run([bench, 'run', '--quick', '--only', 'fork/fib,wake/one', '--peers', 'weir,serial,raw_futex', '--rounds',
                        '2', '--seconds', '0.005', '-o', out],
                       capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert r.returncode == 0, r
    got = dom(folder, page_of(bench, folder, json.loads(out.read_text()), 'real'))
    assert 'data-error' not in got and got.count('class="bar"') == 5, got.count('class="bar"')


CASES = (('the page is one file that asks for nothing', asks_for_nothing),
         ('everything is drawn, and nothing is broken', everything_is_drawn),
         ('light is light and dark is dark', light_and_dark_are),
         ('a run of this machine is drawn', a_run_of_this_machine))


def main():
    bench, keep = sys.argv[1], Path(sys.argv[3]) if len(sys.argv) > 3 else None
    print(f'1..{len(CASES)}')
    folder = keep or Path(tempfile.mkdtemp(prefix='weir-bench-report-'))
    folder.mkdir(exist_ok=True)
    failed = 0
    for n, (name, case) in enumerate(CASES, 1):
        if case is not asks_for_nothing and not BROWSER:
            print(f'ok {n} {name} # SKIP Chromium is not installed')
            continue
        try:
            case(bench, folder.resolve())
            print(f'ok {n} {name}', flush=True)
        except (AssertionError, subprocess.TimeoutExpired) as e:
            failed += 1
            print(f'not ok {n} {name}', flush=True)
            print(f'{name}: {e}', file=sys.stderr)
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
