#!/usr/bin/env python3
"""treesum against find, sort and sha256sum.   usage: treesum_test.py TREESUM [TREE]"""
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

TREESUM = os.path.abspath(sys.argv[1])
TREE = sys.argv[2] if len(sys.argv) > 2 else '/usr/include'
C_LOCALE = dict(os.environ, LC_ALL='C')
MODES = [[], ['--workers', '1'], ['--workers', '2'], ['--workers', '8'], ['--serial']]
LIMIT = 120  # seconds; nothing here comes near it
NOBODY = 65534
PIPES = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}


def as_nobody():
    """Permissions mean nothing to root."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


drop_root = as_nobody if os.geteuid() == 0 else None


def has_open(pid, name):
    try:
        return any(os.readlink(f'/proc/{pid}/fd/{n}').endswith(name) for n in os.listdir(f'/proc/{pid}/fd'))
    except OSError:
        return False


def reference(tree, **how):
    """What the tools print: lines, messages of sha256sum."""
    found = subprocess.run(['find', tree, '-type', 'f', '-print0'], **PIPES, **how)
    names = sorted(n for n in found.stdout.split(b'\0') if n)
    lines, messages = [], []
    for i in range(0, len(names), 1000):
        summed = subprocess.run([b'sha256sum', b'--', *names[i:i + 1000]], env=C_LOCALE, **PIPES, **how)
        lines.append(summed.stdout)
        messages.append(summed.stderr)
    return b''.join(lines), b''.join(messages)


def treesum(*args):
    return subprocess.run([TREESUM, *args], timeout=LIMIT, env=C_LOCALE, **PIPES)


def write(path, content=b'x'):
    with open(path, 'wb') as f:
        f.write(content)


class InATree(unittest.TestCase):
    def setUp(self):
        self.base = tempfile.mkdtemp(prefix='treesum-')
        os.chmod(self.base, 0o755)
        self.addCleanup(self.remove)
        self.tree = os.path.join(self.base, 'tree')
        os.mkdir(self.tree)

    def remove(self):
        for directory, below, _ in os.walk(self.base):
            for name in below:  # before walk looks into them
                if not os.path.islink(os.path.join(directory, name)):
                    os.chmod(os.path.join(directory, name), 0o755)
        shutil.rmtree(self.base)

    def path(self, name):
        return os.path.join(os.fsencode(self.tree), os.fsencode(name))

    def same_as_the_tools(self, tree):
        expected, _ = reference(tree)
        for mode in MODES:
            with self.subTest(mode=mode):
                got = treesum(*mode, tree)
                self.assertEqual(got.stderr, b'')
                self.assertEqual(got.returncode, 0)
                self.assertEqual(got.stdout, expected)

    def test_a_real_tree_gives_what_the_tools_give_byte_for_byte(self):
        expected, _ = reference(TREE)
        self.assertGreater(len(expected), 0)
        for mode in MODES:
            with self.subTest(mode=mode):
                got = treesum(*mode, TREE)
                self.assertEqual((got.returncode, got.stderr), (0, b''))
                self.assertTrue(got.stdout == expected, 'differs')  # too much to print

    def test_odd_names_are_sorted_and_escaped_as_the_tools_do(self):
        for name in ['plain', 'a', 'a b', ' ', '-n', '--help', '*', 'new\nline', 'back\\slash', 'return\r', 'tab\t',
                     'quote\'"', 'ü', '\x7f', '\x01', 'trailing ', '\\', '\n', '~', 'a.txt', 'a-b',
                     b'not utf-8 \xff\xfe']:
            write(self.path(name), os.fsencode(name))
        # '/' sorts between '.' and '0': whole paths are compared, not names.
        for name in ['dir', 'dir-x', 'dir.x', 'dir0', 'dirx', 'dir!', 'new\ndir', 'empty']:
            os.mkdir(self.path(name))
        for name in ['dir/a', 'dir-x/a', 'dir.x/a', 'dir0/a', 'dir!/a', 'new\ndir/a', 'dir/.hidden']:
            write(self.path(name))
        os.makedirs(self.path('deep/' + '/'.join(['level'] * 200)))
        write(self.path('deep/' + '/'.join(['level'] * 200) + '/bottom'))
        self.same_as_the_tools(self.tree)
        self.same_as_the_tools(self.tree + '/')
        self.same_as_the_tools(self.tree + '//')

    def test_a_relative_tree_keeps_its_name(self):
        os.mkdir(self.path('d'))
        write(self.path('d/f'))
        os.chdir(self.tree)
        for name in ['.', './', 'd', '../tree']:
            self.assertEqual(treesum(name).stdout, reference(name)[0])
        self.assertIn(b'  ./d/f\n', treesum('.').stdout)

    def test_an_empty_tree_gives_nothing(self):
        self.same_as_the_tools(self.tree)

    def test_files_of_all_sizes(self):
        for size in [0, 1, 55, 56, 63, 64, 65, 4095, 4096, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 5_000_000]:
            write(self.path('%08d' % size), os.urandom(size))
        self.same_as_the_tools(self.tree)

    def test_more_files_than_one_window_holds(self):
        for d in range(45):
            os.mkdir(self.path('d%d' % d))
            for f in range(800):
                write(self.path('d%d/%d' % (d, f)), b'%d' % f)
        self.same_as_the_tools(self.tree)

    def test_what_is_no_regular_file_is_left_out(self):
        write(self.path('file'))
        os.symlink('nowhere', self.path('dangling'))
        os.symlink('file', self.path('link'))
        os.symlink('/usr', self.path('link to a directory'))
        os.symlink('.', self.path('loop'))
        os.mkfifo(self.path('fifo'))
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.bind(os.path.join(self.tree, 'socket'))
        self.same_as_the_tools(self.tree)
        self.assertEqual(treesum(self.tree).stdout.count(b'\n'), 1)

    def test_what_cannot_be_read_gets_one_message_and_the_rest_goes_on(self):
        for name in ['before', 'closed', 'after', 'new\nline']:
            write(self.path(name))
        os.chmod(self.path('closed'), 0)
        os.chmod(self.path('new\nline'), 0)
        for name in ['dir', 'shut', 'x']:
            os.mkdir(self.path(name))
            write(self.path(name + '/f'))
        os.chmod(self.path('shut'), 0)
        for name in range(300):
            write(self.path('x/%d' % name))
            if name % 3 == 0:
                os.chmod(self.path('x/%d' % name), 0)
        exe = shutil.copy(TREESUM, self.base)  # where nobody may reach it
        os.chmod(exe, 0o755)
        expected, messages = reference(self.tree, preexec_fn=drop_root)
        where = os.fsencode(self.tree)
        own = {b'treesum: ' + where + b'/shut: Permission denied',  # find says this one in its own words
               b'treesum: ' + where + b'/new\\nline: Permission denied'}  # and sha256sum quotes for a shell
        theirs = {line.replace(b'sha256sum', b'treesum', 1) for line in messages.splitlines() if b'$' not in line}
        for mode in MODES:
            with self.subTest(mode=mode):
                got = subprocess.run([exe, *mode, self.tree], env=C_LOCALE, preexec_fn=drop_root,
                                     timeout=LIMIT, **PIPES)
                self.assertEqual(got.returncode, 1)
                self.assertEqual(got.stdout, expected)
                self.assertEqual(sorted(got.stderr.splitlines()), sorted(theirs | own))

    def test_a_file_that_fails_while_it_is_read_gets_a_message(self):
        expected, messages = reference('/proc/self/attr')  # without a security module these open and then fail
        if messages == b'':
            self.skipTest('no such file here')
        for mode in MODES:
            got = treesum(*mode, '/proc/self/attr')
            self.assertEqual((got.returncode, got.stdout), (1, expected))
            self.assertEqual(got.stderr, messages.replace(b'sha256sum: ', b'treesum: '))

    def test_a_root_that_is_no_directory_is_named(self):
        write(self.path('f'))
        os.symlink('.', self.path('l'))
        for name, why in [('f', 'is not a directory'), ('l', 'is a symbolic link'),
                          ('none', 'No such file or directory')]:
            got = treesum(self.path(name))
            self.assertEqual((got.returncode, got.stdout), (1, b''))
            self.assertIn(os.fsencode('/%s: %s' % (name, why)), got.stderr)
        self.assertEqual(treesum(self.path('l/')).stdout, reference(self.path('l/'))[0])

    # ---- it ends when it is told to

    def interrupted(self, number, mode):
        for name in range(100):
            write(self.path('a%02d' % name))
        with open(self.path('huge'), 'wb') as f:
            f.truncate(1 << 40)  # a hole: hours of work
        for name in range(200):
            write(self.path('z%03d' % name))
        with subprocess.Popen([TREESUM, *mode, self.tree], env=C_LOCALE, **PIPES) as p:
            until = time.monotonic() + LIMIT
            while not has_open(p.pid, '/huge') and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(1)  # the others
            p.send_signal(number)
            asked = time.monotonic()
            out, err = p.communicate(timeout=LIMIT)
            took = time.monotonic() - asked
        self.assertEqual(p.returncode, 128 + number)
        self.assertIn(b'treesum: stopped\n', err)
        self.assertLess(took, 30)
        os.remove(self.path('huge'))
        lines = reference(self.tree)[0].splitlines(keepends=True)
        printed = out.splitlines(keepends=True)
        self.assertEqual(printed, [line for line in lines if line in set(printed)], 'not in order')
        self.assertGreaterEqual(len(printed), 100, 'what was done before the huge file is missing')

    def test_ctrl_c_prints_what_was_done_and_ends_with_130(self):
        self.interrupted(signal.SIGINT, [])

    def test_sigterm_prints_what_was_done_and_ends_with_143(self):
        self.interrupted(signal.SIGTERM, ['--workers', '8'])

    def test_ctrl_c_stops_the_serial_way_too(self):
        self.interrupted(signal.SIGINT, ['--serial'])

    def test_a_closed_pipe_ends_it_with_a_message(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                p = subprocess.Popen([TREESUM, *mode, TREE], env=C_LOCALE, **PIPES)
                p.stdout.readline()
                p.stdout.close()
                err = p.stderr.read()
                p.stderr.close()
                self.assertEqual(p.wait(LIMIT), 1)
                self.assertEqual(err, b'treesum: write error: Broken pipe\n')

    def test_a_full_disk_ends_it_with_a_message(self):
        with open('/dev/full', 'wb') as full:
            p = subprocess.run([TREESUM, TREE], stdout=full, stderr=subprocess.PIPE, env=C_LOCALE, timeout=LIMIT)
        self.assertEqual((p.returncode, p.stderr), (1, b'treesum: write error: No space left on device\n'))

    # ---- progress

    def on_a_terminal(self, *args):
        """What appears on a terminal that is stderr, while stdout is not."""
        main, terminal = pty.openpty()
        p = subprocess.Popen([TREESUM, *args], stdout=subprocess.DEVNULL, stderr=terminal, env=C_LOCALE)
        os.close(terminal)
        shown = b''
        while select.select([main], [], [], LIMIT)[0]:
            try:
                shown += os.read(main, 65536)
            except OSError:  # the last one closed it
                break
        os.close(main)
        return p.wait(LIMIT), shown

    def test_progress_is_shown_on_a_terminal_and_wiped_off(self):
        with open(self.path('large'), 'wb') as f:
            f.truncate(1 << 30)
        for mode in [[], ['--serial']]:
            code, shown = self.on_a_terminal(*mode, self.tree)
            self.assertEqual(code, 0)
            self.assertRegex(shown, rb'\d+ files, [\d.]+ MiB, [\d.]+ MiB/s')
            self.assertTrue(shown.endswith(b'\r\x1b[K'), shown[-80:])
        self.assertRegex(self.on_a_terminal('--workers', '2', self.tree)[1], rb', \d+ s left')
        self.assertEqual(self.on_a_terminal('--quiet', self.tree), (0, b''))

    def test_progress_can_be_asked_for_elsewhere(self):
        with open(self.path('large'), 'wb') as f:
            f.truncate(1 << 30)
        self.assertRegex(treesum('--progress', self.tree).stderr, rb'treesum: \d+ files, [\d.]+ MiB, [\d.]+ MiB/s')

    def test_time_tells_how_much_and_how_long(self):
        write(self.path('f'), b'x' * (3 << 20))
        for mode in [[], ['--serial']]:
            self.assertRegex(treesum('--time', *mode, self.tree).stderr,
                             rb'^treesum: 1 files, 3.0 MiB in [\d.]+ s, [\d.]+ MiB/s\n$')

    # ---- the command line

    def test_a_wrong_command_line_is_refused_with_2(self):
        for args, why in [([], 'which directory?'), ([self.tree, self.tree], 'one directory'),
                          (['--what', self.tree], 'what'), (['--workers', 'many', self.tree], "'many'"),
                          (['--workers', '-1', self.tree], "'-1'"),
                          (['--workers', '', self.tree], "''"),
                          (['--workers', '99999999999', self.tree], '99999999999'),
                          (['--workers', '4000000000', self.tree], 'workers'), (['--workers'], 'argument'),
                          (['--serial', '--workers', '2', self.tree], 'exclude')]:
            with self.subTest(args=args):
                got = treesum(*args)
                self.assertEqual((got.returncode, got.stdout), (2, b''))
                self.assertIn(why, got.stderr.decode())

    def test_help_is_no_error(self):
        got = treesum('--help')
        self.assertEqual((got.returncode, got.stderr), (0, b''))
        self.assertIn(b'usage: treesum', got.stdout)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
