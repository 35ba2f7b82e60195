//! One script of many CommonJS modules, as a browser can run it.
//!
//! Distributions install some libraries as modules for Node.js only. A module names those that it needs by `require("./name")`;
//! they are followed from the first one on, and each becomes a function in one script.

use std::collections::BTreeMap;

/// Modules of one library at most.
const MODULES_MAX: usize = 256;
/// What a module that is needed is named by, before its path.
const REQUIRE: &str = "require(\"";
/// Runs the modules: each once, when it is first needed.
const LOADER: &str = include_str!("page/loader.js");

/// A module that cannot be had, or too many of them.
#[derive(Debug, thiserror::Error)]
pub(super) enum BundleError<E> {
    #[error("module {0}: {1}")]
    Module(String, E),
    #[error("it has more than {MODULES_MAX} modules")]
    Modules,
    #[error("module {0} is no text")]
    Text(String),
}

/// The script that sets the global `name` to what the module `first` gives. `read` gives a module's bytes by its path.
pub(super) fn bundle<E>(
    name: &str,
    first: &str,
    read: impl Fn(&str) -> Result<Vec<u8>, E>,
) -> Result<String, BundleError<E>> {
    let mut modules = BTreeMap::new();
    let mut wanted = vec![first.to_owned()];
    while let Some(path) = wanted.pop() {
        if modules.contains_key(&path) {
            continue;
        }
        if modules.len() >= MODULES_MAX {
            return Err(BundleError::Modules);
        }
        let bytes = read(&path).map_err(|error| BundleError::Module(path.clone(), error))?;
        let text = String::from_utf8(bytes).map_err(|_| BundleError::Text(path.clone()))?;
        wanted.extend(needed(&path, &text));
        modules.insert(path, text);
    }
    let mut script = format!("const {name} = (() => {{\nconst modules = {{}};\n");
    for (path, text) in &modules {
        script.push_str(&format!(
            "modules[\"{path}\"] = function (require, module, exports) {{\n{text}\n}};\n"
        ));
    }
    script.push_str(&format!("{LOADER}return load(\"{first}\");\n}})();\n"));
    Ok(script)
}

/// The paths of modules that a module needs of its own library.
fn needed(path: &str, text: &str) -> Vec<String> {
    let names = text.split(REQUIRE).skip(1);
    names
        .filter_map(|rest| rest.split_once('"'))
        .filter_map(|(name, _)| path_of(path, name))
        .collect()
}

/// The path of the module `name`, as the one at `from` calls it; nothing for other libraries, and for what leads out of this one.
fn path_of(from: &str, name: &str) -> Option<String> {
    let relative = name.starts_with("./") || name.starts_with("../");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    if !relative || !name.bytes().all(plain) {
        return None;
    }
    let mut words: Vec<&str> = from.split('/').collect();
    words.pop();
    for word in name.split('/') {
        match word {
            "." => {}
            ".." => {
                words.pop()?;
            }
            word => words.push(word),
        }
    }
    let path = words.join("/");
    Some(if path.ends_with(".js") {
        path
    } else {
        format!("{path}.js")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_followed_and_each_is_there_once() {
        let library = |path: &str| match path {
            "lib/first.js" => {
                Ok(b"require(\"./a/second\"); require(\"fs\"); require(\"../third.js\")".to_vec())
            }
            "lib/a/second.js" => Ok(b"require(\"../first\")".to_vec()),
            "third.js" => Ok(b"last".to_vec()),
            _ => Err("it is not there"),
        };
        let script = bundle("seen", "lib/first.js", library).expect("whole");
        for path in ["lib/first.js", "lib/a/second.js", "third.js"] {
            assert_eq!(
                script.matches(&format!("modules[\"{path}\"] = ")).count(),
                1,
                "{path}"
            );
        }
        assert!(script.starts_with("const seen = "));
        let lacks = bundle("seen", "lib/none.js", library).expect_err("no module");
        assert_eq!(lacks.to_string(), "module lib/none.js: it is not there");
    }

    #[test]
    fn a_library_without_end_is_refused() {
        let endless = |path: &str| Ok::<_, String>(format!("require(\"./{path}\")").into_bytes());
        let longer = |path: &str| endless(&format!("x{path}"));
        assert!(matches!(
            bundle("seen", "a.js", longer),
            Err(BundleError::Modules)
        ));
    }

    #[test]
    fn no_module_is_outside_of_its_library() {
        assert_eq!(path_of("lib/a.js", "./b"), Some("lib/b.js".into()));
        assert_eq!(path_of("lib/a.js", "../b.js"), Some("b.js".into()));
        for outside in ["../../b", "/etc/passwd", "b", "./b\\", "./b c"] {
            assert_eq!(path_of("lib/a.js", outside), None, "{outside}");
        }
    }
}
