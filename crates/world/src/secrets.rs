//! [`Secrets`]: which attributes are kept encrypted (`*_ENCRYPTED_ATTR`), and the key for them.

use plerion_model::Kind;
use plerion_template::{PackedTemplate, PackedValue, Template, Value};

use crate::secret::{Cipher, Reading};

/// The vector whose values may all be sealed: what is taken into it from a secret attribute is secret too.
const CONTEXT: &str = "CONTEXT";

/// Whose list counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// VMs, and what VMs are made of: templates and virtual routers.
    Vm,
    /// Networks and their templates.
    Vnet,
    /// Hosts.
    Host,
    /// Clusters.
    Cluster,
    /// Datastores.
    Datastore,
    /// Images.
    Image,
    /// Documents.
    Document,
    /// Users.
    User,
}

impl Scope {
    const ALL: [Self; 8] = [
        Self::Vm,
        Self::Vnet,
        Self::Host,
        Self::Cluster,
        Self::Datastore,
        Self::Image,
        Self::Document,
        Self::User,
    ];

    /// The scope of a kind; `None` for kinds whose attributes are never encrypted.
    #[must_use]
    pub const fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Vm | Kind::Template | Kind::Vrouter => Some(Self::Vm),
            Kind::Vnet | Kind::VnTemplate => Some(Self::Vnet),
            Kind::Host => Some(Self::Host),
            Kind::Cluster => Some(Self::Cluster),
            Kind::Datastore => Some(Self::Datastore),
            Kind::Image => Some(Self::Image),
            Kind::Document => Some(Self::Document),
            Kind::User => Some(Self::User),
            Kind::Group
            | Kind::Acl
            | Kind::Zone
            | Kind::VmGroup
            | Kind::Marketplace
            | Kind::MarketplaceApp
            | Kind::Hook
            | Kind::HookExecution
            | Kind::BackupJob
            | Kind::SchedAction
            | Kind::Vdc
            | Kind::SecurityGroup => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Vm => "VM",
            Self::Vnet => "VNET",
            Self::Host => "HOST",
            Self::Cluster => "CLUSTER",
            Self::Datastore => "DATASTORE",
            Self::Image => "IMAGE",
            Self::Document => "DOCUMENT",
            Self::User => "USER",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Path {
    scope: Scope,
    name: String,
    key: Option<String>,
}

/// What is kept encrypted, and how. Without a key nothing is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Secrets {
    cipher: Option<Cipher>,
    paths: Vec<Path>,
}

impl Secrets {
    /// The lists of an oned.conf, still without a key.
    #[must_use]
    pub fn of(attributes: &Template) -> Self {
        let mut paths = Vec::new();
        for scope in Scope::ALL {
            for value in attributes.all(&format!("{}_ENCRYPTED_ATTR", scope.name())) {
                if let Value::Single(text) = value {
                    let text = text.trim().to_ascii_uppercase();
                    let (name, key) = match text.split_once('/') {
                        Some((name, key)) => (name, Some(key.to_owned())),
                        None => (text.as_str(), None),
                    };
                    if !name.is_empty() {
                        let name = name.to_owned();
                        paths.push(Path { scope, name, key });
                    }
                }
            }
        }
        Self { cipher: None, paths }
    }

    /// The text of the key file.
    pub fn key_set(&mut self, text: &str) {
        self.cipher = Some(Cipher::new(text));
    }

    /// What a value is that is, or may be, kept encrypted.
    #[must_use]
    pub fn read(&self, scope: Scope, name: &str, key: Option<&str>, value: &str) -> Reading {
        match &self.cipher {
            Some(cipher) => cipher.read(&place(scope, name, key), value),
            None => Reading::Clear,
        }
    }

    /// The value itself, whether it is kept encrypted or not. What another key sealed stays so.
    #[must_use]
    pub fn opened(&self, scope: Scope, name: &str, key: Option<&str>, value: &str) -> Option<String> {
        match self.read(scope, name, key, value) {
            Reading::Open(clear) => Some(clear),
            Reading::Clear | Reading::Foreign => None,
        }
    }

    /// A value as it is kept; `None` for one that is encrypted already.
    #[must_use]
    pub fn sealed(&self, scope: Scope, name: &str, key: Option<&str>, value: &str) -> Option<String> {
        let cipher = self.cipher.as_ref()?;
        let place = place(scope, name, key);
        let is_clear = !value.is_empty() && cipher.read(&place, value) == Reading::Clear;
        is_clear.then(|| cipher.seal(&place, value))
    }

    /// A template as it is kept; `None` where it is so already.
    #[must_use]
    pub fn template_sealed(&self, scope: Scope, template: &PackedTemplate) -> Option<PackedTemplate> {
        self.mapped(scope, template, |name, key, value| {
            if !self.is_secret(scope, name, key) {
                return None;
            }
            self.sealed(scope, name, key, value)
        })
    }

