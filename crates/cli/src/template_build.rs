//! Templates from options.

use std::fmt::Write;

use crate::error::CliError;
use crate::family::Input;
use crate::sources;
use crate::template_text::quoted;

/// Letters of base64.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A template that grows attribute by attribute.
#[derive(Debug, Default)]
pub struct Builder {
    text: String,
}

/// `NAME="value"`.
pub fn pair(name: &str, value: &str) -> String {
    format!("{name}={}", quoted(value))
}

impl Builder {
    /// Adds an attribute.
    pub fn single(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.text, "{}", pair(name, value));
    }

    /// Adds an attribute made of pairs; nothing when there are none.
    pub fn vector(&mut self, name: &str, pairs: &[String]) {
        if !pairs.is_empty() {
            let _ = writeln!(self.text, "{name}=[ {} ]", pairs.join(", "));
        }
    }

    /// Adds an attribute with the value of an option, if that was given.
    pub fn option(&mut self, input: &Input, option: &str, name: &str) {
        if let Some(value) = input.value(option) {
            self.single(name, value);
        }
    }

    /// Adds lines as they are.
    pub fn raw(&mut self, lines: &str) {
        self.text.push_str(lines);
        if !lines.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// The template.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// The VM template the options describe; `with_name` takes `--name` into it.
pub fn vm_template(input: &Input, with_name: bool) -> Result<String, CliError> {
    let mut builder = Builder::default();
    if with_name {
        builder.option(input, "name", "NAME");
    }
    for (option, attribute) in [
        ("cpu", "CPU"),
        ("vcpu", "VCPU"),
        ("memory", "MEMORY"),
        ("as_gid", "AS_GID"),
        ("as_uid", "AS_UID"),
    ] {
        builder.option(input, option, attribute);
    }
    for disk in input.list("disk") {
        builder.vector("DISK", &device_pairs(&disk, "IMAGE")?);
    }
    for nic in input.list("nic") {
        builder.vector("NIC", &device_pairs(&nic, "NETWORK")?);
    }
    let mut os = Vec::new();
    for (option, attribute) in [("arch", "ARCH"), ("boot", "BOOT")] {
        os.extend(input.value(option).map(|value| pair(attribute, value)));
    }
    builder.vector("OS", &os);
    builder.vector("GRAPHICS", &graphics_pairs(input)?);
    builder.vector("VIDEO", &video_pairs(input)?);
    builder.vector("CONTEXT", &context_pairs(input)?);
    for line in input.list("user-inputs") {
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| not_a_pair("user-inputs", &line))?;
        builder.single(&name.trim().to_ascii_uppercase(), value.trim());
    }
    if let Some(raw) = input.value("raw") {
        builder.raw(raw);
    }
    Ok(builder.into_text())
}

fn not_a_pair(option: &str, text: &str) -> CliError {
    CliError::text(format!("--{option} {text}: use NAME=VALUE"))
}

/// `[user]name:KEY=VALUE:…`, or an id instead of the name.
fn device_pairs(text: &str, name: &str) -> Result<Vec<String>, CliError> {
    let mut parts = text.split(':');
    let what = parts.next().unwrap_or_default();
    let mut pairs = match what.split_once('[') {
        Some((user, rest)) => {
            let object = rest
                .strip_suffix(']')
                .ok_or_else(|| CliError::text(format!("'{text}' has an open bracket. Use user[name].")))?;
            vec![pair(name, object), pair(&format!("{name}_UNAME"), user)]
        }
        None if !what.is_empty() && what.bytes().all(|byte| byte.is_ascii_digit()) => {
            vec![pair(&format!("{name}_ID"), what)]
        }
        None => vec![pair(name, what)],
    };
    for part in parts {
        let (key, value) = part.split_once('=').ok_or_else(|| {
            CliError::text(format!(
                "'{part}' in '{text}' is no attribute. Use {name}:KEY=VALUE."
            ))
        })?;
        pairs.push(pair(&key.to_ascii_uppercase(), value));
    }
    Ok(pairs)
}

