//! lockdep with the feature `lock_stat`.

fn main() -> anyhow::Result<()> {
    peers::main()
}