    /// A template with its values in clear; `None` where nothing in it is encrypted.
    #[must_use]
    pub fn template_opened(&self, scope: Scope, template: &PackedTemplate) -> Option<PackedTemplate> {
        self.mapped(scope, template, |name, key, value| {
            if !self.may_be_sealed(scope, name, key) {
                return None;
            }
            self.opened(scope, name, key, value)
        })
    }

    /// The attributes of a template that another key sealed.
    #[must_use]
    pub fn foreign(&self, scope: Scope, template: &PackedTemplate) -> Vec<String> {
        let mut found = Vec::new();
        for (name, value) in template.iter() {
            let mut look = |key: Option<&str>, value: &str| {
                if self.may_be_sealed(scope, name, key)
                    && self.read(scope, name, key, value) == Reading::Foreign
                {
                    found.push(path_text(name, key));
                }
            };
            match value {
                PackedValue::Single(text) => look(None, text),
                PackedValue::Vector(vector) => vector.iter().for_each(|(key, text)| look(Some(key), text)),
            }
        }
        found
    }

    /// A text that is a template, as it may be shown; `None` where nothing in it is secret. Whose template it is does not
    /// matter.
    #[must_use]
    pub fn text_sealed(&self, text: &str) -> Option<String> {
        let names = |path: &Path| contains_word(text, path.key.as_deref().unwrap_or(&path.name));
        if self.cipher.is_none() || !self.paths.iter().any(names) {
            return None;
        }
        let mut packed = PackedTemplate::new(&Template::parse(text).ok()?);
        let mut is_secret = false;
        for scope in Scope::ALL {
            if let Some(sealed) = self.template_sealed(scope, &packed) {
                packed = sealed;
                is_secret = true;
            }
        }
        is_secret.then(|| packed.unpack().to_text())
    }

    /// Whether a list names an attribute.
    #[must_use]
    pub fn is_secret(&self, scope: Scope, name: &str, key: Option<&str>) -> bool {
        let is_it = |path: &Path| path.scope == scope && path.name == name && path.key.as_deref() == key;
        self.paths.iter().any(is_it)
    }

    fn may_be_sealed(&self, scope: Scope, name: &str, key: Option<&str>) -> bool {
        let in_context = scope == Scope::Vm && name == CONTEXT && key.is_some();
        in_context || self.is_secret(scope, name, key)
    }

    /// A template with some values replaced; `None` where none was.
    fn mapped(
        &self,
        scope: Scope,
        template: &PackedTemplate,
        replace: impl Fn(&str, Option<&str>, &str) -> Option<String>,
    ) -> Option<PackedTemplate> {
        self.cipher.as_ref()?;
        let matters = |name: &str| {
            name == CONTEXT
                || self
                    .paths
                    .iter()
                    .any(|path| path.scope == scope && path.name == name)
        };
        let mut new = None;
        for (at, (name, value)) in template.iter().enumerate() {
            if !matters(name) {
                continue;
            }
            let changed = value_mapped(&value, |key, text| replace(name, key, text));
            if let Some(changed) = changed {
                new.get_or_insert_with(Vec::new).push((at, changed));
            }
        }
        let mut new = new?.into_iter().peekable();
        let mut tree = Template::new();
        for (at, attribute) in template.unpack().iter().enumerate() {
            let value = match new.next_if(|(number, _)| *number == at) {
                Some((_, value)) => value,
                None => attribute.value.clone(),
            };
            tree.add(&attribute.name, value);
        }
        Some(PackedTemplate::new(&tree))
    }
}

fn value_mapped(
    value: &PackedValue<'_>,
    replace: impl Fn(Option<&str>, &str) -> Option<String>,
) -> Option<Value> {
    match value {
        PackedValue::Single(text) => replace(None, text).map(Value::Single),
        PackedValue::Vector(vector) => {
            let mut new = None;
            for (key, text) in vector.iter() {
                if let Some(text) = replace(Some(key), text) {
                    new.get_or_insert_with(|| vector.to_vector()).set(key, text);
                }
            }
            new.map(Value::Vector)
        }
    }
}

/// An attribute as lists and people name it.
fn path_text(name: &str, key: Option<&str>) -> String {
    match key {
        Some(key) => format!("{name}/{key}"),
        None => name.to_owned(),
    }
}

/// What a value is sealed for.
fn place(scope: Scope, name: &str, key: Option<&str>) -> String {
    format!("{}/{}", scope.name(), path_text(name, key))
}

