//! deloxide, in the scenarios alone.

fn main() -> anyhow::Result<()> {
    peers::main()
}
