//! Commands on documents.

use plerion_model::document::Document;
use plerion_model::{ApiError, Id, Kind, Operation};
use plerion_template::{PackedTemplate, Template};

use crate::auth::{Caller, Target, require};
use crate::name::name_check_new;
use crate::owner::owned_new;
use crate::txn::Txn;

/// What can be asked of documents beyond what all kinds have in common.
#[derive(Clone, Debug)]
pub enum DocumentCommand {
    /// `one.document.allocate`.
    Allocate {
        /// Attributes.
        template: Template,
        /// What it is, as a number that its program chose.
        document_type: i32,
    },
    /// `one.document.clone`.
    Clone {
        /// Document.
        id: Id,
        /// Name of the copy.
        name: String,
    },
}

/// Carries a command out. Answers the id of the object.
pub(crate) fn document_command(
    txn: &mut Txn<'_>,
    caller: &Caller,
    command: &DocumentCommand,
) -> Result<Id, ApiError> {
    match command {
        DocumentCommand::Allocate {
            template,
            document_type,
        } => document_allocate(txn, caller, template, *document_type),
        DocumentCommand::Clone { id, name } => document_clone(txn, caller, *id, name),
    }
}

fn document_allocate(
    txn: &mut Txn<'_>,
    caller: &Caller,
    template: &Template,
    document_type: i32,
) -> Result<Id, ApiError> {
    require(
        &txn.world,
        caller,
        &[(Operation::Create, Target::new_of(Kind::Document))],
    )?;
    let mut template = template.clone();
    let name = template.get("NAME").unwrap_or_default().to_owned();
    template.remove("NAME");
    create(txn, caller, &name, document_type, &template)
}

fn create(
    txn: &mut Txn<'_>,
    caller: &Caller,
    name: &str,
    document_type: i32,
    template: &Template,
) -> Result<Id, ApiError> {
    let id = txn.id_next(Kind::Document);
    let name = if name.is_empty() {
        format!("document-{id}")
    } else {
        name.to_owned()
    };
    name_check_new(&txn.world, Kind::Document, caller.uid, &name)?;
    txn.create(Document {
        id,
        name,
        owned: owned_new(&txn.world, caller),
        document_type,
        template: PackedTemplate::new(template),
    });
    Ok(id)
}

/// The copy has the same type and belongs to the caller.
fn document_clone(txn: &mut Txn<'_>, caller: &Caller, id: Id, name: &str) -> Result<Id, ApiError> {
    let rights = [
        (Operation::Create, Target::new_of(Kind::Document)),
        (Operation::Use, Target::of(&txn.world, Kind::Document, id)?),
    ];
    require(&txn.world, caller, &rights)?;
    let source = txn.world.document(id)?.clone();
    create(txn, caller, name, source.document_type, &source.template.unpack())
}