/// Whether a text has a word in it, in upper or lower case.
fn contains_word(text: &str, word: &str) -> bool {
    !word.is_empty()
        && text
            .as_bytes()
            .windows(word.len())
            .any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secrets() -> Secrets {
        let lists = "VM_ENCRYPTED_ATTR = \"CONTEXT/PASSWORD\"\nVM_ENCRYPTED_ATTR = \"context/token\"\n\
                     VM_ENCRYPTED_ATTR = \"SPEC\"\nUSER_ENCRYPTED_ATTR = \"SSH_PASSPHRASE\"";
        let mut secrets = Secrets::of(&Template::parse_config(lists).expect("it is a template"));
        secrets.key_set("a key");
        secrets
    }

    fn packed(text: &str) -> PackedTemplate {
        PackedTemplate::new(&Template::parse(text).expect("it is a template"))
    }

    #[test]
    fn every_value_of_a_name_is_sealed_and_nothing_else() {
        let secrets = secrets();
        let clear = packed(
            "A=1\nSPEC=a\nSPEC=b\nSPEC=[X=y]\nPASSWORD=c\nCONTEXT=[PASSWORD=d, TOKEN=e, X=f]\nCONTEXT=[TOKEN=g]\nZ=h",
        );
        let sealed = secrets
            .template_sealed(Scope::Vm, &clear)
            .expect("it has secrets");
        let tree = sealed.unpack();
        let single = |name: &str| tree.get(name).map(str::to_owned);
        assert_eq!(single("A").as_deref(), Some("1"));
        assert_eq!(single("PASSWORD").as_deref(), Some("c"));
        assert_eq!(tree.pair("CONTEXT", "X"), Some("f"));
        let text = tree.to_text();
        for secret in ["\"a\"", "\"b\"", "\"d\"", "\"e\"", "\"g\""] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
        assert_eq!(
            secrets.template_sealed(Scope::Vm, &sealed),
            None,
            "nothing is encrypted twice"
        );
        assert_eq!(secrets.template_opened(Scope::Vm, &sealed), Some(clear.clone()));
        assert_eq!(secrets.template_sealed(Scope::User, &clear), None);
        assert_eq!(
            secrets.template_sealed(Scope::Vm, &packed("CONTEXT=[PASSWORD=\"\"]")),
            None
        );
    }

    #[test]
    fn without_a_key_nothing_happens() {
        let mut secrets = secrets();
        secrets.cipher = None;
        assert_eq!(secrets.template_sealed(Scope::Vm, &packed("SPEC=a")), None);
        assert_eq!(secrets.text_sealed("SPEC=a"), None);
    }

    #[test]
    fn another_key_is_noticed() {
        let secrets = secrets();
        let sealed = secrets
            .template_sealed(Scope::Vm, &packed("SPEC=a\nCONTEXT=[PASSWORD=b]"))
            .expect("it has secrets");
        let mut other = secrets.clone();
        other.key_set("another key");
        assert_eq!(other.foreign(Scope::Vm, &sealed), ["CONTEXT/PASSWORD", "SPEC"]);
        assert_eq!(other.template_sealed(Scope::Vm, &sealed), None);
        assert_eq!(other.template_opened(Scope::Vm, &sealed), None);
        assert!(secrets.foreign(Scope::Vm, &sealed).is_empty());
    }

    #[test]
    fn texts_of_calls_show_no_secret() {
        let secrets = secrets();
        let shown = secrets
            .text_sealed("NAME=x\nssh_passphrase=hush")
            .expect("it has a secret");
        assert!(shown.contains("NAME") && !shown.contains("hush"), "{shown}");
        assert!(
            secrets
                .text_sealed("<A><SPEC>hush</SPEC></A>")
                .is_some_and(|shown| !shown.contains("hush"))
        );
        assert_eq!(secrets.text_sealed("NAME=SPECIAL"), None);
        assert_eq!(secrets.text_sealed("SPEC=[broken"), None);
    }

    proptest! {
        #[test]
        fn templates_come_back(value in "[^\"\\\\]{1,30}", other in "[^\"\\\\]{0,30}") {
            let secrets = secrets();
            let mut tree = Template::new();
            tree.set("SPEC", value.clone());
            tree.set("OTHER", other.clone());
            tree.add_vector("CONTEXT", [("PASSWORD", &*other), ("TOKEN", &*value), ("X", &*value)].into_iter().collect());
            let clear = PackedTemplate::new(&tree);
            let sealed = secrets.template_sealed(Scope::Vm, &clear).expect("it has secrets");
            prop_assert_eq!(secrets.template_sealed(Scope::Vm, &sealed), None);
            prop_assert_eq!(secrets.template_opened(Scope::Vm, &sealed), Some(clear));
            prop_assert_ne!(sealed.get("SPEC"), Some(&*value));
        }
    }
}
