//! Running the program of a hook.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use plerion_model::hook::{ExecutionResult, Hook, HookExecution};

use crate::child::{Ended, child_run};

/// Where hooks are, and what they find around them.
#[derive(Clone, Debug)]
pub struct HookSettings {
    /// Directory of commands that are no absolute paths.
    pub directory: PathBuf,
    /// Directory of such commands on hosts.
    pub host_directory: String,
    /// Variables beyond those that the front-end has itself.
    pub environment: Vec<(String, String)>,
    /// Options for ssh to hosts, each one argument.
    pub ssh_options: Vec<String>,
}

/// Exit status of what could not be run, or was ended.
const CODE_FAILED: i32 = 255;
/// Longest single argument that Linux passes to a program, in bytes.
const ARGUMENT_BYTES_MAX: usize = 128 * 1024 - 1;
/// Time of a hook that names none.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// Runs an execution of a hook to its end.
pub(crate) fn hook_run(settings: &HookSettings, hook: &Hook, execution: &HookExecution) -> ExecutionResult {
    let by_input = hook.says("ARGUMENTS_STDIN");
    let program = program_of(settings, hook, execution);
    let shown = if by_input || execution.arguments.is_empty() {
        program.clone()
    } else {
        format!("{program} {}", execution.arguments)
    };
    let failed = |why: String| ExecutionResult {
        command: shown.clone(),
        stdout: String::new(),
        stderr: why,
        code: CODE_FAILED,
    };
    let words: Vec<&str> = execution.arguments.split_whitespace().collect();
    if let Some(word) = words
        .iter()
        .find(|word| !by_input && word.len() > ARGUMENT_BYTES_MAX)
    {
        return failed(format!(
            "an argument has {} bytes, and Linux passes {ARGUMENT_BYTES_MAX} at most: set ARGUMENTS_STDIN=YES in the \
             template of the hook, and read it from standard input",
            word.len()
        ));
    }
    let mut command = command_of(settings, execution, &program, if by_input { &[] } else { &words });
    command.envs(settings.environment.iter().map(|(name, value)| (name, value)));
    let input = by_input.then(|| execution.arguments.clone());
    let time = time_of(hook);
    match child_run(&mut command, input, time) {
        Ok(ended) => result_of(ended, &shown, time),
        Err(error) => failed(format!(
            "{program} cannot be run: {error}; it must be an executable file{}",
            if execution.host.is_some() {
                ""
            } else {
                " on the front-end"
            }
        )),
    }
}

fn program_of(settings: &HookSettings, hook: &Hook, execution: &HookExecution) -> String {
    let given = hook.template.get("COMMAND").unwrap_or_default().trim();
    if given.starts_with('/') {
        return given.to_owned();
    }
    match &execution.host {
        Some(_) => format!("{}/{given}", settings.host_directory),
        None => settings.directory.join(given).to_string_lossy().into_owned(),
    }
}

fn command_of(settings: &HookSettings, execution: &HookExecution, program: &str, words: &[&str]) -> Command {
    let Some(host) = &execution.host else {
        let mut command = Command::new(program);
        command.args(words);
        return command;
    };
    // A login shell reads the line there: each word is quoted.
    let line: Vec<String> = std::iter::once(program)
        .chain(words.iter().copied())
        .map(quoted)
        .collect();
    let mut command = Command::new("ssh");
    command
        .args([
            "-T",
            "-oBatchMode=yes",
            "-oStrictHostKeyChecking=yes",
            "-oConnectTimeout=30",
        ])
        .args(&settings.ssh_options)
        .args(["--", host, &line.join(" ")]);
    command
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn time_of(hook: &Hook) -> Duration {
    let seconds = hook
        .template
        .get("TIMEOUT")
        .and_then(|text| text.trim().parse().ok());
    seconds
        .filter(|seconds| *seconds > 0)
        .map_or(TIME_MAX, |seconds| Duration::from_secs(seconds).min(TIME_MAX))
}

/// What becomes of an execution that ended.
fn result_of(ended: Ended, shown: &str, time: Duration) -> ExecutionResult {
    let mut stderr = ended.stderr;
    if ended.late {
        stderr.push_str(&format!("ended after {} s (TIMEOUT)\n", time.as_secs()));
    }
    ExecutionResult {
        command: shown.to_owned(),
        stdout: ended.stdout,
        stderr,
        code: ended.code.unwrap_or(CODE_FAILED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plerion_model::hook::{ExecutionState, HookType};
    use plerion_model::{Owned, Permissions};
    use plerion_template::{PackedTemplate, Template};

    fn run(template: &str, arguments: &str) -> ExecutionResult {
        let hook = Hook {
            id: 0,
            name: "h".into(),
            owned: Owned::new(0, 0, Permissions::OWNER),
            kind: HookType::State,
            next: 1,
            template: PackedTemplate::new(&Template::parse(template).expect("a template")),
        };
        let execution = HookExecution {
            id: 0,
            hook: 0,
            number: 0,
            about: String::new(),
            time: 0,
            arguments: arguments.into(),
            host: None,
            retry: false,
            state: ExecutionState::Running,
            result: ExecutionResult::default(),
        };
        let settings = HookSettings {
            directory: "/usr/bin".into(),
            host_directory: "/var/tmp/one/hooks".into(),
            environment: vec![("GREETING".into(), "hello".into())],
            ssh_options: Vec::new(),
        };
        hook_run(&settings, &hook, &execution)
    }

    #[test]
    fn words_are_arguments_and_nothing_is_a_shell() {
        let result = run("COMMAND=printf", "%s| a $(id) ;b");
        assert_eq!((result.code, result.stdout.as_str()), (0, "a|$(id)|;b|"));
        assert_eq!(result.command, "/usr/bin/printf %s| a $(id) ;b");
    }

    #[test]
    fn what_it_says_and_how_it_ends_is_kept() {
        let result = run("COMMAND=\"/bin/cat\"\nARGUMENTS_STDIN=yes", "to standard input");
        assert_eq!((result.code, result.stdout.as_str()), (0, "to standard input"));
        assert_eq!(
            run("COMMAND=env", "")
                .stdout
                .lines()
                .find(|line| *line == "GREETING=hello"),
            Some("GREETING=hello")
        );
        let result = run("COMMAND=\"/bin/ls\"", "/does/not/exist");
        assert_eq!(result.code, 2);
        assert!(result.stderr.contains("/does/not/exist"), "{}", result.stderr);
        let result = run("COMMAND=does-not-exist", "");
        assert_eq!(result.code, 255);
        assert!(result.stderr.contains("cannot be run"), "{}", result.stderr);
    }

    #[test]
    fn what_takes_too_long_is_ended_with_what_it_started() {
        let began = std::time::Instant::now();
        let result = run("COMMAND=\"/bin/sleep\"\nTIMEOUT=1", "600");
        assert_eq!(result.code, 255);
        assert!(result.stderr.contains("TIMEOUT"), "{}", result.stderr);
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn an_argument_that_is_too_long_is_said_to_be() {
        let long = "x".repeat(200_000);
        let result = run("COMMAND=\"/bin/true\"", &long);
        assert!(result.stderr.contains("ARGUMENTS_STDIN=YES"), "{}", result.stderr);
        let result = run("COMMAND=\"/usr/bin/wc\"\nARGUMENTS_STDIN=YES", &long);
        assert_eq!(result.stdout.split_whitespace().last(), Some("200000"));
    }
}
