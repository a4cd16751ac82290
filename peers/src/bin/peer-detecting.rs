//! parking_lot with `deadlock_detection`, which would change every other user of parking_lot in the same program.

fn main() -> anyhow::Result<()> {
    peers::main()
}
