//! What the types of the driver API refuse. The driver is a small crate of its own, so that the compiler speaks to it as to
//! any driver's author.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

const DEPENDENCIES: [(&str, &str); 6] = [
    ("devlink", "crates/devlink"),
    ("lock-order", "crates/lock-order"),
    ("lockdep", "crates/lockdep"),
    ("net-core", "crates/net-core"),
    ("netlink", "crates/netlink"),
    ("rustix", ""),
];

const FEATURES: [&str; 4] = ["global", "global_under_driver_lock", "escape", "dev_net"];

/// A package around the driver, outside of the workspace but with its versions.
fn package() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lock_order");
    std::fs::create_dir_all(&package).unwrap();
    let mut manifest = String::from(
        "[package]\nname = \"roce-driver\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[features]\n",
    );
    for feature in FEATURES {
        manifest += &format!("{feature} = []\n");
    }
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail/global_notifier.rs");
    manifest += &format!(
        "[lib]\npath = {:?}\n[dependencies]\n",
        fixture.display().to_string()
    );
    for (name, path) in DEPENDENCIES {
        manifest += &match path {
            "" => format!("{name} = \"1\"\n"),
            path => format!(
                "{name} = {{ path = {:?} }}\n",
                workspace.join(path).display().to_string()
            ),
        };
    }
    std::fs::write(package.join("Cargo.toml"), manifest).unwrap();
    std::fs::copy(workspace.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    package
}

/// Whether the driver compiles with this feature, and what the compiler says.
fn check(feature: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO"))
        .current_dir(package())
        .args([
            "check",
            "--offline",
            "--quiet",
            "--color=never",
            "--features",
            feature,
        ])
        .env(
            "CARGO_TARGET_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("lock_order/target"),
        )
        .output()
        .unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// One test, so that the builds come one after the other.
#[test]
fn a_global_notifier_needs_a_thread_that_holds_no_instance() {
    let (compiles, said) = check("dev_net");
    assert!(compiles, "{said}");
    let (compiles, said) = check("escape");
    assert!(compiles, "{said}");

    for (feature, held) in [
        ("global", "DevlinkLock"),
        ("global_under_driver_lock", "DriverLock"),
    ] {
        let (compiles, said) = check(feature);
        assert!(!compiles, "a driver with `{feature}` compiles");
        let reason =
            format!("lock order violation: `PernetOps` must not be taken while `{held}` is held");
        assert!(
            said.contains(&reason),
            "the compiler says something else:\n{said}"
        );
    }
}
