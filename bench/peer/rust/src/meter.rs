//! Time, CPU time, context switches, memory; tasks that are counted; work of a known length.

use crate::{Ask, Fallible};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a block measured; as bench::reading. Allocations are not counted.
#[derive(Default)]
pub struct Reading {
    pub tasks: f64,
    pub wall: f64,
    pub cpu: f64,
    pub voluntary: f64,
    pub involuntary: f64,
    pub metrics: BTreeMap<&'static str, f64>,
    pub latencies: Vec<(f64, f64)>,
}

impl Reading {
    pub fn json(&self) -> String {
        let mut text = format!(
            concat!(
                r#"{{"tasks": {:e}, "wall_s": {:e}, "cpu_s": {:e}, "voluntary": {:e}, "involuntary": {:e}, "#,
                r#""allocations": null, "bytes": null, "metrics": {{"#
            ),
            self.tasks, self.wall, self.cpu, self.voluntary, self.involuntary
        );
        let mut first = true;
        for (name, value) in &self.metrics {
            let _ = write!(text, r#"{}"{}": {:e}"#, if first { "" } else { ", " }, name, value);
            first = false;
        }
        text.push_str("}, \"curves\": {");
        if !self.latencies.is_empty() {
            let points: Vec<String> = self.latencies.iter().map(|(q, us)| format!("[{q:e}, {us:e}]")).collect();
            let _ = write!(text, r#""latency_us": [{}]"#, points.join(", "));
        }
        text.push_str("}}");
        text
    }
    pub fn add_latencies(&mut self, mut us: Vec<f64>) {
        us.sort_by(f64::total_cmp);
        let at = |q: f64| us[((q * us.len() as f64).ceil() as usize).max(1) - 1];
        self.metrics.insert("p50_us", at(0.5));
        self.metrics.insert("p99_us", at(0.99));
        self.latencies =
            [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999].iter().map(|&q| (q, at(q))).collect();
    }
}

/// Nanoseconds of the monotonic clock.
pub fn now() -> u64 {
    // SAFETY: a plain structure of numbers, which the call fills in.
    let t = unsafe {
        let mut t: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t);
        t
    };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

#[derive(Clone, Copy, Default)]
pub struct Usage {
    cpu: f64,
    voluntary: f64,
    involuntary: f64,
}

impl Usage {
    fn of(who: libc::c_int) -> Usage {
        // SAFETY: a plain structure of numbers, which the call fills in.
        let r = unsafe {
            let mut r: libc::rusage = std::mem::zeroed();
            libc::getrusage(who, &mut r);
            r
        };
        let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
        Usage {
            cpu: seconds(r.ru_utime) + seconds(r.ru_stime),
            voluntary: r.ru_nvcsw as f64,
            involuntary: r.ru_nivcsw as f64,
        }
    }
    fn minus(self, v: Usage) -> Usage {
        Usage {
            cpu: self.cpu - v.cpu,
            voluntary: self.voluntary - v.voluntary,
            involuntary: self.involuntary - v.involuntary,
        }
    }
    /// Everybody, or everybody but the calling thread.
    fn now(others: bool) -> Usage {
        let all = Usage::of(libc::RUSAGE_SELF);
        if others {
            all.minus(Usage::of(libc::RUSAGE_THREAD))
        } else {
            all
        }
    }
}

/// Takes the reading of a stretch of code.
pub struct Meter {
    others: bool,
    used: Usage,
    began: u64,
}

impl Meter {
    pub fn start() -> Meter {
        Meter { others: false, used: Usage::now(false), began: now() }
    }
    /// All threads but the calling one count.
    pub fn start_others() -> Meter {
        Meter { others: true, used: Usage::now(true), began: now() }
    }
    pub fn stop(self, tasks: f64) -> Reading {
        let wall = (now() - self.began) as f64 * 1e-9;
        let used = Usage::now(self.others).minus(self.used);
        Reading {
            tasks,
            wall,
            cpu: used.cpu.max(0.0),
            voluntary: used.voluntary.max(0.0),
            involuntary: used.involuntary.max(0.0),
            ..Reading::default()
        }
    }
}

/// once() as often as fits into so many seconds. It makes `tasks` tasks.
pub fn turn(a: &Ask, tasks: usize, mut once: impl FnMut()) -> Reading {
    let mut turns = 1usize;
    loop {
        let m = Meter::start();
        for _ in 0..turns {
            once();
        }
        let r = m.stop(turns as f64 * tasks as f64);
        if r.wall >= a.seconds || turns >= 1 << 30 {
            return r;
        }
        let more = (turns as f64 * 1.2 * a.seconds / r.wall.max(1e-7)).ceil() as usize;
        turns = more.clamp(turns + 1, 10 * turns);
    }
}

/// Tasks that have run. Each writes one of several words, for one is a queue of its own.
pub struct Tally(Vec<Part>);
#[repr(align(128))]
struct Part(AtomicU64);

impl Tally {
    /// Lives as long as the process, as tasks that own nothing want it.
    pub fn leaked() -> &'static Tally {
        Box::leak(Box::new(Tally((0..64).map(|_| Part(AtomicU64::new(0))).collect())))
    }
    pub fn add(&self, i: usize) {
        self.0[i & 63].0.fetch_add(1, Ordering::AcqRel);
    }
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|p| p.0.load(Ordering::Acquire)).sum()
    }
}

pub const LOST: &str = "tasks were lost or doubled";

/// Looks every 100 µs, for a minute.
pub fn until(done: impl Fn() -> bool) -> Fallible<()> {
    let limit = now() + 60_000_000_000;
    while !done() {
        if now() > limit {
            return Err("tasks were lost, or never started".to_string());
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}

pub fn busy(us: f64) {
    let end = now() + (us * 1e3) as u64;
    while now() < end {
        std::hint::spin_loop();
    }
}

/// A chain of dependent multiplications.
#[inline(never)]
pub fn burn(steps: u64) {
    let mut x = 3u64;
    for _ in 0..steps {
        x = x.wrapping_mul(x);
        // SAFETY: no instruction; the compiler may not know what became of x.
        unsafe { std::arch::asm!("/* {0} */", inout(reg) x, options(nomem, nostack, preserves_flags)) };
    }
    let _ = x;
}

/// Steps of burn() that take so long on an undisturbed core: the fastest of several tries.
pub fn burn_steps(us: f64) -> u64 {
    const TRIED: u64 = 1_000_000;
    burn(TRIED);
    let mut best = f64::MAX;
    for _ in 0..5 {
        let begin = now();
        burn(TRIED);
        best = best.min((now() - begin) as f64 * 1e-3);
    }
    (us * TRIED as f64 / best) as u64
}

/// The number in the line of a file of /proc/self that begins so.
fn proc_number(file: &str, begin: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(begin));
    line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0.0)
}
pub fn resident_bytes() -> f64 {
    proc_number("smaps_rollup", "Rss:") * 1024.0
}
pub fn threads_now() -> f64 {
    proc_number("status", "Threads:")
}
