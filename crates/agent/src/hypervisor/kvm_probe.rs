//! Finds out whether guests really run under KVM, by starting one.
//!
//! The presence of /dev/kvm proves nothing: there are kernels whose KVM runs firmware but stops at the first
//! instruction it cannot emulate. The guest here is a multiboot kernel of a few hundred bytes that enters long mode,
//! uses cmpxchg16b and xsave/xrstor where the CPU offers them, takes an int3 through its own IDT, and leaves through
//! the isa-debug-exit device. Its source is `kvm_probe.S`.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::{Act, failed};
use crate::limits::Limits;
use crate::process::Program;
use crate::roots::path_text;
use crate::state;

/// Time for the guest to come and go; it takes a tenth of a second.
const PROBE_TIME_MAX: Duration = Duration::from_secs(10);
/// Time for QEMU to say its version.
const VERSION_TIME_MAX: Duration = Duration::from_secs(10);
/// QEMU's exit status when the guest says 0x10: twice that, plus one.
const STATUS_GOOD: i32 = 33;
/// QEMU does not end when KVM gives up; it says this and waits.
const KVM_GIVES_UP: &str = "KVM internal error";
/// The program that guests run in.
const QEMU: &str = "qemu-system-x86_64";

/// What runs the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// The kernel.
    Kvm,
    /// QEMU's translator; for checking the probe itself.
    #[cfg(test)]
    Tcg,
}

/// The last finding and what it holds for.
#[derive(Serialize, Deserialize)]
struct Finding {
    boot_id: String,
    qemu: String,
    usable: bool,
}

/// Whether guests run under KVM on this host; found out once for each boot and version of QEMU, remembered in
/// `directory`.
pub(crate) fn kvm_usable(directory: &Path) -> bool {
    if !Path::new("/dev/kvm").exists() {
        return false;
    }
    match kvm_usable_find(directory) {
        Ok(usable) => usable,
        Err(error) => {
            tracing::warn!(%error, "cannot find out whether KVM is usable: it is taken as not");
            false
        }
    }
}

fn kvm_usable_find(directory: &Path) -> Act<bool> {
    let output = Program::new(QEMU)
        .arg("--version")
        .run_ok(&Limits::new(VERSION_TIME_MAX))?;
    let qemu = String::from_utf8_lossy(&output.stdout)
        .lines()
        .next()
        .unwrap_or("")
        .to_owned();
    let boot_id = state::boot_id();
    let path = directory.join("kvm-probe");
    let known = std::fs::read(&path)
        .ok()
        .and_then(|text| serde_json::from_slice::<Finding>(&text).ok());
    if let Some(known) = known
        && known.boot_id == boot_id
        && known.qemu == qemu
    {
        return Ok(known.usable);
    }
    let usable = guest_runs(directory, Accelerator::Kvm)?;
    let text = serde_json::to_vec(&Finding {
        boot_id,
        qemu,
        usable,
    })
    .map_err(|error| failed(format!("the finding cannot be written: {error}")))?;
    state::file_write(&path, &text, 0o600)?;
    Ok(usable)
}

/// Starts the guest; `false` when it does not come to its end.
pub(crate) fn guest_runs(directory: &Path, accelerator: Accelerator) -> Act<bool> {
    let image = directory.join(format!("kvm-probe-{}.bin", std::process::id()));
    state::file_write(&image, &GUEST, 0o600)?;
    let (accelerator, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        #[cfg(test)]
        Accelerator::Tcg => ("tcg", "max"),
    };
    let result = Program::new(QEMU)
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-M",
            "pc",
            "-m",
            "16",
        ])
        .args([
            "-accel",
            accelerator,
            "-cpu",
            cpu,
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=4",
            "-kernel",
        ])
        .arg(path_text(&image)?)
        .stop_text(KVM_GIVES_UP)
        .run(&Limits::new(PROBE_TIME_MAX));
    if let Err(error) = std::fs::remove_file(&image) {
        tracing::warn!(%error, "cannot remove the guest of the probe");
    }
    match result {
        Ok(output) => {
            let usable = output.status.code() == Some(STATUS_GOOD);
            if !usable {
                let words = output.stderr.lines().next().unwrap_or("");
                tracing::warn!(status = %output.status, words, "a guest does not run under KVM");
            }
            Ok(usable)
        }
        Err(error) if error.kind == plerion_protocol::ErrorKind::Deadline => Ok(false),
        Err(error) => Err(error),
    }
}

