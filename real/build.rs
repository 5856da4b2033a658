//! Compiles the guests (`guest/kv.rs` and others) to flat images, by calling the compiler directly: they are for bare metal
//! and cargo has no stable way to build a binary for another world inside a build. Nothing is downloaded.
//!
//! The guest `redis` has dependencies, and is a package of its own: cargo builds it, as its lock file says, with nothing of
//! what this build was told. What the registry has not given yet is downloaded, as for any build. No path of this host gets into
//! any image: two hosts that each build for themselves boot the same, which a pair is based on.
//!
//! On other targets the images are empty, the crate compiles, and its `kvm_usable` says that there is no KVM.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs, each a file of this name.
const GUESTS: [&str; 6] = ["kv", "clock", "dirtier", "mixed", "journal", "hostile"];

/// The one that is a package, and what it consists of: its tests and what they leave behind are none of it.
const PACKAGE: &str = "redis";
const PACKAGE_FILES: [&str; 4] = ["Cargo.toml", "Cargo.lock", "link.ld", "src"];

fn main() -> Result<(), Box<dyn Error>> {
    rerun_if_changed()?;
    // What guest and host share can tell by this in which of the two it is.
    println!("cargo::rustc-check-cfg=cfg(guest)");
    let can_run =
        env::var("CARGO_CFG_TARGET_ARCH")? == "x86_64" && env::var("CARGO_CFG_TARGET_OS")? == "linux";
    for guest in GUESTS {
        let image = Path::new(&env::var("OUT_DIR")?).join(format!("{guest}.bin"));
        if can_run {
            compile(guest, &image)?;
        } else {
            std::fs::write(image, [])?;
        }
    }
    let image = Path::new(&env::var("OUT_DIR")?).join(format!("{PACKAGE}.bin"));
    if can_run {
        std::fs::copy(build_package()?, image)?;
    } else {
        std::fs::write(image, [])?;
    }
    Ok(())
}

/// Says what the images are made from.
fn rerun_if_changed() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    for entry in std::fs::read_dir("guest")? {
        let path = entry?.path();
        if path.is_file() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    for file in PACKAGE_FILES {
        println!("cargo::rerun-if-changed=guest/{PACKAGE}/{file}");
    }
    Ok(())
}

/// Compiles and links a guest into a flat image at `image`.
fn compile(guest: &str, image: &Path) -> Result<(), Box<dyn Error>> {
    let source = format!("guest/{guest}.rs");
    let root = env::var("CARGO_MANIFEST_DIR")?;
    let script = Path::new(&root).join("guest/link.ld");
    let status = Command::new(env::var("RUSTC")?)
        .current_dir(&root)
        .args(["--crate-name", guest, "--crate-type", "bin", "--edition", "2024"])
        .args(["--cfg", "guest", "--target", &env::var("TARGET")?])
        .args(["-C", "opt-level=2", "-C", "panic=abort", "-C", "relocation-model=static"])
        .args(["-C", "link-args=-nostdlib -nostartfiles -static -no-pie"])
        .args(["-C", "link-args=-Wl,--oformat=binary -Wl,--build-id=none"])
        .arg("-C")
        .arg(format!("link-arg=-Wl,-T,{}", script.display()))
        .arg("-o")
        .arg(image)
        .arg(&source)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the guest real/{source} did not compile: rustc ended with {status}").into())
    }
}

/// What tells this build how to be built and is nothing to a program for another world: instrumentation, wrappers, profiles.
fn is_of_this_build(variable: &str) -> bool {
    const NAMES: [&str; 6] = [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_INCREMENTAL",
        "RUSTC_LINKER",
    ];
    const PREFIXES: [&str; 3] = ["CARGO_BUILD_", "CARGO_TARGET_", "CARGO_PROFILE_"];
    NAMES.contains(&variable) || PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
}

/// What has the compiler write no path of this host into the image, where panics would have it.
fn forgotten_paths(package: &Path, target: &Path) -> impl Iterator<Item = String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    // The last that fits is taken.
    let parts = [
        home.map(|home| (home, "cargo")),
        Some((package.to_owned(), PACKAGE)),
        Some((target.to_owned(), "target")),
    ];
    parts.into_iter().flatten().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
}

/// Builds the guest that is a package, in a directory of its own; the image.
fn build_package() -> Result<PathBuf, Box<dyn Error>> {
    let package = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("guest").join(PACKAGE);
    let target = env::var("TARGET")?;
    let directory = Path::new(&env::var("OUT_DIR")?).join(PACKAGE);
    let mut cargo = Command::new(env::var("CARGO")?);
    for (variable, _) in env::vars_os() {
        if variable.to_str().is_some_and(is_of_this_build) {
            cargo.env_remove(variable);
        }
    }
    // Of what cargo builds for a named target only that is built with these: not what runs in the build.
    let mut flags = vec![
        "-Crelocation-model=static".to_owned(),
        "-Clink-args=-nostdlib -nostartfiles -static -no-pie".to_owned(),
        "-Clink-args=-Wl,--oformat=binary -Wl,--build-id=none".to_owned(),
        // Cargo links in the package's directory. (A path of this host would be hashed into every symbol.)
        "-Clink-arg=-Wl,-T,link.ld".to_owned(),
    ];
    flags.extend(forgotten_paths(&package, &directory));
    let status = cargo
        .current_dir(&package)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .args(["build", "--release", "--locked", "--features", "bare", "--bin", PACKAGE])
        .args(["--target", &target])
        .arg("--target-dir")
        .arg(&directory)
        .status()?;
    if status.success() {
        Ok(directory.join(target).join("release").join(PACKAGE))
    } else {
        Err(format!("the guest real/guest/{PACKAGE} did not build: cargo ended with {status}").into())
    }
}
