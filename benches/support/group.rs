//! Cases that are compared with each other.
//!
//! On a machine that does other things as well, two measurements one after the other say little about each other. So the
//! cases of a group take turns in short batches, round after round; the value of a round is that of its fifth fastest of
//! twenty batches, and the table shows the median over the rounds.

#![allow(dead_code, reason = "each target uses a part of it")]

use std::hint::black_box;
use std::time::Instant;

use http::{Request, Response, StatusCode};
use tower::Service;

use crate::support::{Body, drive};

const ROUNDS: usize = 15;
const BATCHES: usize = 20;

/// Cases that are measured in turns; the first one is what the others are compared with.
#[derive(Default)]
pub(crate) struct Group<'a> {
    cases: Vec<Case<'a>>,
}

struct Case<'a> {
    name: &'static str,
    /// Runs a batch and returns how long one of its requests took, in nanoseconds.
    batch: Box<dyn FnMut() -> f64 + 'a>,
    rounds: Vec<f64>,
}

impl<'a> Group<'a> {
    pub(crate) fn service<S>(
        &mut self,
        name: &'static str,
        requests: usize,
        mut service: S,
        make: impl Fn() -> Request<Body> + 'a,
        expected: StatusCode,
    ) where
        S: Service<Request<Body>, Response = Response<Body>> + 'a,
    {
        assert_eq!(drive(&mut service, make()).status(), expected, "{name}");
        let batch = move || {
            let mut made: Vec<_> = (0..requests).map(|_| make()).collect();
            let start = Instant::now();
            for request in made.drain(..) {
                black_box(drive(&mut service, request));
            }
            start.elapsed().as_nanos() as f64 / requests as f64
        };
        self.cases.push(Case { name, batch: Box::new(batch), rounds: Vec::new() });
    }

    pub(crate) fn case(&mut self, name: &'static str, times: usize, work: impl Fn(usize) + 'a) {
        let batch = move || {
            let start = Instant::now();
            (0..times).for_each(&work);
            start.elapsed().as_nanos() as f64 / times as f64
        };
        self.cases.push(Case { name, batch: Box::new(batch), rounds: Vec::new() });
    }

    pub(crate) fn print(mut self, title: &str) {
        for round in 0..ROUNDS {
            let mut batches = vec![Vec::new(); self.cases.len()];
            for turn in 0..BATCHES * self.cases.len() {
                let place = (turn + round) % self.cases.len();
                batches[place].push((self.cases[place].batch)());
            }
            for (case, mut batches) in self.cases.iter_mut().zip(batches) {
                batches.sort_by(f64::total_cmp);
                case.rounds.push(batches[BATCHES / 4]);
            }
        }
        let medians: Vec<_> = self
            .cases
            .iter_mut()
            .map(|case| {
                case.rounds.sort_by(f64::total_cmp);
                case.rounds[ROUNDS / 2]
            })
            .collect();
        println!("{title}");
        for (case, median) in self.cases.iter().zip(&medians) {
            println!("  {:<26}{median:>10.0} ns{:>9.3} x", case.name, median / medians[0]);
        }
    }
}
