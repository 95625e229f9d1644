#!/usr/bin/env python3
"""The real service under a real client.   usage: service_test.py SERVICE"""
import http.client
import os
import re
import shutil
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SERVICE = os.path.abspath(sys.argv[1])
LIMIT = 60  # seconds; nothing here comes near it
COUNT_CODES = '''
wrk.method = "POST"
local threads = {}
accepted, refused, others = 0, 0, 0
function setup(thread) table.insert(threads, thread) end
function response(status)
  if status == 202 then accepted = accepted + 1
  elseif status == 503 then refused = refused + 1
  else others = others + 1 end
end
function done()
  local a, r, o = 0, 0, 0
  for _, t in ipairs(threads) do
    a, r, o = a + t:get("accepted"), r + t:get("refused"), o + t:get("others")
  end
  print("codes " .. a .. " " .. r .. " " .. o)
end
'''


class Service:
    def __init__(self, *options):
        self.errors = tempfile.NamedTemporaryFile()  # no pipe: a sanitizer's report may be longer than one holds
        self.process = subprocess.Popen([SERVICE, '--port', '0', *options], stdout=subprocess.PIPE, stderr=self.errors, text=True)
        first = self.process.stdout.readline()
        found = re.match(r'listening on 127\.0\.0\.1:(\d+)$', first.strip())
        if not found:
            raise AssertionError(f'it says {first!r}; {self.gone()}')
        self.port = int(found[1])

    def said(self):
        """What it has written to stderr so far."""
        with open(self.errors.name) as f:  # the server writes at the place of its own handle
            return f.read()

    def gone(self):
        """Of a server that is ending, or has ended, although nobody told it to."""
        out, _ = self.process.communicate(timeout=LIMIT)
        how = self.process.returncode
        how = f'killed by {signal.Signals(-how).name}' if how < 0 else f'with status {how}'
        return f'the server has gone, {how}; stdout {out!r}, stderr:\n{self.said()}'

    def must_live(self):
        if self.process.poll() is not None:
            raise AssertionError(self.gone())

    def ask(self, method, path):
        c = http.client.HTTPConnection('127.0.0.1', self.port, timeout=LIMIT)
        try:
            c.request(method, path)
            a = c.getresponse()
            return a.status, dict(a.getheaders()), a.read().decode()
        except (OSError, http.client.HTTPException):
            self.must_live()
            raise
        finally:
            c.close()

    def post(self, count):
        return self.ask('POST', f'/tasks?count={count}')

    def metric(self, name):
        text = self.ask('GET', '/metrics')[2]
        found = re.search(rf'^{re.escape(name)} (\S+)$', text, re.M)
        return float(found[1])

    def ended_ok(self):
        return self.metric('weir_tasks_ended_total{outcome="ok"}')

    def resident_kib(self):
        with open(f'/proc/{self.process.pid}/status') as f:
            found = re.search(r'^VmRSS:\s+(\d+)', f.read(), re.M)
        if not found:  # a process that is ending has no memory any more
            raise AssertionError(self.gone())
        return int(found[1])

    def is_sanitized(self):
        with open(f'/proc/{self.process.pid}/maps') as f:
            return re.search(r'lib(clang_rt\.)?[at]san', f.read()) is not None

    def end(self, sig=signal.SIGTERM):
        """What it said, and its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        out, _ = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, out, self.said()


def eventually(fact):
    end = time.monotonic() + LIMIT
    while not fact():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class TheService(unittest.TestCase):
    def start(self, *options):
        s = Service(*options)
        self.addCleanup(lambda: (s.process.kill(), s.process.wait(), s.process.stdout.close(), s.errors.close()))
        return s

    def test_tasks_are_accepted_and_run(self):
        s = self.start('--work-us', '1')
        status, _, text = s.post(100)
        self.assertEqual((status, text), (202, 'accepted 100\n'))
        self.assertTrue(eventually(lambda: s.ended_ok() == 100))

    def test_a_body_is_not_needed_and_not_in_the_way(self):
        s = self.start('--work-us', '1')
        c = http.client.HTTPConnection('127.0.0.1', s.port, timeout=LIMIT)
        self.addCleanup(c.close)
        for body in [b'', b'x' * 100_000, b'']:
            c.request('POST', '/tasks?count=1', body)
            a = c.getresponse()
            self.assertEqual((a.status, a.read()), (202, b'accepted 1\n'))
        c.putrequest('POST', '/tasks?count=1')  # neither length nor encoding: no body, says the protocol
        c.endheaders()
        a = c.getresponse()
        self.assertEqual((a.status, a.read()), (202, b'accepted 1\n'))

    def test_a_bad_count_is_answered_400_and_nothing_runs(self):
        s = self.start('--capacity', '50')
        for bad in ['', '0', '-1', '1&count=2', '%31%32%33', '%2B1', '1%00', '%zz', 'x', '1x', '%201', '51', '1e3', '99999999999999999999', '1.5', '+1']:
            status, _, text = s.post(bad)
            self.assertEqual((bad, status), (bad, 400))
            self.assertIn('from 1 to 50', text)
        self.assertEqual(s.ask('POST', '/tasks')[0], 400)
        self.assertEqual(s.metric('weir_tasks_submitted_total'), 0)
        self.assertEqual(s.ask('GET', '/nowhere')[0], 404)

    def test_what_is_over_the_capacity_is_answered_503_with_retry_after(self):
        s = self.start('--workers', '1', '--capacity', '10', '--work-us', '200000', '--drain-s', '0')
        accepted, refused = 0, None
        for _ in range(50):
            status, headers, _ = s.post(7)
            if status == 202:
                accepted += 7
            else:
                refused = status, headers
                break
        self.assertIsNotNone(refused)
        self.assertEqual(refused[0], 503)
        self.assertGreaterEqual(int(refused[1]['Retry-After']), 1)
        self.assertEqual(s.metric('weir_tasks_submitted_total'), accepted, 'all of a request or nothing')
        self.assertGreaterEqual(s.metric('weir_tasks_rejected_total'), 1)

    def test_retry_after_is_what_tasks_have_waited(self):
        s = self.start('--workers', '1', '--capacity', '6', '--work-us', '500000', '--drain-s', '0')
        waited = []

        def follows():
            status, headers, _ = s.post(1)
            if status == 503:
                waited.append(int(headers['Retry-After']))
            return len(waited) > 0 and waited[-1] >= 3  # six tasks of half a second are before the next one
        self.assertTrue(eventually(follows), waited)
        self.assertLess(waited[0], waited[-1], 'it has not waited for anything then')

    def raw(self, s, text):
        with socket.create_connection(('127.0.0.1', s.port), timeout=LIMIT) as c:
            c.sendall(text)
            return c.recv(12)

    def test_a_request_that_is_cut_short_or_malformed_starts_nothing(self):
        s = self.start()
        post = b'POST /tasks?count=1 HTTP/1.1\r\n'
        self.assertEqual(self.raw(s, post + b'Content-Length: 9\r\n\r\nabc'), b'HTTP/1.1 400')
        self.assertEqual(self.raw(s, post + b'Transfer-Encoding: chunked\r\n\r\nzz\r\n'), b'HTTP/1.1 400')
        self.assertEqual(self.raw(s, post + b'Content-Length: 99999999999999999999\r\n\r\n'), b'HTTP/1.1 413')
        self.assertEqual(self.raw(s, b'\0\xff\r\n\r\n'), b'HTTP/1.1 400')
        self.assertEqual(self.raw(s, b'POST /tasks?count=' + b'1' * 100_000 + b' HTTP/1.1\r\n\r\n'), b'HTTP/1.1 414')
        for part in [b'', post[:9], post, post + b'Content-Length: 9\r\n\r\nabc']:  # and away
            with socket.create_connection(('127.0.0.1', s.port), timeout=LIMIT) as c:
                c.sendall(part)
        self.assertEqual(self.raw(s, post + b'Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n'), b'HTTP/1.1 202')
        self.assertEqual(s.metric('weir_tasks_submitted_total'), 1)

    def test_it_outlives_a_lack_of_file_descriptors(self):
        s = self.start()
        resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (20, 20))
        idle = [socket.create_connection(('127.0.0.1', s.port), timeout=LIMIT) for _ in range(60)]
        time.sleep(0.2)
        for c in idle:
            c.close()
        self.assertEqual(s.post(1)[0], 202)
        self.assertEqual(s.end()[0], 0)

    def test_the_metrics_are_what_prometheus_reads(self):
        s = self.start('--work-us', '1')
        s.post(10)
        status, headers, text = s.ask('GET', '/metrics')
        self.assertEqual(status, 200)
        self.assertTrue(headers['Content-Type'].startswith('text/plain; version=0.0.4'))
        for line in text.splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+-]+)$')
        if shutil.which('promtool'):
            checked = subprocess.run(['promtool', 'check', 'metrics'], input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual((checked.returncode, checked.stdout), (0, ''))

    def test_sigterm_drains_refuses_and_reports(self):
        s = self.start('--workers', '1', '--work-us', '200000', '--drain-s', '60')
        self.assertEqual(s.ask('GET', '/healthz')[::2], (200, 'ok\n'))
        self.assertEqual(s.post(40)[0], 202)
        s.process.send_signal(signal.SIGTERM)
        self.assertTrue(eventually(lambda: s.ask('GET', '/healthz')[0] == 503))
        self.assertEqual(s.ask('GET', '/healthz')[2], 'draining\n')
        self.assertEqual(s.post(1)[0], 503)
        status, out, err = s.end()
        self.assertEqual((status, err), (0, ''))
        self.assertIn('ran 40, stopped 0, still running 0: complete', out)

    def test_a_drain_past_its_limit_says_what_did_not_run(self):
        s = self.start('--workers', '1', '--work-us', '20000', '--drain-s', '0')
        self.assertEqual(s.post(500)[0], 202)
        status, out, _ = s.end()
        ran, stopped, running = (int(n) for n in re.search(r'ran (\d+), stopped (\d+), still running (\d+)', out).groups())
        self.assertEqual(status, 3)
        self.assertGreater(stopped, 0)
        self.assertEqual(ran + stopped + running, 500)

    def test_sigterm_in_the_first_moment_ends_it_too(self):
        for _ in range(30):
            s = self.start()
            status, out, _ = s.end()
            self.assertEqual(status, 0, out)

    def test_another_sigterm_ends_the_drain(self):
        s = self.start('--workers', '1', '--work-us', '100000', '--drain-s', '600')
        self.assertEqual(s.post(900)[0], 202)
        for _ in range(20):  # one counts only a second after the drain has begun
            s.process.send_signal(signal.SIGTERM)
            try:
                s.process.wait(1.5)
                break
            except subprocess.TimeoutExpired:
                pass
        status, out, _ = s.end()
        self.assertEqual(status, 3)
        self.assertIn('once more: the drain ends now\n', out)
        self.assertRegex(out, r'stopped [1-9]')

    def test_a_task_longer_than_the_drain_is_told_to_stop(self):
        s = self.start('--workers', '1', '--work-us', '60000000', '--drain-s', '1')
        self.assertEqual(s.post(2)[0], 202)
        self.assertTrue(eventually(lambda: s.metric('weir_tasks_running') == 1))
        asked = time.monotonic()
        status, out, _ = s.end()
        self.assertEqual(status, 3)
        self.assertIn('stopped 1,', out)
        self.assertLess(time.monotonic() - asked, 30)

    def test_no_client_holds_up_the_end(self):
        s = self.start()
        drips, idle = (socket.create_connection(('127.0.0.1', s.port), timeout=LIMIT) for _ in range(2))
        self.addCleanup(drips.close)
        self.addCleanup(idle.close)
        idle.sendall(b'GET /healthz HTTP/1.1\r\n\r\n')
        self.assertEqual(idle.recv(12), b'HTTP/1.1 200')
        drips.sendall(b'GET /healthz HTT')
        s.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + LIMIT
        while s.process.poll() is None and time.monotonic() < end:
            try:
                drips.sendall(b'x')
            except OSError:
                pass  # it has gone
            time.sleep(0.2)
        self.assertEqual(s.process.poll(), 0)

    def test_a_taken_port_is_a_clear_error(self):
        s = self.start()
        other = subprocess.run([SERVICE, '--port', str(s.port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
        self.assertEqual(other.returncode, 1)
        self.assertIn(f'cannot listen on 127.0.0.1:{s.port}', other.stderr)

    def test_a_bad_option_is_a_clear_error(self):
        for bad in [['--capacity', '0'], ['--port', '70000'], ['--work-us', 'x'], ['--nonsense']]:
            other = subprocess.run([SERVICE, *bad], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT)
            self.assertNotEqual(other.returncode, 0)
            self.assertIn(bad[0], other.stdout)

    def flood(self, s, seconds):
        """Several times what it can do. Requests accepted, refused, answered otherwise."""
        with tempfile.NamedTemporaryFile('w', suffix='.lua') as script:
            script.write(COUNT_CODES)
            script.flush()
            said = subprocess.run(['wrk', '-t2', '-c32', f'-d{seconds}s', '-s', script.name,
                                   f'http://127.0.0.1:{s.port}/tasks?count=10'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT)
            s.must_live()
            found = re.search(r'^codes (\d+) (\d+) (\d+)$', said.stdout, re.M)
            self.assertTrue(found, said.stdout)
            return [int(n) for n in found.groups()]

    @unittest.skipUnless(shutil.which('wrk'), 'no wrk')
    def test_under_overload_the_rest_is_refused_and_nothing_is_lost_or_kept(self):
        s = self.start('--work-us', '500', '--capacity', '500')
        self.flood(s, 1)
        before = s.resident_kib()
        accepted, refused, others = self.flood(s, 2)
        self.assertGreater(accepted, 0)
        self.assertGreater(refused, 0, 'it was not overloaded')
        self.assertEqual(others, 0)
        if not s.is_sanitized():  # they keep books in memory of their own
            self.assertLess(s.resident_kib() - before, 8 << 10, 'KiB more than after the first flood')
        submitted = s.metric('weir_tasks_submitted_total')
        # wrk forgets the answers under way when its time is up, the service does not.
        self.assertGreaterEqual(submitted, 10 * accepted)
        status, out, err = s.end()
        self.assertEqual((status, err), (0, ''))
        ran = int(re.search(r'ran (\d+), stopped 0, still running 0: complete', out)[1])
        self.assertGreaterEqual(ran, submitted)  # a request of wrk's may still have been under way


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
