//! Open loops, as bench/latency/load.hpp has them: tasks arrive by a plan that was computed before, and latency counts from
//! the instant at which they should have.

use crate::histogram::Histogram;
use crate::meter::{burn, burn_steps, now, until, Meter, Reading, Tally};
use crate::pools::{Pool, Rayon, Tokio};
use crate::switches::flood;
use crate::{Case, Fallible, Options};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};

pub fn add_cases<P: Pool>(all: &mut Vec<Case>) {
    all.push(Case {
        peer: P::NAME,
        name: "latency/load",
        run: |_| Err("ask with load or capacity, not with block".to_string()),
    });
}

pub enum Arrivals {
    Constant,
    Poisson,
    Bursts(usize),
}

pub struct Plan {
    pub arrivals: Arrivals,
    pub rate: f64,
    pub seconds: f64,
    pub seed: u64,
    pub service_us: f64,
    pub generator: Option<usize>,
}

#[derive(Default)]
pub struct LoadReading {
    pub tasks: f64,
    pub wall: f64,
    drained: f64,
    pub used: Reading, // CPU and switches of all threads but the generator
    pub waited: Histogram,
    pub ran: Histogram,
    pub whole: Histogram,
    pub cost: Histogram,
    behind: Histogram,
    pub lag: Histogram,
}

impl LoadReading {
    fn json(&self) -> String {
        format!(
            concat!(
                r#"{{"tasks": {:e}, "wall_s": {:e}, "drained_s": {:e}, "cpu_s": {:e}, "#,
                r#""voluntary": {:e}, "involuntary": {:e}, "#,
                r#""waited": {}, "ran": {}, "whole": {}, "cost": {}, "behind": {}, "lag": {}}}"#
            ),
            self.tasks,
            self.wall,
            self.drained,
            self.used.cpu,
            self.used.voluntary,
            self.used.involuntary,
            self.waited.json(),
            self.ran.json(),
            self.whole.json(),
            self.cost.json(),
            self.behind.json(),
            self.lag.json()
        )
    }
}

/// SplitMix64, as bench::splitmix.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn open_unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

const MOST_ARRIVALS: f64 = 5e6;

/// As bench::arrivals: nanoseconds from the start.
fn arrivals(p: &Plan) -> Fallible<Vec<u64>> {
    if !p.rate.is_finite() || p.rate <= 0.0 {
        return Err("the rate must be more than 0 tasks a second".to_string());
    }
    if !p.seconds.is_finite() || p.seconds <= 0.0 {
        return Err("the duration must be more than 0 s".to_string());
    }
    if p.rate * p.seconds > MOST_ARRIVALS {
        return Err("more than 5 million arrivals: lower the rate or the duration".to_string());
    }
    let together = if let Arrivals::Bursts(n) = p.arrivals { n } else { 1 };
    if together == 0 {
        return Err("a burst needs at least one task".to_string());
    }
    let constant = matches!(p.arrivals, Arrivals::Constant);
    let (gap, end) = (1e9 / p.rate * together as f64, p.seconds * 1e9);
    let mut random = SplitMix(p.seed);
    let mut drawn = || -random.open_unit().ln() * gap;
    let mut at = Vec::with_capacity((p.rate * p.seconds * 1.01) as usize + 1000);
    let mut t = if constant { 0.0 } else { drawn() };
    let mut n = 0u64;
    while t < end {
        at.extend(std::iter::repeat(t as u64).take(together));
        n += 1;
        t = if constant { n as f64 * gap } else { t + drawn() };
    }
    if at.is_empty() {
        return Err("no task arrives: raise the rate or the duration".to_string());
    }
    Ok(at)
}

/// What a task noted; end is 0 until it has ended.
struct Slot {
    start: AtomicU64,
    end: AtomicU64,
}

fn warm_up<P: Pool>(pool: &P, steps: u64) -> Fallible<()> {
    let end = now() + 30_000_000;
    while now() < end {
        flood(pool, 64, steps)?;
    }
    Ok(())
}

pub fn run_load<P: Pool>(workers: usize, plan: &Plan) -> Fallible<LoadReading> {
    let due = arrivals(plan)?;
    let pool = P::open(workers);
    let steps = burn_steps(plan.service_us);
    // Written once, so that the pages are there.
    let slots: Vec<Slot> =
        due.iter().map(|_| Slot { start: AtomicU64::new(u64::MAX), end: AtomicU64::new(0) }).collect();
    let slots: &'static [Slot] = Box::leak(slots.into_boxed_slice());
    warm_up(&pool, steps)?;
    pin_thread(plan.generator)?;
    let mut r = LoadReading::default();
    let m = Meter::start_others();
    let begin = now() + 100_000;
    let count_from = begin + (0.1 * plan.seconds * 1e9) as u64;
    let mut free_since = 0;
    for (slot, ns) in slots.iter().zip(&due) {
        let at = begin + ns;
        let mut t = now();
        while t < at {
            spin_loop();
            t = now();
        }
        pool.submit(move || {
            slot.start.store(now(), Ordering::Relaxed);
            burn(steps);
            slot.end.store(now(), Ordering::Release);
        });
        let back = now();
        if at >= count_from {
            r.behind.add(t - at);
            r.lag.add(t.saturating_sub(at.max(free_since)));
            r.cost.add(back - t);
        }
        free_since = back;
    }
    let last = now();
    let limit = last + 20_000_000_000;
    for slot in slots {
        while slot.end.load(Ordering::Acquire) == 0 {
            if now() > limit {
                return Err("tasks had not ended 20 s after the last arrival".to_string());
            }
            spin_loop();
        }
    }
    let end = now();
    r.used = m.stop(1.0);
    for (slot, ns) in slots.iter().zip(&due) {
        let at = begin + ns;
        if at >= count_from {
            let (started, ended) = (slot.start.load(Ordering::Relaxed), slot.end.load(Ordering::Relaxed));
            r.waited.add(started.saturating_sub(at));
            r.ran.add(ended.saturating_sub(started));
            r.whole.add(ended.saturating_sub(at));
        }
    }
    r.tasks = due.len() as f64;
    r.wall = (end - begin) as f64 * 1e-9;
    r.drained = (end - last) as f64 * 1e-9;
    Ok(r)
}

