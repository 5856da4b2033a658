//! Compiles the guest (`guest/main.rs`) to a flat image, by calling the compiler directly: the guest is for bare metal
//! and cargo has no stable way to build a binary for another world inside a build. Nothing is downloaded.
//!
//! On other targets the image is empty, the crate compiles, and its `kvm_usable` says that there is no KVM.

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    for file in ["build.rs", "guest/main.rs", "guest/abi.rs", "guest/link.ld"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let image = Path::new(&env::var("OUT_DIR")?).join("guest.bin");
    if env::var("CARGO_CFG_TARGET_ARCH")? == "x86_64" && env::var("CARGO_CFG_TARGET_OS")? == "linux" {
        compile_guest(&image)
    } else {
        Ok(std::fs::write(image, [])?)
    }
}

/// Compiles and links the guest into a flat image at `image`.
fn compile_guest(image: &Path) -> Result<(), Box<dyn Error>> {
    let root = env::var("CARGO_MANIFEST_DIR")?;
    let script = Path::new(&root).join("guest/link.ld");
    let status = Command::new(env::var("RUSTC")?)
        .current_dir(&root)
        .args(["--crate-name", "colo_guest", "--crate-type", "bin", "--edition", "2024"])
        .args(["--target", &env::var("TARGET")?])
        .args(["-C", "opt-level=2", "-C", "panic=abort", "-C", "relocation-model=static"])
        .args(["-C", "link-args=-nostdlib -nostartfiles -static -no-pie"])
        .args(["-C", "link-args=-Wl,--oformat=binary -Wl,--build-id=none"])
        .arg("-C")
        .arg(format!("link-arg=-Wl,-T,{}", script.display()))
        .arg("-o")
        .arg(image)
        .arg("guest/main.rs")
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the guest (real/guest/main.rs) did not compile: rustc ended with {status}").into())
    }
}
