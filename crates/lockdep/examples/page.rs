//! The page that shows a graph, for a made-up program with so many classes (default 10): `page 500 >page.html`.

use lockdep::{Class, Mutex};

fn main() {
    let count: usize = std::env::args()
        .nth(1)
        .map_or(10, |count| count.parse().expect("a number of classes"));
    lockdep::set_handler(|_| ());
    let modules = [
        "net",
        "block",
        "fs",
        "mm",
        "sched",
        "drivers/mlx5",
        "ipc",
        "crypto",
    ];
    let locks: Vec<Mutex<()>> = (0..count)
        .map(|at| {
            let name = match at % 3 {
                0 => format!("&{}->lock_{at}", modules[at % 8]),
                1 => format!("{}_mutex_{at}", modules[at % 8].replace('/', "_")),
                _ => format!(
                    "crates/{}/src/object_{at}.rs:{}:9",
                    modules[at % 8],
                    at * 7 + 3
                ),
            };
            Mutex::with_class(Class::named(name), ())
        })
        .collect();
    let nest = |chain: &[usize]| {
        let guards: Vec<_> = chain.iter().map(|&at| locks[at].lock()).collect();
        drop(guards.into_iter().rev().collect::<Vec<_>>());
    };
    let mut random = 1_u64;
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) as usize % below
    };
    let chain = |next: &mut dyn FnMut(usize) -> usize| {
        let length = 2 + next(3);
        let near = next(count);
        let mut chain: Vec<usize> = (0..length)
            .map(|_| (near + next(1 + count / 8)).min(count - 1))
            .collect();
        chain.sort_unstable();
        chain.dedup();
        chain
    };
    std::thread::scope(|scope| {
        for part in 0..4 {
            let chains: Vec<_> = (0..count / 2 + part).map(|_| chain(&mut next)).collect();
            let nest = &nest;
            scope.spawn(move || chains.iter().for_each(|chain| nest(chain)));
        }
    });
    std::thread::scope(|scope| {
        scope.spawn(|| nest(&[0, 1, 2]));
        scope.spawn(|| nest(&[2, 0]));
        scope.spawn(|| nest(&[3, 5, 6])).join().expect("no panic");
        scope.spawn(|| nest(&[3, 6, 5]));
    });
    nest(&[7, 8]);
    nest(&[8, 7]);
    print!("{}", lockdep::record::Record::take().to_html());
}
