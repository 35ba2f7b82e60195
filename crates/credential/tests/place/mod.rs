//! A directory in which other programs make keys and certificates.

use std::path::PathBuf;
use std::process::Command;

/// A directory, gone at the end.
pub struct Place(pub PathBuf);

impl Place {
    /// An empty one.
    pub fn new(name: &str) -> Self {
        let place = std::env::temp_dir().join(format!("plerion-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&place).expect("a directory");
        Self(place)
    }

    /// Runs a program in it that must succeed; what it prints.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(&self.0)
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
        output.stdout
    }

    /// The text of a file in it.
    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.join(file)).expect("a file")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("removed");
    }
}