fn run_capacity<P: Pool>(workers: usize, plan: &Plan) -> Fallible<f64> {
    if plan.seconds.is_nan() || plan.seconds <= 0.0 {
        return Err("the duration must be more than 0 s".to_string());
    }
    let pool = P::open(workers);
    let steps = burn_steps(plan.service_us);
    warm_up(&pool, steps)?;
    pin_thread(plan.generator)?;
    let ran = Tally::leaked();
    let in_flight = 64 * workers as u64;
    let (mut sent, mut ended) = (0u64, 0u64);
    let mut rates = Vec::new();
    for _ in 0..5 {
        let (begin, at_begin) = (now(), ran.sum());
        let stop = begin + (plan.seconds / 5.0 * 1e9) as u64;
        while now() < stop {
            while sent - ended >= in_flight {
                ended = ran.sum();
                if now() > stop + 20_000_000_000 {
                    return Err("the pool does not get on with its tasks".to_string());
                }
            }
            let i = sent as usize;
            pool.submit(move || {
                burn(steps);
                ran.add(i);
            });
            sent += 1;
        }
        rates.push((ran.sum() - at_begin) as f64 / ((now() - begin) as f64 * 1e-9));
    }
    until(|| ran.sum() == sent)?;
    rates.sort_by(f64::total_cmp);
    Ok(rates[2])
}

struct Wanted {
    peer: String,
    workers: usize,
    plan: Plan,
}

fn asked_for(arguments: &[String]) -> Fallible<Wanted> {
    let o = Options::parse(arguments)?;
    let burst = o.number("burst", 32)?;
    let arrivals = match o.text("arrivals", "poisson").as_str() {
        "constant" => Arrivals::Constant,
        "poisson" => Arrivals::Poisson,
        "bursts" => Arrivals::Bursts(burst),
        other => return Err(format!("arrivals are constant, poisson or bursts, not {other}")),
    };
    let w = Wanted {
        peer: o.text("peer", Tokio::NAME),
        workers: o.number("workers", 1)?,
        plan: Plan {
            arrivals,
            rate: o.number("rate", 1000.0)?,
            seconds: o.number("seconds", 1.0)?,
            seed: o.number("seed", 1)?,
            service_us: o.number("service-us", 10.0)?,
            generator: usize::try_from(o.number("generator-core", -1i64)?).ok(),
        },
    };
    if w.workers < 1 || w.workers > 1024 || w.plan.service_us.is_nan() || w.plan.service_us < 0.0 {
        return Err(format!("{} workers, {} µs of work", w.workers, w.plan.service_us));
    }
    Ok(w)
}

fn unknown(peer: &str) -> String {
    format!("no peer is named {peer}")
}

pub fn capacity(arguments: &[String]) -> Fallible<()> {
    let w = asked_for(arguments)?;
    let rate = match w.peer.as_str() {
        Tokio::NAME => run_capacity::<Tokio>(w.workers, &w.plan)?,
        Rayon::NAME => run_capacity::<Rayon>(w.workers, &w.plan)?,
        other => return Err(unknown(other)),
    };
    println!("{{\"tasks_per_s\": {rate:e}}}");
    Ok(())
}

pub fn load(arguments: &[String]) -> Fallible<()> {
    let w = asked_for(arguments)?;
    let r = match w.peer.as_str() {
        Tokio::NAME => run_load::<Tokio>(w.workers, &w.plan)?,
        Rayon::NAME => run_load::<Rayon>(w.workers, &w.plan)?,
        other => return Err(unknown(other)),
    };
    println!("{}", r.json());
    Ok(())
}

// ---- cores, as bench::placement ----

fn stay_on(cores: &[usize]) -> Fallible<()> {
    // SAFETY: a set of bits, which the macros' functions bound by its size.
    let refused = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for &c in cores.iter().filter(|c| **c < libc::CPU_SETSIZE as usize) {
            libc::CPU_SET(c, &mut set);
        }
        libc::sched_setaffinity(0, std::mem::size_of_val(&set), &set) != 0
    };
    if refused {
        return Err(format!("cannot stay on the cores that were asked for: {}", std::io::Error::last_os_error()));
    }
    Ok(())
}

fn pin_thread(core: Option<usize>) -> Fallible<()> {
    core.map_or(Ok(()), |c| stay_on(&[c]))
}

pub struct Placement {
    pub generator: Option<usize>,
    workers: Vec<usize>,
}

/// The last core generates; workers have the others, or all when they are too many for that.
pub fn place(workers: usize) -> Placement {
    // SAFETY: as above.
    let mut cores: Vec<usize> = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, std::mem::size_of_val(&set), &mut set) != 0 {
            return Placement { generator: None, workers: Vec::new() };
        }
        (0..libc::CPU_SETSIZE as usize).filter(|&c| libc::CPU_ISSET(c, &set)).collect()
    };
    let generator = cores.last().copied();
    if cores.len() > workers {
        cores.pop();
    }
    Placement { generator, workers: cores }
}

impl Placement {
    /// The calling thread, and those that it starts.
    pub fn keep_workers(&self) -> Fallible<()> {
        if self.workers.is_empty() {
            return Ok(());
        }
        stay_on(&self.workers)
    }
}
