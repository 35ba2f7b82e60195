//! [`Ledger`]: what callers remember: what they asked for, what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use plerion_model::vm_state::VmState;
use plerion_model::{ApiError, Id, Kind};
use plerion_store::StoreReader;
use plerion_world::{Command, Object, Reply, World};

use crate::queue::FrontEndId;

/// The attribute in which callers leave marks.
pub(crate) const MARK: &str = "MARK";

/// A call that has no answer yet.
#[derive(Clone, Debug)]
struct Call {
    front_end: FrontEndId,
    about: About,
}

/// What a call is about, as far as its caller can check it later.
#[derive(Clone, Debug)]
enum About {
    /// A new object.
    Make(Kind),
    /// The end of an object.
    End(Kind, Id),
    /// A mark in the template of an object.
    Mark(Kind, Id, String),
    /// Something else.
    Other,
}

/// What callers remember.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    calls: BTreeMap<u64, Call>,
    /// Objects that were acknowledged to exist.
    made: BTreeSet<(Kind, Id)>,
    /// Objects that somebody wanted to end, with whatever answer.
    ended: BTreeSet<(Kind, Id)>,
    /// Objects of which the end was acknowledged.
    gone: BTreeSet<(Kind, Id)>,
    /// Marks that an object may have now: the one acknowledged last, and those of calls without an answer since.
    /// `None` stands for what it had before anybody marked it.
    marks: BTreeMap<(Kind, Id), BTreeSet<Option<String>>>,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) unanswered: u64,
}

fn about(command: &Command) -> About {
    match command {
        Command::VmAllocate { .. } | Command::TemplateInstantiate { .. } => About::Make(Kind::Vm),
        Command::ImageAllocate { .. } | Command::ImageClone { .. } => About::Make(Kind::Image),
        Command::VnetAllocate { .. } => About::Make(Kind::Vnet),
        Command::TemplateAllocate { .. } | Command::TemplateClone { .. } => About::Make(Kind::Template),
        Command::HostAllocate { .. } => About::Make(Kind::Host),
        Command::UserAllocate { .. } => About::Make(Kind::User),
        Command::Delete { kind, id } => About::End(*kind, *id),
        Command::Update {
            kind, id, template, ..
        } => match template.get(MARK) {
            Some(mark) => About::Mark(*kind, *id, mark.to_owned()),
            None => About::Other,
        },
        _ => About::Other,
    }
}

impl Ledger {
    /// A call is made.
    pub(crate) fn called(&mut self, number: u64, front_end: FrontEndId, command: &Command) {
        let about = about(command);
        match &about {
            About::End(kind, id) => {
                self.ended.insert((*kind, *id));
            }
            About::Mark(kind, id, mark) => {
                let marks = self
                    .marks
                    .entry((*kind, *id))
                    .or_insert_with(|| BTreeSet::from([None]));
                marks.insert(Some(mark.clone()));
            }
            About::Make(_) | About::Other => {}
        }
        self.calls.insert(number, Call { front_end, about });
    }

    /// A call is answered. `Err` says what cannot be.
    pub(crate) fn answered(&mut self, number: u64, outcome: &Result<Reply, ApiError>) -> Result<(), String> {
        let Some(call) = self.calls.remove(&number) else {
            return Err(format!("call {number} was answered twice"));
        };
        match outcome {
            Ok(reply) => {
                self.acknowledged += 1;
                self.acknowledge(call.about, reply)
            }
            Err(_) => {
                self.refused += 1;
                if let About::Mark(kind, id, mark) = call.about
                    && let Some(marks) = self.marks.get_mut(&(kind, id))
                {
                    marks.remove(&Some(mark));
                }
                Ok(())
            }
        }
    }

    fn acknowledge(&mut self, about: About, reply: &Reply) -> Result<(), String> {
        match (about, reply) {
            (About::Make(kind), Reply::Id(id)) => {
                if !self.made.insert((kind, *id)) {
                    return Err(format!("id {id} of kind {kind:?} was given to two objects"));
                }
            }
            (About::End(kind, id), _) => {
                // An image goes when its file is gone.
                if kind != Kind::Image {
                    self.gone.insert((kind, id));
                }
            }
            (About::Mark(kind, id, mark), _) => {
                // Marks of calls that are under way may come before or after this one.
                let open: BTreeSet<Option<String>> = self
                    .calls
                    .values()
                    .filter_map(|call| match &call.about {
                        About::Mark(other_kind, other, mark) if (*other_kind, *other) == (kind, id) => {
                            Some(Some(mark.clone()))
                        }
                        _ => None,
                    })
                    .collect();
                let marks = self.marks.entry((kind, id)).or_default();
                marks.retain(|other| open.contains(other));
                marks.insert(Some(mark));
            }
            (About::Make(_) | About::Other, _) => {}
        }
        Ok(())
    }

    /// A front-end died: its callers never hear of their calls.
    pub(crate) fn front_end_died(&mut self, front_end: FrontEndId) {
        let before = self.calls.len();
        self.calls.retain(|_, call| call.front_end != front_end);
        self.unanswered += (before - self.calls.len()) as u64;
    }

    /// Whether a world has all that was acknowledged. `Err` says what it lacks.
    pub(crate) fn check(&self, world: &World, reader: &dyn StoreReader) -> Result<(), String> {
        for (kind, id) in &self.made {
            if world.object(*kind, *id).is_err() && !self.may_be_gone(*kind, *id, reader) {
                return Err(format!("{kind:?} {id} was acknowledged and is gone"));
            }
        }
        for (kind, id) in &self.gone {
            if world.object(*kind, *id).is_ok() {
                return Err(format!("{kind:?} {id} was acknowledged to be gone and is there"));
            }
        }
        for ((kind, id), marks) in &self.marks {
            let Ok(object) = world.object(*kind, *id) else {
                continue;
            };
            let mark = mark_of(&object);
            if !marks.contains(&None) && !marks.contains(&mark) {
                return Err(format!(
                    "{kind:?} {id} has mark {mark:?}, and it can be one of {marks:?} only"
                ));
            }
        }
        Ok(())
    }

    fn may_be_gone(&self, kind: Kind, id: Id, reader: &dyn StoreReader) -> bool {
        if kind == Kind::Vm {
            let stored = reader.vm(id).ok().flatten();
            return stored.is_some_and(|vm| vm.phase.state == VmState::Done);
        }
        self.ended.contains(&(kind, id))
    }
}

fn mark_of(object: &Object) -> Option<String> {
    match object {
        Object::Vm(vm) => vm.user_template.get(MARK).map(str::to_owned),
        Object::Template(template) => template.template.get(MARK).map(str::to_owned),
        Object::Image(image) => image.template.get(MARK).map(str::to_owned),
        _ => None,
    }
}
