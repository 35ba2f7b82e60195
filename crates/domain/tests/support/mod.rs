//! Inputs, and the check that libvirt's own schema accepts a description.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use plerion_domain::{ContextDisk, DomainError, DomainInput, HostFacts, Hypervisor, Metadata, domain_xml};
use plerion_template::{Template, Value, Vector};

/// A template from lines `NAME=value` (single) and `NAME: KEY=value | KEY=value` (vector).
pub fn template(lines: &str) -> Template {
    let mut template = Template::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_once(": ") {
            Some((name, pairs)) => {
                let pairs = pairs
                    .split(" | ")
                    .map(|pair| pair.split_once('=').expect("KEY=value"));
                template.add_vector(name, pairs.collect::<Vector>());
            }
            None => {
                let (name, value) = line.split_once('=').expect("NAME=value");
                template.add(name, Value::Single(value.to_owned()));
            }
        }
    }
    template
}

/// The four templates of one description.
#[derive(Default)]
pub struct Case {
    pub vm: Template,
    pub host: Template,
    pub cluster: Template,
    pub driver: Template,
    pub facts: HostFacts<'static>,
    pub emulated: bool,
    pub context_disk: ContextDisk,
    pub metadata: Option<Metadata<'static>>,
}

impl Case {
    pub fn vm(lines: &str) -> Self {
        Self {
            vm: template(lines),
            ..Self::default()
        }
    }

    pub fn host(mut self, lines: &str) -> Self {
        self.host = template(lines);
        self
    }

    pub fn cluster(mut self, lines: &str) -> Self {
        self.cluster = template(lines);
        self
    }

    pub fn driver(mut self, lines: &str) -> Self {
        self.driver = template(lines);
        self
    }

    pub fn input(&self) -> DomainInput<'_> {
        DomainInput {
            vm_id: 42,
            name: "web",
            uuid: "6ee3cb44-1f6c-4a35-8f4a-000000000042",
            vm: &self.vm,
            host: &self.host,
            cluster: &self.cluster,
            driver: &self.driver,
            hypervisor: if self.emulated {
                Hypervisor::Qemu
            } else {
                Hypervisor::Kvm
            },
            directory: "/var/lib/one/datastores/0/42",
            context_disk: self.context_disk,
            host_facts: self.facts,
            metadata: self.metadata,
        }
    }

    pub fn xml(&self) -> Result<String, DomainError> {
        domain_xml(&self.input())
    }

    /// The description, accepted by the schema.
    pub fn valid(&self, name: &str) -> String {
        let xml = self.xml().expect("a description");
        schema_check(name, &xml);
        xml
    }
}

const VALIDATOR: &str = "virt-xml-validate";

/// Fails where libvirt's schema refuses the description. Says loudly that it is skipped where the tool is missing.
pub fn schema_check(name: &str, xml: &str) {
    roxmltree::Document::parse(xml).expect("well-formed XML");
    if !validator_works() {
        return;
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("domain-{name}.xml"));
    std::fs::write(&file, xml).expect("a scratch file");
    let output = Command::new(VALIDATOR)
        .arg(&file)
        .arg("domain")
        .output()
        .expect("the validator starts");
    assert!(
        output.status.success(),
        "{name}: libvirt's schema refuses\n{xml}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether the validator, the schema and xmllint (which it calls) are there: it must accept a good description
/// and refuse a bad one. Asked once per run.
fn validator_works() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        let accepts = |name: &str, body: &str| {
            let probe = format!("probe-{name}-{}.xml", std::process::id());
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(probe);
            std::fs::write(&path, body).expect("a scratch file");
            let output = Command::new(VALIDATOR).arg(&path).arg("domain").output();
            std::fs::remove_file(&path).expect("the scratch file is there");
            output.map(|output| output.status.success()).ok()
        };
        let good = "<domain type='kvm'><name>a</name><memory>1024</memory><os><type>hvm</type></os></domain>";
        let works = accepts("good", good) == Some(true)
            && accepts("bad", "<domain type='kvm'><nome/></domain>") == Some(false);
        if !works {
            eprintln!(
                "SKIPPED: the check against libvirt's schema needs {VALIDATOR} (Debian: libvirt-clients) and \
                 xmllint (libxml2-utils)"
            );
        }
        works
    })
}
