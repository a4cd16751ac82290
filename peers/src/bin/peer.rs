//! Every lock but one.

fn main() -> anyhow::Result<()> {
    peers::main()
}
