//! weir-bench-peer-rust: Tokio and Rayon beside weir. Speaks the protocol of bench/README.md: list, block, and for open
//! loops capacity and load.

mod fork;
mod histogram;
mod load;
mod memory;
mod meter;
mod pools;
mod submit;
mod switches;
mod wake;

use meter::Reading;
use pools::{Pool, Rayon, Tokio};
use std::fmt::Write;

pub type Fallible<T> = Result<T, String>;

/// What a block is asked to do; as bench::ask.
pub struct Ask {
    pub size: usize,
    pub workers: usize,
    pub seconds: f64,
}

pub struct Case {
    pub peer: &'static str,
    pub name: &'static str,
    pub run: fn(&Ask) -> Fallible<Reading>,
}

fn everything() -> Vec<Case> {
    let mut all = Vec::new();
    fn of<P: Pool>(all: &mut Vec<Case>) {
        submit::add_cases::<P>(all);
        wake::add_cases::<P>(all);
        memory::add_cases::<P>(all);
        switches::add_cases::<P>(all);
        load::add_cases::<P>(all);
    }
    of::<Tokio>(&mut all);
    of::<Rayon>(&mut all);
    fork::add_cases(&mut all);
    memory::add_special_cases(&mut all);
    all
}

fn version(peer: &str) -> &'static str {
    // build.sh reads them from what cargo resolved.
    match peer {
        Tokio::NAME => option_env!("BENCH_TOKIO_VERSION").unwrap_or(""),
        _ => option_env!("BENCH_RAYON_VERSION").unwrap_or(""),
    }
}

fn list() {
    let mut text = String::new();
    for c in everything() {
        let _ = writeln!(text, r#"{{"peer": "{}", "version": "{}", "case": "{}"}}"#, c.peer, version(c.peer), c.name);
    }
    print!("{text}");
}

/// `--name value` pairs; `--quick` stands alone and says nothing here, for sizes are given.
pub struct Options(Vec<(String, String)>);

impl Options {
    pub fn parse(arguments: &[String]) -> Fallible<Options> {
        let mut pairs = Vec::new();
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let name = name.strip_prefix("--").ok_or_else(|| format!("{name} is no option"))?;
            if name == "quick" {
                continue;
            }
            let value = rest.next().ok_or_else(|| format!("--{name} needs a value"))?;
            pairs.push((name.to_string(), value.clone()));
        }
        Ok(Options(pairs))
    }
    pub fn text(&self, name: &str, otherwise: &str) -> String {
        let found = self.0.iter().rev().find(|(n, _)| n == name);
        found.map_or_else(|| otherwise.to_string(), |(_, v)| v.clone())
    }
    pub fn number<T: std::str::FromStr>(&self, name: &str, otherwise: T) -> Fallible<T> {
        match self.0.iter().rev().find(|(n, _)| n == name) {
            None => Ok(otherwise),
            Some((_, v)) => v.parse().map_err(|_| format!("--{name}: {v} is no such number")),
        }
    }
}

fn block(arguments: &[String]) -> Fallible<()> {
    let name = arguments.first().ok_or("block: which case?")?;
    let options = Options::parse(&arguments[1..])?;
    let a = Ask {
        size: options.number("size", 0)?,
        workers: options.number("workers", 1)?,
        seconds: options.number("seconds", 0.3)?,
    };
    if a.size < 1 || a.workers < 1 || a.workers > 1024 || a.seconds.is_nan() || a.seconds <= 0.0 {
        return Err(format!(
            "block: {} workers, size {}, {} s: each must be more than nothing",
            a.workers, a.size, a.seconds
        ));
    }
    let peer = options.text("peer", Tokio::NAME);
    let all = everything();
    let case = all.iter().find(|c| c.name == name && c.peer == peer);
    let case = case.ok_or_else(|| format!("{peer} is in no case named {name}"))?;
    println!("{}", (case.run)(&a)?.json());
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or(&[]);
    let done = match arguments.first().map(String::as_str) {
        Some("list") => {
            list();
            Ok(())
        }
        Some("block") => block(rest),
        Some("capacity") => load::capacity(rest),
        Some("load") => load::load(rest),
        _ => Err("list, block, capacity or load?".to_string()),
    };
    if let Err(why) = done {
        eprintln!("{why}");
        std::process::exit(1);
    }
}
