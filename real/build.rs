//! Compiles the guests (`guest/kv.rs` and others) to flat images, by calling the compiler directly: they are for bare metal
//! and cargo has no stable way to build a binary for another world inside a build. Nothing is downloaded.
//!
//! On other targets the images are empty, the crate compiles, and its `kvm_usable` says that there is no KVM.

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::Command;

/// The programs, each a file of this name.
const GUESTS: [&str; 6] = ["kv", "clock", "dirtier", "mixed", "journal", "hostile"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in ["build.rs", "guest"] {
        println!("cargo::rerun-if-changed={file}");
    }
    // What guest and host share can tell by this in which of the two it is.
    println!("cargo::rustc-check-cfg=cfg(guest)");
    let can_run =
        env::var("CARGO_CFG_TARGET_ARCH")? == "x86_64" && env::var("CARGO_CFG_TARGET_OS")? == "linux";
    for guest in GUESTS {
        std::fs::write(Path::new(&env::var("OUT_DIR")?).join("redis.bin"), [])?;
        let image = Path::new(&env::var("OUT_DIR")?).join(format!("{guest}.bin"));
        if can_run {
            compile(guest, &image)?;
        } else {
            std::fs::write(image, [])?;
        }
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
