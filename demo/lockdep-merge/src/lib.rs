//! A shop that can deadlock, and whose tests are all green.
//!
//! [`Shop::sell`] takes the stock, then the till; [`Shop::audit`] takes the till, then the stock. Each has a test, each test is a
//! process, and so no process ever sees both. Every run writes what it has seen, and one command puts it together:
//!
//! ```sh
//! LOCKDEP_GRAPH=graphs cargo test
//! userlink lockdep merge graphs
//! ```

use lockdep::Mutex;

/// Things to sell, and what was paid for them.
#[derive(Debug, Default)]
pub struct Shop {
    stock: Mutex<Vec<u32>>,
    till: Mutex<u32>,
}

impl Shop {
    /// A shop that has things of these prices.
    #[must_use]
    pub fn new(prices: &[u32]) -> Self {
        Self {
            stock: Mutex::named("stock", prices.to_vec()),
            till: Mutex::named("till", 0),
        }
    }

    /// Sells one thing.
    ///
    /// # Panics
    /// When another thread panicked over the books.
    pub fn sell(&self) -> Option<u32> {
        let mut stock = self.stock.lock().expect("nobody panics over the stock");
        let price = stock.pop()?;
        *self.till.lock().expect("nobody panics over the till") += price;
        Some(price)
    }

    /// What the shop is worth.
    ///
    /// # Panics
    /// When another thread panicked over the books.
    pub fn audit(&self) -> u32 {
        let till = self.till.lock().expect("nobody panics over the till");
        let stock = self.stock.lock().expect("nobody panics over the stock");
        *till + stock.iter().sum::<u32>()
    }
}
