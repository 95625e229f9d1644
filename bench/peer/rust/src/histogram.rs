//! As bench::histogram: the same buckets, so that weir-bench can merge and read them.

const PRECISION: u32 = 7;
const PER_OCTAVE: u64 = 1 << PRECISION;
const TOP_BIT: u32 = 42;
const BUCKETS: usize = (TOP_BIT - PRECISION + 1) as usize * PER_OCTAVE as usize;

pub struct Histogram {
    counts: Vec<u64>,
    pub count: u64,
    least: u64,
    greatest: u64,
    sum: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; BUCKETS], count: 0, least: u64::MAX, greatest: 0, sum: 0.0 }
    }
}

fn bucket_of(value: u64) -> usize {
    let v = value.min((1 << TOP_BIT) - 1);
    if v < PER_OCTAVE {
        return v as usize;
    }
    let shift = 63 - v.leading_zeros() - PRECISION;
    (u64::from(shift) * PER_OCTAVE + (v >> shift)) as usize
}

fn highest_in(bucket: usize) -> u64 {
    let b = bucket as u64;
    if b < PER_OCTAVE {
        return b;
    }
    let shift = b / PER_OCTAVE - 1;
    ((b - shift * PER_OCTAVE + 1) << shift) - 1
}

impl Histogram {
    pub fn add(&mut self, ns: u64) {
        self.counts[bucket_of(ns)] += 1;
        self.count += 1;
        self.sum += ns as f64;
        self.least = self.least.min(ns);
        self.greatest = self.greatest.max(ns);
    }
    pub fn at(&self, q: f64) -> u64 {
        let rank = ((q * self.count as f64 - 1e-6).ceil() as u64).max(1);
        let mut seen = 0;
        for (i, n) in self.counts.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return highest_in(i).min(self.greatest);
            }
        }
        self.greatest
    }
    pub fn json(&self) -> String {
        let some = self.counts.iter().enumerate().filter(|(_, n)| **n != 0);
        let buckets: Vec<String> = some.map(|(i, n)| format!("[{i}, {n}]")).collect();
        format!(
            r#"{{"precision": {}, "count": {}, "least": {}, "greatest": {}, "sum": {:e}, "buckets": [{}]}}"#,
            PRECISION,
            self.count,
            if self.count == 0 { 0 } else { self.least },
            self.greatest,
            self.sum,
            buckets.join(", ")
        )
    }
}
