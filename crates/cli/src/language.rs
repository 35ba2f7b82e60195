//! The language of what the command line says.

/// The language of help and questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Chinese.
    Chinese,
}

impl Language {
    /// The language `LC_ALL`, `LC_MESSAGES` or `LANG` asks for; the first one set decides.
    pub fn from_environment() -> Self {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|value| !value.is_empty());
        if set.is_some_and(|value| value.starts_with("zh")) {
            Language::Chinese
        } else {
            Language::English
        }
    }

    /// Whether it is Chinese.
    pub fn is_chinese(self) -> bool {
        self == Language::Chinese
    }

    /// The text of the language: English, Chinese.
    pub fn pick(self, texts: (&'static str, &'static str)) -> &'static str {
        if self.is_chinese() { texts.1 } else { texts.0 }
    }
}
