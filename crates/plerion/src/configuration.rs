//! oned.conf and vmm_exec_kvm.conf: both may be missing or empty.

use std::path::Path;

use plerion_template::Template;

/// Reads a configuration file; a missing one is empty.
pub(crate) fn read(path: &Path) -> Result<Template, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Template::new()),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    // A comment needs the end of its line, and a last line may lack it.
    let text = format!("{text}\n");
    let holds = text
        .lines()
        .any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    if !holds {
        return Ok(Template::new());
    }
    Template::parse_config(&text).map_err(|error| format!("{}: {error}", path.display()))
}
