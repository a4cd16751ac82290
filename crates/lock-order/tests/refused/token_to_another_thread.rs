//! A token says what *this* thread holds.
//~ cannot be sent between threads safely

use lockdep::order::Held;

pub fn send() {
    let mut root = Held::root();
    std::thread::scope(|scope| {
        scope.spawn(|| drop(root.reborrow()));
    });
}
