//! VMs as rows: one for what changes with each state, one for the templates. Reading many of them at once.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use plerion_model::Id;
use plerion_model::vm::{Demand, Vm};
use plerion_model::vm_state::VmState;
use plerion_template::PackedTemplate;

use crate::StoreError;
use crate::row::{Cell, id_check, parse, row_error, template_parse};
use crate::schema::{VM_ATTRIBUTES, VMS};

const VM_QUERY: &str = "SELECT vms.oid, vms.body, vm_attributes.template, vm_attributes.user_template FROM vms \
                        LEFT JOIN vm_attributes ON vm_attributes.oid = vms.oid";

/// The query of one VM, or of some, by a condition.
pub(crate) fn vm_query(condition: &str) -> String {
    format!("{VM_QUERY} {condition}")
}

/// Threads that parse at most; reading feeds no more than some.
const PARSERS_MAX: usize = 8;
/// VMs handed to a parser at a time.
const CHUNK_VMS: usize = 256;
/// Chunks that wait for a parser at most, per parser.
const CHUNKS_WAITING: usize = 2;

/// The stored form of a VM.
#[derive(Debug)]
pub(crate) struct VmRow {
    pub(crate) oid: i64,
    pub(crate) body: String,
    /// Its templates: of the system, of the user. None when their row is missing.
    pub(crate) attributes: Option<(String, String)>,
}

/// States of VMs that live, as numbers.
pub(crate) fn living_states() -> impl Iterator<Item = i32> {
    let states = VmState::ALL.iter();
    states
        .filter(|state| **state != VmState::Done)
        .map(|state| state.number())
}

/// The row of a VM's templates.
pub(crate) fn attributes_row(vm: &Vm) -> Vec<Cell> {
    vec![
        vm.id.into(),
        vm.template.to_json().into(),
        vm.user_template.to_json().into(),
    ]
}

/// A VM from its rows.
pub(crate) fn vm_parse(row: &VmRow) -> Result<Vm, StoreError> {
    let mut vm: Vm = parse(&VMS, row.oid, &row.body)?;
    id_check(&VMS, row.oid, vm.id)?;
    let Some((template, user_template)) = &row.attributes else {
        return Err(row_error(&VM_ATTRIBUTES, row.oid, "it is missing"));
    };
    vm.template = template_parse(&VM_ATTRIBUTES, row.oid, template)?;
    vm.user_template = template_parse(&VM_ATTRIBUTES, row.oid, user_template)?;
    vm.demand = Arc::new(Demand::read(&vm.template));
    Ok(vm)
}

type Chunk = (usize, Vec<VmRow>);
type Parsed = Result<Vec<(usize, Vec<Vm>)>, StoreError>;

/// Parses the rows that `read` hands over, beside the reading. The VMs are in the order of the rows.
pub(crate) fn vms_parse(
    read: impl FnOnce(&mut dyn FnMut(VmRow)) -> Result<(), StoreError>,
) -> Result<Vec<Vm>, StoreError> {
    let parsers = std::thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(PARSERS_MAX);
    let (sender, receiver) = mpsc::sync_channel::<Chunk>(parsers * CHUNKS_WAITING);
    let receiver = Mutex::new(receiver);
    let (read, parsed) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..parsers)
            .map(|_| scope.spawn(|| chunks_parse(&receiver)))
            .collect();
        let read = chunks_send(sender, read);
        let parsed: Vec<Parsed> = threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(StoreError::Database("a parser of VMs broke down".into())))
            })
            .collect();
        (read, parsed)
    });
    read?;
    let mut chunks = Vec::new();
    for part in parsed {
        chunks.extend(part?);
    }
    chunks.sort_unstable_by_key(|(index, _)| *index);
    Ok(chunks.into_iter().flat_map(|(_, vms)| vms).collect())
}

fn chunks_send(
    sender: mpsc::SyncSender<Chunk>,
    read: impl FnOnce(&mut dyn FnMut(VmRow)) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut index = 0;
    let mut rows = Vec::with_capacity(CHUNK_VMS);
    // The receiver outlives the sender: sending cannot fail.
    let send = |index: &mut usize, rows: Vec<VmRow>| {
        let sent = sender.send((*index, rows)).is_ok();
        debug_assert!(sent);
        *index += 1;
    };
    read(&mut |row| {
        rows.push(row);
        if rows.len() == CHUNK_VMS {
            send(
                &mut index,
                std::mem::replace(&mut rows, Vec::with_capacity(CHUNK_VMS)),
            );
        }
    })?;
    send(&mut index, rows);
    Ok(())
}

/// Parses chunks until there are no more. After an error the rest is taken and dropped, so that the reader is not left
/// waiting.
fn chunks_parse(receiver: &Mutex<mpsc::Receiver<Chunk>>) -> Parsed {
    let mut parsed = Ok(Vec::new());
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((index, rows)) = next else {
            return parsed;
        };
        if let Ok(chunks) = &mut parsed {
            match rows.iter().map(vm_parse).collect::<Result<Vec<Vm>, _>>() {
                Ok(vms) => chunks.push((index, vms)),
                Err(error) => parsed = Err(error),
            }
        }
    }
}

/// The templates of living VMs as they were last written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    templates: HashMap<Id, (PackedTemplate, PackedTemplate)>,
}

impl Written {
    /// Forgets everything: somebody else may have written.
    pub(crate) fn clear(&mut self) {
        self.templates.clear();
    }

    /// Whether the database has the templates of a VM.
    pub(crate) fn has(&self, vm: &Vm) -> bool {
        self.templates
            .get(&vm.id)
            .is_some_and(|(template, user_template)| {
                same(template, &vm.template) && same(user_template, &vm.user_template)
            })
    }

    /// Notes that the templates of a VM have been written.
    pub(crate) fn put(&mut self, vm: &Vm) {
        if vm.phase.state == VmState::Done {
            self.templates.remove(&vm.id);
        } else {
            self.templates
                .insert(vm.id, (vm.template.clone(), vm.user_template.clone()));
        }
    }

    /// Notes that a VM was deleted.
    pub(crate) fn remove(&mut self, id: Id) {
        self.templates.remove(&id);
    }
}

fn same(one: &PackedTemplate, other: &PackedTemplate) -> bool {
    one.same_buffer(other) || one == other
}
