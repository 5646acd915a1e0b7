//! Which modules a device takes.

/// Whether a device (`sm_100a`, the suffix of no matter) runs a module built for `module`.
///
/// A plain target runs on that device and all later ones, an `f` target on the devices of its
/// family from its own on, an `a` target on its own only.
pub(super) fn runs(device: &str, module: &str) -> Result<bool, String> {
    let (device, _) = split(device)?;
    let (built, suffix) = split(module)?;
    Ok(match suffix {
        "" => built <= device,
        "f" => built / 10 == device / 10 && built <= device,
        _ => built == device,
    })
}

fn split(target: &str) -> Result<(u32, &str), String> {
    let rest = target.strip_prefix("sm_").unwrap_or("");
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    match (rest[..digits].parse(), &rest[digits..]) {
        (Ok(number), suffix @ ("" | "a" | "f")) => Ok((number, suffix)),
        _ => Err(format!("`{target}` is no target; write it as sm_100a")),
    }
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn families() {
        for (device, module, want) in [
            ("sm_100a", "sm_100a", true),
            ("sm_100", "sm_100a", true),
            ("sm_100a", "sm_100f", true),
            ("sm_103a", "sm_100f", true),
            ("sm_100a", "sm_103f", false),
            ("sm_103a", "sm_100a", false),
            ("sm_100a", "sm_90a", false),
            ("sm_100a", "sm_80", true),
            ("sm_120a", "sm_100f", false),
        ] {
            assert_eq!(runs(device, module), Ok(want), "{module} on {device}");
        }
        assert!(runs("gfx90a", "sm_80").is_err());
        assert!(runs("sm_100x", "sm_80").is_err());
    }
}
