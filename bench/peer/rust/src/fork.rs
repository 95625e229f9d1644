use crate::meter::{turn, Reading, Tally, LOST};
use crate::pools::{Pool, Rayon, Tokio};
use crate::{Ask, Case, Fallible};
use rayon::prelude::*;

pub fn add_cases(all: &mut Vec<Case>) {
    let mut add = |peer, name, run| all.push(Case { peer, name, run });
    add(Rayon::NAME, "fork/fib", |a| workload(a, a.size - 5, |n| fib(n as u64), fib_number));
    add(Rayon::NAME, "fork/skynet", |a| {
        workload(a, a.size - 1, |d| skynet(0, 10u64.pow(d as u32)), |d| 10u64.pow(d as u32) * (10u64.pow(d as u32) - 1) / 2)
    });
    add(Rayon::NAME, "fork/nqueens", |a| {
        const ANSWERS: [u64; 7] = [92, 352, 724, 2680, 14200, 73712, 365596];
        workload(a, a.size - 2, |n| nqueens(n, 0, [0; 14]), |n| *ANSWERS.get(n.wrapping_sub(8)).unwrap_or(&0))
    });
    add(Rayon::NAME, "fork/uneven", |a| {
        workload(a, a.size, uneven, |n| (0..n as u64).map(cost).fold(0, |x, y| x ^ y))
    });
    add(Rayon::NAME, "fork/group", rayon_group);
    add(Tokio::NAME, "fork/group", tokio_group);
}

fn workload(a: &Ask, warm: usize, run: fn(usize) -> u64, answer: fn(usize) -> u64) -> Fallible<Reading> {
    let pool = Rayon::open(a.workers);
    pool.0.install(|| run(warm));
    let mut got = 0;
    let r = turn(a, 1, || got = pool.0.install(|| run(a.size)));
    if got != answer(a.size) {
        return Err("wrong answer".to_string());
    }
    Ok(r)
}

#[inline(never)]
fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (x, y) = rayon::join(|| fib(n - 1), || fib(n - 2));
    x + y
}

fn fib_number(n: usize) -> u64 {
    (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0
}

#[inline(never)]
fn skynet(base: u64, leaves: u64) -> u64 {
    if leaves == 1 {
        return base;
    }
    let part = leaves / 10;
    (0..10usize).into_par_iter().with_max_len(1).map(|i| skynet(base + part * i as u64, part)).sum()
}

#[inline(never)]
fn nqueens(n: usize, x: usize, board: [i8; 14]) -> u64 {
    if x == n {
        return 1;
    }
    let mut rows = [0i8; 14];
    let mut legal = 0;
    for y in 0..n as i32 {
        let free = (0..x).all(|i| {
            let (p, away) = (i32::from(board[i]), (x - i) as i32);
            y != p && y != p - away && y != p + away
        });
        if free {
            rows[legal] = y as i8;
            legal += 1;
        }
    }
    let next = |row: i8| {
        let mut b = board;
        b[x] = row;
        nqueens(n, x + 1, b)
    };
    rows[..legal].par_iter().with_max_len(1).map(|&row| next(row)).sum()
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[inline(never)]
fn cost(i: u64) -> u64 {
    let rounds = if mix(i / 32) % 64 == 0 { 1200 } else { 12 };
    (0..rounds).fold(i, |s, _| mix(s.wrapping_add(0x9e37_79b9_7f4a_7c15)))
}

fn uneven(n: usize) -> u64 {
    let mut out = vec![0u64; n];
    out.par_iter_mut().enumerate().for_each(|(i, x)| *x = cost(i as u64));
    out.iter().fold(0, |x, y| x ^ y)
}

fn rayon_group(a: &Ask) -> Fallible<Reading> {
    let pool = Rayon::open(a.workers);
    let ran = Tally::leaked();
    let mut runs = 0;
    let mut once = || {
        pool.0.scope(|s| {
            for i in 0..a.size {
                s.spawn(move |_| ran.add(i));
            }
        });
        runs += 1;
    };
    once();
    let r = turn(a, a.size, once);
    if ran.sum() != runs * a.size as u64 {
        return Err(LOST.to_string());
    }
    Ok(r)
}

/// A task spawns the children and awaits each.
fn tokio_group(a: &Ask) -> Fallible<Reading> {
    let pool = Tokio::open(a.workers);
    let ran = Tally::leaked();
    let children = a.size;
    let mut runs = 0;
    let mut once = || {
        pool.run(async {
            let whole = tokio::spawn(async move {
                let all: Vec<_> = (0..children).map(|i| tokio::spawn(async move { ran.add(i) })).collect();
                for child in all {
                    let _ = child.await;
                }
            });
            let _ = whole.await;
        });
        runs += 1;
    };
    once();
    let r = turn(a, a.size, once);
    if ran.sum() != runs * a.size as u64 {
        return Err(LOST.to_string());
    }
    Ok(r)
}