fn graphics_pairs(input: &Input) -> Result<Vec<String>, CliError> {
    let protocol = match (input.has("vnc"), input.has("spice")) {
        (true, true) => return Err(CliError::text("A VM has one display: --vnc or --spice.")),
        (true, false) => "vnc",
        (false, true) => "spice",
        (false, false) => return Ok(Vec::new()),
    };
    let mut pairs = vec![pair("TYPE", protocol)];
    for (option, attribute) in [("password", "PASSWD"), ("listen", "LISTEN"), ("keymap", "KEYMAP")] {
        let value = input.value(&format!("{protocol}-{option}"));
        pairs.extend(value.map(|value| pair(attribute, value)));
    }
    Ok(pairs)
}

fn video_pairs(input: &Input) -> Result<Vec<String>, CliError> {
    let Some(kind) = input.value("video") else {
        return if ["video-vram", "video-resolution", "video-ats", "video-iommu"]
            .iter()
            .any(|name| input.has(name))
        {
            Err(CliError::text("Name the video device, too: --video TYPE."))
        } else {
            Ok(Vec::new())
        };
    };
    let mut pairs = vec![pair("TYPE", kind)];
    for (option, attribute) in [("video-vram", "VRAM"), ("video-resolution", "RESOLUTION")] {
        pairs.extend(input.value(option).map(|value| pair(attribute, value)));
    }
    for (option, attribute) in [("video-ats", "ATS"), ("video-iommu", "IOMMU")] {
        pairs.extend(input.has(option).then(|| pair(attribute, "YES")));
    }
    Ok(pairs)
}

fn context_pairs(input: &Input) -> Result<Vec<String>, CliError> {
    let mut pairs = Vec::new();
    for line in input.list("context") {
        let (name, value) = line.split_once('=').ok_or_else(|| not_a_pair("context", &line))?;
        pairs.push(pair(name.trim(), value.trim().trim_matches('"')));
    }
    if let Some(path) = input.value("ssh") {
        let key = if path.is_empty() {
            "$USER[SSH_PUBLIC_KEY]".to_owned()
        } else {
            sources::file_read(path)?
        };
        pairs.push(pair("SSH_PUBLIC_KEY", key.trim()));
    }
    if input.has("net_context") {
        pairs.push(pair("NETWORK", "YES"));
    }
    let files: Vec<String> = input
        .list("files_ds")
        .iter()
        .map(|name| file_reference(name))
        .collect();
    if !files.is_empty() {
        pairs.push(pair("FILES_DS", &files.join(" ")));
    }
    let scripts = input.list("init");
    if !scripts.is_empty() {
        pairs.push(pair("INIT_SCRIPTS", &scripts.join(" ")));
    }
    if let Some(path) = input.value("startscript") {
        pairs.push(pair(
            "START_SCRIPT_BASE64",
            &base64(sources::file_read(path)?.as_bytes()),
        ));
    }
    if input.has("report_ready") {
        pairs.push(pair("REPORT_READY", "YES"));
    }
    Ok(pairs)
}

/// How CONTEXT refers to an image of a file datastore.
fn file_reference(name: &str) -> String {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("$FILE[IMAGE_ID={name}]")
    } else {
        format!("$FILE[IMAGE=\"{name}\"]")
    }
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(BASE64[bits >> (18 - 6 * place) & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        for (text, expected) in [
            ("0", "IMAGE_ID=\"0\""),
            ("data1", "IMAGE=\"data1\""),
            (
                "alice[data1]:size=10:dev_prefix=vd",
                "IMAGE=\"data1\", IMAGE_UNAME=\"alice\", SIZE=\"10\", DEV_PREFIX=\"vd\"",
            ),
        ] {
            assert_eq!(device_pairs(text, "IMAGE").expect(text).join(", "), expected);
        }
        assert!(device_pairs("a[b", "IMAGE").is_err());
        assert!(device_pairs("a:b", "IMAGE").is_err());
    }

    #[test]
    fn base64_of_all_lengths() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}
