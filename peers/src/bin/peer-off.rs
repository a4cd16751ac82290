//! lockdep with the feature `off`.

fn main() -> anyhow::Result<()> {
    peers::main()
}
