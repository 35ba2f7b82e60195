//! The hooks: takes up the executions that wait, a few at a time, those about one object in their order.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use plerion_model::Id;
use plerion_model::hook::{ExecutionResult, ExecutionState, HookExecution};
use plerion_world::{Caller, Command, HookCommand, Order, World};

use crate::hook_run::{HookSettings, hook_run};
use crate::wake::Wake;
use crate::writer::WriterHandle;

/// Hooks that run at the same time.
const RUNNING_MAX: usize = 16;
/// The thread looks by itself this often, should it have missed to be woken.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What the thread and those that run hooks share.
struct Hooks {
    settings: HookSettings,
    published: Arc<ArcSwap<World>>,
    writer: WriterHandle,
    wake: Arc<Wake>,
    /// Executions that are being run.
    running: Mutex<BTreeSet<Id>>,
}

/// Runs hooks until the wake is stopped. What runs then goes on without anybody who waits for it.
pub(crate) fn hooks_start(
    settings: HookSettings,
    wake: Arc<Wake>,
    published: Arc<ArcSwap<World>>,
    writer: WriterHandle,
) -> std::io::Result<JoinHandle<()>> {
    let hooks = Arc::new(Hooks {
        settings,
        published,
        writer,
        wake,
        running: Mutex::default(),
    });
    std::thread::Builder::new().name("hooks".into()).spawn(move || {
        hooks.interrupted_end();
        while hooks.wake.wait(LOOK_EVERY) {
            for execution in hooks.due() {
                hooks.begin(execution);
            }
        }
    })
}

impl Hooks {
    /// Executions that ran when the front-end ended: whether they have done their work is not known, so they are not
    /// begun again.
    fn interrupted_end(&self) {
        let world = self.published.load_full();
        let executions = world.hook_executions.values();
        for execution in executions.filter(|execution| execution.state == ExecutionState::Running) {
            let result = ExecutionResult {
                stderr: "the front-end was restarted while it ran: whether it has done its work is not known; run it \
                         again with `onehook retry` where that does no harm"
                    .into(),
                code: 255,
                ..ExecutionResult::default()
            };
            self.order(HookCommand::Ended {
                id: execution.id,
                result,
            });
        }
    }

    /// Those that may be begun: none before an earlier one of its hook about the same object is over.
    fn due(&self) -> Vec<Arc<HookExecution>> {
        let world = self.published.load_full();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = RUNNING_MAX.saturating_sub(running.len());
        let mut busy: BTreeSet<(Id, &str)> = BTreeSet::new();
        let mut due = Vec::new();
        for execution in world.hook_executions.values() {
            if execution.state == ExecutionState::Over && !running.contains(&execution.id) {
                continue;
            }
            let waits = execution.state == ExecutionState::Waiting && !running.contains(&execution.id);
            let free = execution.about.is_empty() || busy.insert((execution.hook, &execution.about));
            if waits && free && room > 0 {
                room = room.saturating_sub(1);
                due.push(execution.clone());
            }
        }
        due
    }

    fn begin(self: &Arc<Self>, execution: Arc<HookExecution>) {
        let id = execution.id;
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id);
        let hooks = Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .name(format!("hook-{id}"))
            .spawn(move || {
                hooks.run(&execution);
                hooks
                    .running
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&id);
                hooks.wake.wake();
            });
        if let Err(error) = spawned {
            tracing::error!(%error, id, "no thread for a hook: it is tried again later");
            self.running
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&id);
        }
    }

    fn run(&self, execution: &HookExecution) {
        let id = execution.id;
        // Noted before it is begun: it must not be begun twice, whatever happens.
        if !self.order(HookCommand::Begun { id }) {
            return;
        }
        let world = self.published.load_full();
        let Some(hook) = world.hooks.get(execution.hook) else {
            return;
        };
        let result = hook_run(&self.settings, hook, execution);
        if result.code != 0 {
            tracing::info!(
                hook = hook.id,
                execution = execution.number,
                code = result.code,
                "a hook has failed"
            );
        }
        self.order(HookCommand::Ended { id, result });
    }

    /// Gives an order and waits for its commit. Returns whether it was taken.
    fn order(&self, command: HookCommand) -> bool {
        let (sender, receiver) = std::sync::mpsc::channel();
        let order = Order {
            caller: Caller::system(),
            command: Command::Hook(command),
        };
        self.writer.submit(
            order,
            Box::new(move |outcome| {
                if let Err(error) = &outcome {
                    tracing::debug!(%error, "an execution of a hook is not waited for any more");
                }
                // The one that waits is the thread that has submitted it.
                let _ = sender.send(outcome.is_ok());
            }),
        );
        receiver.recv().unwrap_or(false)
    }
}
