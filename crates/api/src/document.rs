//! Calls on documents.

use plerion_model::{Kind, Operation};
use plerion_world::{Command, DocumentCommand};

use crate::decode::{Decoded, template};
use crate::method::{Method, Right, command};
use crate::xmlrpc::Params;

/// Rows of the method table.
pub(crate) fn methods() -> Vec<Method> {
    let create = Right::On(Operation::Create, Kind::Document);
    vec![
        command(
            "one.document.allocate",
            "template:string, type:int",
            create,
            "makes a document",
            allocate,
        ),
        command(
            "one.document.clone",
            "id:int, name:string",
            create,
            "copies a document",
            clone,
        ),
    ]
}

fn allocate(params: &mut Params) -> Decoded {
    let (text, document_type) = (params.string()?, params.int()?);
    Ok(Command::Document(DocumentCommand::Allocate {
        template: template(&text)?,
        document_type,
    }))
}

fn clone(params: &mut Params) -> Decoded {
    Ok(Command::Document(DocumentCommand::Clone {
        id: params.int()?,
        name: params.string()?,
    }))
}