/// `kvm_probe.S`, assembled: `as --64 kvm_probe.S -o p.o && objcopy -O binary -j .text p.o p.bin`.
#[rustfmt::skip]
const GUEST: [u8; 386] = [
    0x02, 0xb0, 0xad, 0x1b, 0x00, 0x00, 0x01, 0x00, 0xfe, 0x4f, 0x51, 0xe4, 0x00, 0x00, 0x10, 0x00,
    0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x90, 0x10, 0x00, 0x20, 0x00, 0x10, 0x00,
    0xfa, 0xbc, 0x00, 0x80, 0x10, 0x00, 0xc7, 0x05, 0x00, 0x20, 0x10, 0x00, 0x03, 0x30, 0x10, 0x00,
    0xc7, 0x05, 0x00, 0x30, 0x10, 0x00, 0x03, 0x40, 0x10, 0x00, 0xc7, 0x05, 0x00, 0x40, 0x10, 0x00,
    0x83, 0x00, 0x00, 0x00, 0x0f, 0x20, 0xe0, 0x0d, 0x20, 0x06, 0x00, 0x00, 0x0f, 0x22, 0xe0, 0xb8,
    0x00, 0x20, 0x10, 0x00, 0x0f, 0x22, 0xd8, 0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x0d, 0x00,
    0x01, 0x00, 0x00, 0x0f, 0x30, 0x0f, 0x20, 0xc0, 0x83, 0xe0, 0xfb, 0x0d, 0x22, 0x00, 0x00, 0x80,
    0x0f, 0x22, 0xc0, 0x0f, 0x01, 0x15, 0x70, 0x01, 0x10, 0x00, 0xea, 0x81, 0x00, 0x10, 0x00, 0x08,
    0x00, 0xb8, 0x10, 0x00, 0x00, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbb, 0x00, 0x70, 0x10,
    0x00, 0xb8, 0x4d, 0x01, 0x10, 0x00, 0xbf, 0x30, 0x50, 0x10, 0x00, 0x66, 0x89, 0x07, 0x66, 0xc7,
    0x47, 0x02, 0x08, 0x00, 0x66, 0xc7, 0x47, 0x04, 0x00, 0x8e, 0xc1, 0xe8, 0x10, 0x66, 0x89, 0x47,
    0x06, 0x0f, 0x01, 0x1c, 0x25, 0x78, 0x01, 0x10, 0x00, 0xb8, 0x01, 0x00, 0x00, 0x00, 0x0f, 0xa2,
    0xbf, 0x00, 0x70, 0x10, 0x00, 0x89, 0xce, 0x0f, 0xba, 0xe6, 0x0d, 0x73, 0x25, 0x31, 0xc0, 0x31,
    0xd2, 0xbb, 0x55, 0x00, 0x00, 0x00, 0xb9, 0xaa, 0x00, 0x00, 0x00, 0xf0, 0x48, 0x0f, 0xc7, 0x0f,
    0x75, 0x64, 0x48, 0x83, 0x3f, 0x55, 0x75, 0x5e, 0x48, 0x81, 0x7f, 0x08, 0xaa, 0x00, 0x00, 0x00,
    0x75, 0x54, 0x0f, 0xba, 0xe6, 0x1a, 0x73, 0x42, 0x0f, 0x20, 0xe0, 0x0d, 0x00, 0x00, 0x04, 0x00,
    0x0f, 0x22, 0xe0, 0x31, 0xc9, 0x31, 0xd2, 0xb8, 0x03, 0x00, 0x00, 0x00, 0x0f, 0x01, 0xd1, 0xbf,
    0x00, 0x60, 0x10, 0x00, 0xbd, 0x34, 0x12, 0x00, 0x00, 0x66, 0x0f, 0x6e, 0xc5, 0xb8, 0x03, 0x00,
    0x00, 0x00, 0x31, 0xd2, 0x0f, 0xae, 0x27, 0x66, 0x0f, 0xef, 0xc0, 0x0f, 0xae, 0x2f, 0x66, 0x0f,
    0x7e, 0xc5, 0x81, 0xfd, 0x34, 0x12, 0x00, 0x00, 0x75, 0x0c, 0x31, 0xed, 0xcc, 0x83, 0xfd, 0x01,
    0x75, 0x04, 0xb0, 0x10, 0xeb, 0x02, 0xb0, 0x11, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd, 0xff, 0xc5, 0x48,
    0xcf, 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xaf, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x92, 0xcf, 0x00,
    0x17, 0x00, 0x58, 0x01, 0x10, 0x00, 0x66, 0x90, 0x3f, 0x00, 0x00, 0x50, 0x10, 0x00, 0x00, 0x00,
    0x00, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;

    fn has(program: &str) -> bool {
        let found = Program::new(program)
            .arg("--version")
            .run(&Limits::new(VERSION_TIME_MAX))
            .is_ok();
        if !found {
            use std::io::Write;
            // Past the harness, which would swallow it.
            writeln!(std::io::stderr(), "SKIPPED: {program} is not installed").expect("standard error");
        }
        found
    }

    #[test]
    fn the_guest_runs_to_its_end_in_the_translator() {
        if has(QEMU) {
            let scratch = Scratch::new("probe");
            assert!(guest_runs(scratch.path(), Accelerator::Tcg).expect("started"));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_source() {
        if has("as") && has("objcopy") {
            let scratch = Scratch::new("assemble");
            let path = |name: &str| scratch.path().join(name);
            let limits = Limits::new(PROBE_TIME_MAX);
            std::fs::write(path("p.S"), include_str!("kvm_probe.S")).expect("written");
            Program::new("as")
                .arg("--64")
                .arg(path("p.S"))
                .arg("-o")
                .arg(path("p.o"))
                .run_ok(&limits)
                .expect("runs");
            let copy = Program::new("objcopy")
                .args(["-O", "binary", "-j", ".text"])
                .arg(path("p.o"))
                .arg(path("p"));
            copy.run_ok(&limits).expect("runs");
            assert_eq!(std::fs::read(path("p")).expect("read"), GUEST);
        }
    }

    #[test]
    fn a_finding_is_remembered() {
        if has(QEMU) && Path::new("/dev/kvm").exists() {
            let scratch = Scratch::new("finding");
            let usable = kvm_usable(scratch.path());
            let path = scratch.path().join("kvm-probe");
            let text = std::fs::read_to_string(&path).expect("remembered");
            let turned = text.replace(
                &format!("\"usable\":{usable}"),
                &format!("\"usable\":{}", !usable),
            );
            std::fs::write(&path, turned).expect("written");
            assert_eq!(kvm_usable(scratch.path()), !usable, "the memory is used");
        }
    }
}
