//! What tests of the command share.

#[allow(dead_code, reason = "not every test has hosts")]
pub(crate) mod namespaces;
#[allow(dead_code, reason = "not every test has sides")]
pub(crate) mod side;

/// Whether to skip what needs real virtual machines; a skip is a failure where they are required.
pub(crate) fn no_kvm() -> bool {
    let Err(error) = colo_real::kvm_usable() else { return false };
    let required = std::env::var_os("COLO_REQUIRE_KVM").is_some_and(|value| value == "1");
    assert!(!required, "COLO_REQUIRE_KVM=1, but: {error}");
    eprintln!("SKIPPED, no real virtual machines: {error}");
    true
}
