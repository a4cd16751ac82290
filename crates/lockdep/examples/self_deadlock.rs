//! Takes a lock twice: what a program without unwinding does then (`tests/abort.rs`).

use lockdep::Mutex;

static LOCK: Mutex<u32> = Mutex::named("taken twice", 0);

fn main() {
    let _once = LOCK.lock();
    println!("refused: {}", LOCK.lock_or_deadlock().is_err());
    drop(LOCK.lock());
    println!("not reached");
}
