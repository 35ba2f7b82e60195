//! Templates of the measured objects. Those of VMs have the size that VMs in clouds have, and each differs.

use std::fmt::Write as _;

/// Size of a VM's template in bytes, as its text. On the wire, as escaped XML, such a VM has 12 KB.
const VM_BYTES: usize = 6900;
/// Attributes of an administrator's own, beside what the VM is made of.
const NOTE_BYTES: usize = 64;

/// A template whose content belongs to `seed` alone. `devices` are further attributes.
pub(crate) fn vm(seed: usize, name: &str, devices: &str) -> String {
    let mut text = format!(
        "NAME=\"{name}\"\nCPU=\"0.1\"\nVCPU=\"1\"\nMEMORY=\"128\"\nARCH=\"x86_64\"\n{devices}\
         CONTEXT=[NETWORK=\"YES\", SET_HOSTNAME=\"guest-{seed}\", SSH_PUBLIC_KEY=\"ssh-ed25519 {}\", \
         START_SCRIPT=\"echo {} > /etc/issue\"]\n",
        noise(seed, 68),
        noise(seed + 1, 800),
    );
    let mut number = 0;
    while text.len() < VM_BYTES {
        let value = noise(seed.wrapping_mul(131) + number, NOTE_BYTES);
        writeln!(text, "NOTE_{number}=\"{value}\"").expect("a string takes any text");
        number += 1;
    }
    text
}

/// Letters that look like nothing in particular, the same for the same seed.
fn noise(seed: usize, length: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03;
    (0..length)
        .map(|_| {
            // xorshift64*
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let at = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 58;
            char::from(LETTERS[usize::try_from(at).unwrap_or_default()])
        })
        .collect()
}

/// A datastore of images whose drivers do nothing.
pub(crate) const IMAGE_DATASTORE: &str =
    "NAME=\"measured\"\nTYPE=\"IMAGE_DS\"\nDS_MAD=\"dummy\"\nTM_MAD=\"dummy\"\n";

/// An image of that datastore.
pub(crate) const IMAGE: &str = "NAME=\"measured\"\nTYPE=\"OS\"\nPATH=\"/nowhere/image\"\nSIZE=\"1024\"\n";

/// A security group with rules of the usual kind.
pub(crate) const SECURITY_GROUP: &str = "NAME=\"measured\"\n\
    RULE=[PROTOCOL=\"TCP\", RULE_TYPE=\"inbound\", RANGE=\"22,80,443\"]\n\
    RULE=[PROTOCOL=\"ICMP\", RULE_TYPE=\"inbound\"]\n\
    RULE=[PROTOCOL=\"ALL\", RULE_TYPE=\"outbound\"]\n";

/// A network of dummy hosts with `addresses` leases and a security group.
pub(crate) fn network(addresses: usize, security_group: i64) -> String {
    format!(
        "NAME=\"measured\"\nVN_MAD=\"dummy\"\nBRIDGE=\"br0\"\nSECURITY_GROUPS=\"0,{security_group}\"\n\
         AR=[TYPE=\"IP4\", IP=\"10.0.0.1\", SIZE=\"{addresses}\"]\n"
    )
}

/// The disk and the network card of a VM.
pub(crate) fn devices(image: i64, network: i64) -> String {
    format!("DISK=[IMAGE_ID=\"{image}\"]\nNIC=[NETWORK_ID=\"{network}\"]\n")
}

/// Limits of VMs that are not reached.
pub(crate) const VM_LIMITS: &str = "VM=[VMS=\"1000000000\",CPU=\"1000000000\",MEMORY=\"1000000000\",\
    RUNNING_VMS=\"1000000000\",SYSTEM_DISK_SIZE=\"1000000000\"]";

/// A limit of every kind, none of which is reached.
pub(crate) fn quotas(store: i64, image: i64, network: i64) -> String {
    const LARGE: u32 = 1_000_000_000;
    format!(
        "{VM_LIMITS}\nDATASTORE=[ID=\"{store}\",IMAGES=\"{LARGE}\",SIZE=\"{LARGE}\"]\n\
         NETWORK=[ID=\"{network}\",LEASES=\"{LARGE}\"]\nIMAGE=[ID=\"{image}\",RVMS=\"{LARGE}\"]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vms_differ_and_have_a_size() {
        let (one, other) = (vm(1, "a", ""), vm(2, "a", ""));
        assert_ne!(one, other);
        assert_eq!(one, vm(1, "a", ""));
        for text in [one, other] {
            assert!((VM_BYTES..VM_BYTES + 200).contains(&text.len()));
        }
    }
}
