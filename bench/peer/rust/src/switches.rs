use crate::histogram::Histogram;
use crate::load::{place, run_load, Arrivals, LoadReading, Plan};
use crate::meter::{burn, burn_steps, until, Meter, Reading, Tally};
use crate::pools::Pool;
use crate::{Ask, Case, Fallible};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub fn add_cases<P: Pool>(all: &mut Vec<Case>) {
    let mut add = |name, run| all.push(Case { peer: P::NAME, name, run });
    add("switch/idle", with_nothing_to_do::<P>);
    add("switch/trickle", trickle::<P>);
    add("switch/load_10", |a| under_load::<P>(a, 0.1));
    add("switch/load_50", |a| under_load::<P>(a, 0.5));
    add("switch/saturated", saturated::<P>);
    add("switch/oversubscribed_4x", saturated::<P>);
    if can_trace() {
        add("switch/futex", futex::<P>);
    }
    add("latency/at_10", |a| latency_at::<P>(a, 0.1));
    add("latency/at_50", |a| latency_at::<P>(a, 0.5));
    add("latency/at_80", |a| latency_at::<P>(a, 0.8));
}

fn finish(mut r: Reading) -> Reading {
    let switches = (r.voluntary + r.involuntary) / r.tasks;
    r.metrics.insert("switches", switches);
    r
}

pub fn flood<P: Pool>(pool: &P, count: usize, steps: u64) -> Fallible<()> {
    let ran = Tally::leaked();
    for i in 0..count {
        pool.submit(move || {
            burn(steps);
            ran.add(i);
        });
    }
    until(|| ran.sum() == count as u64)
}

/// step() each millisecond, from a thread that sleeps in between.
fn each_millisecond(count: usize, mut step: impl FnMut()) {
    let mut next = Instant::now();
    for _ in 0..count {
        next += Duration::from_millis(1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        step();
    }
}

fn with_nothing_to_do<P: Pool>(a: &Ask) -> Fallible<Reading> {
    let pool = P::open(a.workers);
    flood(&pool, 10_000, 0)?;
    each_millisecond(20, || pool.submit(|| {}));
    std::thread::sleep(Duration::from_millis(20));
    let m = Meter::start_others();
    std::thread::sleep(Duration::from_millis(a.size as u64));
    Ok(finish(m.stop(a.size as f64 / 1e3)))
}

fn trickle<P: Pool>(a: &Ask) -> Fallible<Reading> {
    let pool = P::open(a.workers);
    flood(&pool, 100, 0)?;
    let some = a.size / 4 + 1;
    let m = Meter::start();
    each_millisecond(some, || {});
    let alone = m.stop(some as f64);
    let ran = Tally::leaked();
    let m = Meter::start();
    each_millisecond(a.size, || pool.submit(move || ran.add(0)));
    until(|| ran.sum() == a.size as u64)?;
    let mut r = finish(m.stop(a.size as f64));
    r.metrics.insert("submitter_cpu_us", alone.cpu / alone.tasks * 1e6);
    Ok(r)
}

fn open_loop<P: Pool>(a: &Ask, share: f64, seconds: f64) -> Fallible<LoadReading> {
    const SERVICE_US: f64 = 10.0;
    let place = place(a.workers);
    place.keep_workers()?;
    let plan = Plan {
        arrivals: Arrivals::Poisson,
        rate: share * a.workers as f64 * 1e6 / SERVICE_US,
        seconds,
        seed: 1,
        service_us: SERVICE_US,
        generator: place.generator,
    };
    run_load::<P>(a.workers, &plan)
}

fn counted(l: &LoadReading) -> Reading {
    Reading {
        tasks: l.tasks,
        wall: l.wall,
        cpu: l.used.cpu.max(0.0),
        voluntary: l.used.voluntary,
        involuntary: l.used.involuntary,
        ..Reading::default()
    }
}

fn under_load<P: Pool>(a: &Ask, share: f64) -> Fallible<Reading> {
    Ok(finish(counted(&open_loop::<P>(a, share, a.seconds.max(0.1))?)))
}

/// Without quantiles where the generator lagged by more than 10 µs: such a run says nothing about latency.
fn latency_at<P: Pool>(a: &Ask, share: f64) -> Fallible<Reading> {
    let l = open_loop::<P>(a, share, a.seconds.max(0.15))?;
    let mut r = counted(&l);
    let us = |h: &Histogram, q: f64| h.at(q) as f64 * 1e-3;
    r.metrics.insert("lag_p99_us", us(&l.lag, 0.99));
    if us(&l.lag, 0.99) > 10.0 {
        return Ok(r);
    }
    r = finish(r);
    for (name, q) in [("p50_us", 0.5), ("p90_us", 0.9), ("p99_us", 0.99), ("p999_us", 0.999), ("p9999_us", 0.9999)] {
        if l.whole.count as f64 * (1.0 - q) >= 10.0 {
            r.metrics.insert(name, us(&l.whole, q));
        }
    }
    r.metrics.insert("waited_p99_us", us(&l.waited, 0.99));
    r.metrics.insert("ran_p99_us", us(&l.ran, 0.99));
    r.metrics.insert("submit_p99_us", us(&l.cost, 0.99));
    Ok(r)
}

fn saturated<P: Pool>(a: &Ask) -> Fallible<Reading> {
    let pool = P::open(a.workers);
    let steps = burn_steps(1.0);
    flood(&pool, a.size / 10 + 1, steps)?;
    let m = Meter::start();
    flood(&pool, a.size, steps)?;
    Ok(finish(m.stop(a.size as f64)))
}

fn can_trace() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join("strace").is_file())
}

/// as switch/futex of weir-bench: strace counts, and twice as many tasks let start and end cancel out.
fn futex<P: Pool>(a: &Ask) -> Fallible<Reading> {
    let each = |name: &str, size: usize| -> Fallible<f64> {
        let calls = |size: usize| traced(P::NAME, name, a.workers, size);
        Ok(((calls(2 * size)? - calls(size)?) / size as f64).max(0.0))
    };
    let m = Meter::start();
    let trickled = each("switch/trickle", a.size / 10 + 1)?;
    let flooded = each("switch/saturated", a.size)?;
    let mut r = m.stop(a.size as f64);
    r.metrics.insert("trickle", trickled);
    r.metrics.insert("saturated", flooded);
    Ok(r)
}

fn traced(peer: &str, case: &str, workers: usize, size: usize) -> Fallible<f64> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let file = std::env::temp_dir().join(format!("weir-bench-strace-{}", std::process::id()));
    let ended = Command::new("strace")
        .args(["-f", "-c", "-e", "trace=futex", "--seccomp-bpf", "-o"])
        .arg(&file)
        .arg(me)
        .args(["block", case, "--peer", peer, "--workers", &workers.to_string(), "--size", &size.to_string()])
        .stdout(Stdio::null())
        .status();
    let table = std::fs::read_to_string(&file).unwrap_or_default();
    let _ = std::fs::remove_file(&file);
    match ended {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("strace did not run the program to its end: {status} {table}")),
        Err(e) => return Err(format!("strace: {e}")),
    }
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.len() >= 5 && words[words.len() - 1] == "futex" {
            return words[3].parse().map_err(|_| format!("strace: {line}"));
        }
    }
    if table.is_empty() || table.starts_with("% time") {
        Ok(0.0)
    } else {
        Err(format!("strace: {table}"))
    }
}
